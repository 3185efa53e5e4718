//! What is innocent, and what counts against the agent.
//!
//! A request is **innocent** unless the agent was told to be slow with it, its client left, or a stall made it late.
//!
//! It is **lost** if the client got the status that `set-on-error` leaves, an answer without the agent's variable, or
//! none.
//!
//! A stall is a time in which HAProxy or the agent is stopped, or in which one of them, or this process, waits more
//! than 10 ms for a processor. It makes a request **late** if more than half of `timeout processing` of it was between
//! the request and its end, good or bad: then the request is counted apart. With more time than that left a stall is no
//! excuse.
//!
//! The **time** of a request is what passed until its end, without the stalls between.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use testbed::Version;

use super::stalls::Window;
use crate::bed::Outcome;

/// What a busy machine may add to the 99th percentile.
pub(super) const SLACK: Duration = Duration::from_millis(25);

/// A request that the agent was not to be slow with, and whose client did not leave.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) sent: Instant,
    pub(super) ended: Instant,
    /// The SPOE status, or what came instead of an answer.
    pub(super) lost: Option<String>,
}

/// What became of the requests of a run.
#[derive(Debug, Default)]
pub(super) struct Measurements {
    /// Of innocent requests, in order.
    times: Vec<Duration>,
    lost: usize,
    /// What was in place of the answers to those.
    instead: BTreeSet<String>,
    late: usize,
    late_and_lost: usize,
    took: Duration,
}

impl Measurements {
    pub(super) fn new(records: &[Record], stalls: Vec<Window>, processing: Duration, took: Duration) -> Self {
        let stalls = Window::merge(stalls);
        let mut measurements = Self { took, ..Self::default() };
        for Record { sent, ended, lost } in records {
            let stalled = Window::overlap(&stalls, *sent, *ended);
            if stalled > processing / 2 {
                measurements.late += 1;
                measurements.late_and_lost += usize::from(lost.is_some());
                continue;
            }
            measurements.times.push(*ended - *sent - stalled);
            if let Some(instead) = lost {
                measurements.lost += 1;
                measurements.instead.insert(instead.clone());
            }
        }
        measurements.times.sort_unstable();
        measurements
    }

    /// The time within which so many of 100 innocent requests were answered.
    fn percentile(&self, percent: usize) -> Duration {
        let index = (self.times.len() * percent).div_ceil(100).saturating_sub(1);
        self.times.get(index).copied().unwrap_or_default()
    }
}

/// Collects the runs of a scenario.
pub(super) struct Judge {
    version: Version,
    neighbours: &'static str,
    rows: String,
    /// The 99th percentile of the first run.
    short: Option<Duration>,
    objections: Vec<String>,
}

impl Judge {
    pub(super) fn new(version: Version, neighbours: &'static str) -> Self {
        Self { version, neighbours, rows: String::new(), short: None, objections: Vec::new() }
    }

    /// Adds a run with answers of `size` bytes.
    pub(super) fn add(&mut self, size: usize, measurements: &Measurements) {
        let (innocents, p99) = (measurements.times.len(), measurements.percentile(99));
        let most = self.most(p99);
        let mut object = |objection| self.objections.push(format!("{size} bytes: {objection}"));
        if innocents == 0 {
            object("no innocent request has ended".to_owned());
        }
        if measurements.lost > 0 {
            let instead = Vec::from_iter(measurements.instead.iter().take(3).map(String::as_str)).join("; ");
            object(format!("{} of {innocents} innocents lost, status {instead}", measurements.lost));
        }
        if p99 > most {
            object(format!("the 99th percentile is {p99:?}, above {most:?}"));
        }
        self.short.get_or_insert(p99);
        self.add_row(size, measurements);
    }

    /// Whether a run is worth another one: no request was lost, and a busy machine may have been what took the time.
    pub(super) fn doubts(&self, measurements: &Measurements) -> bool {
        let p99 = measurements.percentile(99);
        measurements.lost == 0 && p99 > self.most(p99)
    }

    /// The longest 99th percentile that passes; the first run passes with any.
    fn most(&self, p99: Duration) -> Duration {
        3 * self.short.unwrap_or(p99) + SLACK
    }

    fn add_row(&mut self, size: usize, measurements: &Measurements) {
        let Self { version, neighbours, .. } = self;
        let [p50, p90, p99, longest] =
            [50, 90, 99, 100].map(|percent| millis(measurements.percentile(percent)));
        let a_second = measurements.times.len() as f64 / measurements.took.as_secs_f64();
        let [size, innocents, lost, a_second, late, late_and_lost] = [
            size,
            measurements.times.len(),
            measurements.lost,
            a_second as usize,
            measurements.late,
            measurements.late_and_lost,
        ]
        .map(grouped);
        self.rows += &format!(
            "\n| {version} | {size} B | {neighbours} | {innocents} | {lost} | \
             {p50} / {p90} / {p99} / {longest} ms | {a_second} | {late} ({late_and_lost}) |"
        );
    }

    /// The rows of the table so far.
    pub(super) fn rows(&self) -> &str {
        &self.rows
    }

    /// What the scenario comes to.
    pub(super) fn verdict(self) -> Outcome {
        let Self { objections, rows, .. } = self;
        if objections.is_empty() { Ok(()) } else { Err(format!("{}{rows}", objections.join("\n")).into()) }
    }
}

/// With one digit behind the point while that says something.
fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.1}") } else { format!("{millis:.0}") }
}

/// With a comma before each three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    Vec::from_iter(groups.map(String::from_utf8_lossy)).join(",")
}
