//! The same agent on tokio's runtimes, with all cores to itself and the load generator.

use benches::cli::Error;

use super::{Options, Part, Report};
use crate::agent::{Agent, Load, OURS};
use crate::figures::{Figures, PartFigures};
use crate::table::{Table, cell, thousands, three_digits, times};

pub(crate) const PART: Part = Part {
    name: "runtimes",
    about: "our agent on a current-thread, a multi-thread and one current-thread runtime per core",
    by_default: true,
    least_rounds: 5,
    measure,
    report,
};

const RUNTIMES: [(&str, &str); 3] = [
    ("current-thread", "one thread"),
    ("multi-thread", "multi-thread, a thread per core"),
    ("per-core", "a current-thread runtime per core, SO_REUSEPORT"),
];

/// The load, and how many microseconds a handler computes.
const LOADS: [(Load, &str); 3] = [
    (Load { profile: "log-request", connections: 64, depth: 1 }, "0"),
    (Load { profile: "log-request", connections: 8, depth: 16 }, "0"),
    (Load { profile: "log-request", connections: 8, depth: 16 }, "5"),
];

fn measure(options: &Options, figures: &mut Figures) -> Result<(), Error> {
    for _ in options.rounds(PART.name) {
        for (load, busy) in &LOADS {
            for (runtime, _) in RUNTIMES {
                let args = ["--runtime", runtime, "--handler-busy-us", busy];
                let agent = Agent::start(&options.programs, &OURS, &args)?;
                let answered = agent.load(&options.programs, load, options.seconds)?;
                let mut add = |quantity, value| {
                    figures.add(PART.name, &case(load, busy), runtime, quantity, value);
                };
                add("acks_per_second", answered.per_second);
                add("acks_per_cpu_second", answered.per_cpu_second);
                add("agent_cores", answered.agent_cores);
                add("client_cores", answered.client_cores);
            }
        }
    }
    Ok(())
}

fn case(load: &Load, busy: &str) -> String {
    match busy {
        "0" => load.to_string(),
        busy => format!("{load}, {busy} us of work"),
    }
}

fn report(figures: &Figures) -> Report {
    let figures = figures.part(PART.name);
    let mut table = Table::new([
        "load",
        "runtime",
        "ACKs/s",
        "/ one thread",
        "cores: agent",
        "cores: client",
        "ACKs per CPU second",
        "/ one thread",
    ]);
    for (load, busy) in &LOADS {
        let case = case(load, busy);
        for (runtime, title) in RUNTIMES {
            let median = |quantity| figures.median(&case, runtime, quantity);
            let ratio = |quantity| cell(figures.ratio(&case, quantity, runtime, RUNTIMES[0].0), times);
            table.row([
                case.clone(),
                title.to_owned(),
                cell(median("acks_per_second"), thousands),
                ratio("acks_per_second"),
                cell(median("agent_cores"), three_digits),
                cell(median("client_cores"), three_digits),
                cell(median("acks_per_cpu_second"), thousands),
                ratio("acks_per_cpu_second"),
            ]);
        }
    }
    let fastest = LOADS.map(|(load, busy)| fastest(figures, &case(&load, busy)));
    Report { markdown: format!("{}\n{}", table.into_text(), fastest.concat()), plots: Vec::new() }
}

/// Which is faster, as a line of a list.
fn fastest(figures: PartFigures<'_>, case: &str) -> String {
    let best = |quantity| {
        let of = |(key, title)| Some((title, figures.median(case, key, quantity)?));
        let best: Option<(&str, f64)> =
            RUNTIMES.into_iter().filter_map(of).max_by(|a, b| a.1.total_cmp(&b.1));
        cell_of(best)
    };
    format!(
        "- {case}: most ACKs/s with {}; most ACKs per CPU second with {}.\n",
        best("acks_per_second"),
        best("acks_per_cpu_second")
    )
}

fn cell_of(best: Option<(&str, f64)>) -> String {
    best.map_or_else(|| "-".into(), |(title, value)| format!("{title} ({})", thousands(value)))
}
