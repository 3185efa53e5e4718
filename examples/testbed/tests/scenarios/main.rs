//! Agents of this workspace behind every HAProxy there is: what only the real thing can show.
//!
//! Each is called `file::scenario::version`: `cargo test -p testbed --test scenarios -- faults::` runs those of one
//! file, `-- group` one scenario on all versions, `-- ::3.2` all on one. A table of all that ran comes at the end.
//! Without a HAProxy it fails, and says what to install.

#![allow(clippy::too_many_lines, reason = "a scenario reads from top to bottom")]

mod arguments;
mod bed;
mod blocking;
mod bodies;
mod drain;
mod failures;
mod faults;
mod lifecycle;
mod load;
mod log;
mod messages;
mod neighbours;
mod pitfalls;
mod reputation;
mod table;
mod traffic;
mod values;

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use std::{io, thread};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use testbed::{Haproxy, Version, build_example, haproxies};
use tokio::time::timeout;

use crate::bed::{Bed, Outcome};
use crate::table::Table;

/// A scenario that takes longer hangs: the longest one needs some seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// Most of a scenario is waiting for health checks and for processes to start, so even few cores can run several.
const THREADS: std::ops::RangeInclusive<usize> = 3..=4;

/// Scenarios run beside each other, but for those that measure times.
static TURNS: RwLock<()> = RwLock::new(());

struct Scenario {
    module: &'static str,
    name: &'static str,
    run: for<'b> fn(&'b Bed) -> Pin<Box<dyn Future<Output = Outcome> + 'b>>,
    /// Empty for most: they are for all versions.
    only: &'static [Only],
}

/// Which versions a scenario is for, and why not for the others.
struct Only {
    applies: fn(Version) -> bool,
    why: &'static str,
}

const FRAGMENTING: Only = Only {
    applies: |version| !version.speaks_mode_spop(),
    why: "HAProxy sends fragments up to 3.0 only; later ones fail such a request themselves (frame_limit)",
};
const NOT_FRAGMENTING: Only = Only {
    applies: Version::speaks_mode_spop,
    why: "HAProxy up to 3.0 sends what is too long for a frame in fragments (fragmented_body)",
};
const QUEUE_WOKEN: Only = Only {
    applies: |version| version >= Version::new(2, 9),
    why: "HAProxy up to 2.8 leaves requests in its queue then, beside idle connections, until they time out",
};
const FULL_BUFFER_WEDGES: Only = Only {
    applies: Version::speaks_mode_spop,
    why: "HAProxy up to 3.0 takes answers of any length at once (long_answers)",
};
const MEASURED: Only = Only {
    applies: neighbours::is_measured,
    why: "HAProxy up to 3.0 takes answers of any length at once; SPOP_NEIGHBOURS_SECONDS=10 measures it, too",
};
const SLOT_FREED: Only = Only {
    applies: Version::speaks_mode_spop,
    why: "HAProxy up to 3.0 has a connection wait for an answer that it has given up, and the next requests with it",
};

macro_rules! scenarios {
    ($($module:ident::$name:ident $([$only:expr])?,)*) => {
        [$(Scenario {
            module: stringify!($module),
            name: stringify!($name),
            run: |bed| Box::pin($module::$name(bed)),
            only: &[$($only)?],
        }),*]
    };
}

/// In the order of the table.
const SCENARIOS: &[Scenario] = &scenarios![
    reputation::ip_reputation_tcp,
    reputation::ip_reputation_seed,
    reputation::ip_reputation_unnamed,
    reputation::ip_reputation_ipv6,
    reputation::ip_reputation_unix,
    reputation::unix_client,
    reputation::own_config,
    blocking::blocking,
    lifecycle::spop_check,
    lifecycle::reload_and_stop,
    drain::drain,
    drain::drain_without_pipelining,
    messages::several_messages,
    messages::empty_answer,
    messages::group,
    values::value_types,
    values::scopes,
    arguments::arguments_60,
    arguments::arguments_255,
    arguments::arguments_258,
    arguments::header_bytes,
    bodies::body_15k,
    bodies::frame_limit[NOT_FRAGMENTING],
    bodies::fragmented_body[FRAGMENTING],
    bodies::fragmented_arguments[FRAGMENTING],
    bodies::fragments_past_the_bound[FRAGMENTING],
    failures::failing_handlers,
    failures::own_fallback,
    faults::rolling_restart,
    faults::rolling_restart_one_at_a_time[QUEUE_WOKEN],
    faults::rolling_restart_with_long_answers,
    faults::upgrade_at_socket,
    faults::upgrade_at_port,
    faults::restart_alone,
    faults::restart_alone_unnoticed,
    faults::restart_at_inherited_socket,
    faults::full_agent,
    faults::reload_under_load,
    faults::killed_agent,
    faults::frozen_agent,
    load::parallel_clients,
    load::long_answers,
    load::long_answers_to_few[FULL_BUFFER_WEDGES],
    neighbours::requests_given_up[MEASURED],
    neighbours::requests_given_up_one_at_a_time[SLOT_FREED],
    neighbours::clients_that_leave[MEASURED],
    neighbours::few_that_leave[MEASURED],
    neighbours::one_that_leaves[MEASURED],
    neighbours::stalled_haproxy[MEASURED],
    neighbours::stalled_agent[MEASURED],
    neighbours::small_buffers[MEASURED],
    neighbours::large_buffers[MEASURED],
    neighbours::first_burst[MEASURED],
    neighbours::first_burst_on_one_connection[MEASURED],
    pitfalls::late_answer,
    pitfalls::odd_status_in_check,
    pitfalls::agent_lowers_frame_size,
    pitfalls::second_agent_hello,
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert_with(default_threads);
    if !may_select(&arguments) {
        // Whoever runs another test of the workspace should not have to wait for a HAProxy to be downloaded.
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    }
    match prepare(&arguments) {
        Ok(programs) => run(&arguments, programs),
        Err(error) => fail(arguments, error),
    }
    .exit_code()
}

fn default_threads() -> usize {
    let cores = thread::available_parallelism().map_or(*THREADS.start(), usize::from);
    cores.clamp(*THREADS.start(), *THREADS.end())
}

/// Whether the command line can mean one of the scenarios.
fn may_select(arguments: &Arguments) -> bool {
    let names_one = |filter: &String| {
        let mut scenarios = SCENARIOS.iter();
        scenarios.any(|scenario| scenario.module.contains(&**filter) || scenario.name.contains(&**filter))
    };
    let is_version = |filter: &String| filter.contains("::") || filter.parse::<Version>().is_ok();
    arguments.filter.as_ref().is_none_or(|filter| names_one(filter) || is_version(filter))
}

/// What all scenarios need and none should be timed for.
fn prepare(arguments: &Arguments) -> Result<Vec<Haproxy>, testbed::Error> {
    let programs = haproxies()?;
    if !arguments.list {
        bed::IP_REPUTATION.set(build_example("ip-reputation")?).expect("set here only");
    }
    Ok(programs)
}

/// No HAProxy is a failure whatever the command line selects, as every selection needs one.
fn fail(mut arguments: Arguments, error: testbed::Error) -> Conclusion {
    (arguments.filter, arguments.skip) = Default::default();
    let trial = Trial::test("prepare", move || Err(Failed::from(error.to_string())));
    libtest_mimic::run(&arguments, vec![trial])
}

fn run(arguments: &Arguments, programs: Vec<Haproxy>) -> Conclusion {
    let table = Arc::new(Table::new(SCENARIOS, programs.iter().map(|program| program.version).collect()));
    let mut trials = Vec::new();
    for scenario in SCENARIOS {
        for program in programs.iter().filter(|program| scenario.applies_to(program.version)) {
            let (program, table) = (program.clone(), table.clone());
            let trial = Trial::test(scenario.name_with(program.version), move || {
                let bed = Bed::new(program.clone());
                let outcome = scenario.run_on(&bed);
                table.set(scenario.name, program.version, outcome.is_ok());
                if let Some(measurements) = bed.take_report() {
                    table.report(scenario.name, program.version, measurements);
                }
                outcome
            });
            trials.push(trial);
        }
    }
    let conclusion = libtest_mimic::run(arguments, trials);
    if !arguments.list {
        print!("{table}");
    }
    conclusion
}

impl Scenario {
    fn applies_to(&self, version: Version) -> bool {
        self.only.iter().all(|only| (only.applies)(version))
    }

    /// Runs it in a thread of its own, with a runtime that has no other: so what is logged there is its own, and a
    /// panic says which scenario it is of.
    fn run_on(&self, bed: &Bed) -> Result<(), Failed> {
        // What measures times has the machine to itself.
        let alone = self.module == "neighbours";
        let _alone = alone.then(|| TURNS.write().unwrap_or_else(PoisonError::into_inner));
        let _beside = (!alone).then(|| TURNS.read().unwrap_or_else(PoisonError::into_inner));
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            // Those that measure wait for their turn.
            let limit = LIMIT + 100 * neighbours::length();
            let ended =
                bed.log().capture(|| runtime.block_on(async { timeout(limit, (self.run)(bed)).await }));
            ended.map_err(|_| format!("it has not ended within {limit:?}"))?
        };
        let thread = thread::Builder::new().name(self.name_with(bed.version()));
        let why = match thread::scope(|scope| Ok::<_, io::Error>(thread.spawn_scoped(scope, run)?.join()))? {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic_text(&*panic),
        };
        Err(format!("{why}\n{}", bed.evidence()).into())
    }

    fn name_with(&self, version: Version) -> String {
        format!("{}::{}::{version}", self.module, self.name)
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}
