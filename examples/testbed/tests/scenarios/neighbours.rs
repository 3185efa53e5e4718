//! Requests whose neighbours are given up by HAProxy, whose clients leave, or whose HAProxy or agent stalls: what they
//! notice of it, by the length of the answers.
//!
//! Each scenario runs with answers of 100 bytes and then with longer ones, each time with a HAProxy (`nbthread 1`) and
//! an agent of its own, under the load of clients that ask again as soon as they have their answer, from the very first
//! request on. It passes if no innocent request is lost, and if the 99th percentile of their times is within 3 times
//! that of 100 bytes, plus [`SLACK`](judge::SLACK). What is innocent, lost and late by a stall is defined at [`judge`].
//!
//! ```sh
//! cargo test -p testbed --test scenarios -- neighbours:: --nocapture
//! # All lengths, 10 seconds each, on HAProxy up to 3.0 too: an hour.
//! SPOP_NEIGHBOURS_SECONDS=10 cargo test --release -p testbed --test scenarios -- neighbours:: --nocapture
//! ```
//!
//! At the end each run prints a row of this table:
//!
//! ```text
//! | HAProxy | answers | neighbours | innocents | lost | p50 / p90 / p99 / longest | a second | late by a stall (lost) |
//! |---|---|---|---|---|---|---|---|
//! ```

mod bursts;
mod judge;
mod run;
mod stalls;

use std::env;
use std::time::Duration;

use testbed::Version;

use self::judge::Judge;
use self::run::{Leavers, Setting};
use self::stalls::{Stalls, Who};
use crate::bed::{Bed, Outcome};

/// How long each run takes, in seconds, and that all lengths and HAProxys are to be run.
const SECONDS: &str = "SPOP_NEIGHBOURS_SECONDS";

/// Lengths of the answers, in bytes, beside 100.
const ALL: &[usize] = &[300, 700, 1_000, 2_000, 10_000, 15_500];

const USUAL: Setting = Setting {
    name: "none",
    clients: 40,
    agent: &["--jitter", "5"],
    processing: Duration::from_secs(1),
    slow_in_ten: 0,
    leavers: None,
    stalls: None,
    bufsize: 16_384,
};

/// A `timeout processing` as in the configurations of the examples.
const SHORT: Duration = Duration::from_millis(100);

pub(crate) async fn requests_given_up(bed: &Bed) -> Outcome {
    let setting = Setting {
        name: "one in ten takes 400 ms, `timeout processing 100ms`",
        agent: &["--jitter", "5", "--slow", "400"],
        processing: SHORT,
        slow_in_ten: 1,
        ..USUAL
    };
    compare(bed, &setting, &[2_000, 10_000]).await
}

/// The same where HAProxy has one request waiting on a connection.
pub(crate) async fn requests_given_up_one_at_a_time(bed: &Bed) -> Outcome {
    let setting = Setting {
        name: "one in ten takes 400 ms, `timeout processing 100ms`; no pipelining",
        agent: &["--jitter", "5", "--slow", "400", "--one-at-a-time"],
        processing: SHORT,
        slow_in_ten: 1,
        ..USUAL
    };
    compare(bed, &setting, &[10_000]).await
}

pub(crate) async fn clients_that_leave(bed: &Bed) -> Outcome {
    let leavers = Leavers { clients: 12, after_ms: 1..10 };
    let name = "12 of 40 clients leave after 1 to 10 ms";
    compare(bed, &Setting { name, clients: 28, leavers: Some(leavers), ..USUAL }, &[10_000]).await
}

pub(crate) async fn few_that_leave(bed: &Bed) -> Outcome {
    let setting = Setting {
        name: "5 more clients leave after 5 ms; handlers take 20 ms, `timeout processing 2s`",
        clients: 20,
        agent: &["--delay", "20"],
        processing: Duration::from_secs(2),
        leavers: Some(Leavers { clients: 5, after_ms: 5..6 }),
        ..USUAL
    };
    compare(bed, &setting, &[1_000]).await
}

pub(crate) async fn one_that_leaves(bed: &Bed) -> Outcome {
    let setting = Setting {
        name: "1 more client leaves after 5 ms; handlers take 20 ms, `timeout processing 2s`",
        clients: 20,
        agent: &["--delay", "20"],
        processing: Duration::from_secs(2),
        leavers: Some(Leavers { clients: 1, after_ms: 5..6 }),
        ..USUAL
    };
    compare(bed, &setting, &[2_000]).await
}

pub(crate) async fn stalled_haproxy(bed: &Bed) -> Outcome {
    let stalls = Stalls { who: Who::Haproxy, every_ms: 200..600, for_ms: 60..300 };
    let name = "HAProxy stalls 60 to 300 ms now and then";
    compare(bed, &Setting { name, stalls: Some(stalls), ..USUAL }, &[10_000]).await
}

pub(crate) async fn stalled_agent(bed: &Bed) -> Outcome {
    let setting = Setting {
        name: "the agent stalls 300 ms now and then, `timeout processing 100ms`",
        processing: SHORT,
        stalls: Some(Stalls { who: Who::Agent, every_ms: 200..600, for_ms: 300..301 }),
        ..USUAL
    };
    compare(bed, &setting, &[700, 10_000]).await
}

pub(crate) async fn small_buffers(bed: &Bed) -> Outcome {
    let setting = Setting { name: "none; `tune.bufsize 4096`", bufsize: 4_096, ..USUAL };
    compare(bed, &setting, &[300]).await
}

pub(crate) async fn large_buffers(bed: &Bed) -> Outcome {
    let agent = &["--jitter", "5", "--max-frame-size", "65532"];
    let setting = Setting { name: "none; `tune.bufsize 65536`", agent, bufsize: 65_536, ..USUAL };
    compare(bed, &setting, &[15_500, 60_000]).await
}

/// Each client asks on a connection that HAProxy opens for it.
pub(crate) async fn first_burst(bed: &Bed) -> Outcome {
    let name = "none; bursts of 20 after a reload, `timeout processing 100ms`";
    let setting = Setting { name, processing: SHORT, ..USUAL };
    compare_with(bed, &setting, &[10_000], async |size| bursts::run(bed, &setting, size, false).await).await
}

/// All ask on one connection, as it has been idle once.
pub(crate) async fn first_burst_on_one_connection(bed: &Bed) -> Outcome {
    let name = "none; bursts of 20 on one connection after a reload, `timeout processing 100ms`";
    let setting = Setting { name, processing: SHORT, ..USUAL };
    compare_with(bed, &setting, &[2_000, 15_500], async |size| bursts::run(bed, &setting, size, true).await)
        .await
}

async fn compare(bed: &Bed, setting: &Setting, sizes: &[usize]) -> Outcome {
    compare_with(bed, setting, sizes, async |size| run::run(bed, setting, size).await).await
}

/// Measures with answers of 100 bytes first, as that is what the others are judged by.
async fn compare_with(
    bed: &Bed,
    setting: &Setting,
    sizes: &[usize],
    run: impl AsyncFn(usize) -> Outcome<judge::Measurements>,
) -> Outcome {
    let fits = |&&size: &&usize| size + 500 < setting.bufsize;
    let mut sizes = sizes.to_vec();
    if runs_all() {
        sizes.extend(ALL.iter().filter(fits));
        sizes.sort_unstable();
        sizes.dedup();
    }
    let mut judge = Judge::new(bed.version(), setting.name);
    for size in [100].into_iter().chain(sizes) {
        let mut measurements = run(size).await?;
        if judge.doubts(&measurements) {
            measurements = run(size).await?;
        }
        judge.add(size, &measurements);
        // Also what comes before a run that hangs.
        bed.report(judge.rows());
    }
    judge.verdict()
}

/// How long a run takes.
pub(crate) fn length() -> Duration {
    match env::var(SECONDS) {
        Ok(seconds) => {
            Duration::from_secs(seconds.parse().expect("SPOP_NEIGHBOURS_SECONDS is a whole number"))
        }
        // Long enough for a few stalls, short enough for CI.
        Err(_) => Duration::from_millis(1_500),
    }
}

fn runs_all() -> bool {
    env::var_os(SECONDS).is_some()
}

/// Whether a version is to be measured: those up to 3.0 take answers of any length at once, so only on demand.
pub(crate) fn is_measured(version: Version) -> bool {
    version.speaks_mode_spop() || runs_all()
}
