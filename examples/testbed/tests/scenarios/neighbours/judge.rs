//! What is innocent, and what counts against the agent.
//!
//! A request is **innocent** unless the agent was told to be slow with it, its client left, or a stall made it late.
//!
//! It is **lost** if the client got the status that `set-on-error` leaves, an answer without the agent's variable, or none.
//!
//! A stall makes a request **late** if HAProxy, the agent or this process did not run for more than half of `timeout processing` from when
//! the client sent it on. It is counted apart, lost or not. Any other request has half of its time left, so a stall is no
//! excuse for it: it is innocent, and lost if it is.
//!
//! The **time** of a request is what passed until its client had the answer, without what a stall took of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
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
pub(super) struct Figures {
    /// Of innocent requests, in order.
    times: Vec<Duration>,
    lost: BTreeMap<String, usize>,
    late: usize,
    late_and_lost: usize,
    took: Duration,
}

impl Figures {
    pub(super) fn new(records: &[Record], stalls: Vec<Window>, processing: Duration, took: Duration) -> Self {
        let stalls = Window::merge(stalls);
        let mut figures = Self { took, ..Self::default() };
        for Record { sent, ended, lost } in records {
            if Window::overlap(&stalls, *sent, *sent + processing) > processing / 2 {
                figures.late += 1;
                figures.late_and_lost += usize::from(lost.is_some());
                continue;
            }
            figures.times.push(*ended - *sent - Window::overlap(&stalls, *sent, *ended));
            if let Some(status) = lost {
                *figures.lost.entry(status.clone()).or_default() += 1;
            }
        }
        figures.times.sort_unstable();
        figures
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
    pub(super) fn add(&mut self, size: usize, figures: &Figures) {
        let innocents = figures.times.len();
        let lost: usize = figures.lost.values().sum();
        let statuses = Vec::from_iter(figures.lost.keys().map(String::as_str)).join(", ");
        let p99 = figures.percentile(99);
        let most = 3 * *self.short.get_or_insert(p99) + SLACK;
        if innocents == 0 {
            self.objections.push(format!("{size} bytes: no innocent request has ended"));
        }
        if lost > 0 {
            self.objections
                .push(format!("{size} bytes: {lost} of {innocents} innocents lost (status {statuses})"));
        }
        if p99 > most {
            self.objections.push(format!("{size} bytes: the 99th percentile is {p99:?}, above {most:?}"));
        }

        let Self { version, neighbours, .. } = self;
        let status = if lost > 0 { format!(" (status {statuses})") } else { String::new() };
        let [p50, p90, p99, longest] = [50, 90, 99, 100].map(|percent| millis(figures.percentile(percent)));
        let a_second = innocents as f64 / figures.took.as_secs_f64();
        let _ = write!(
            self.rows,
            "\n| {version} | {} B | {neighbours} | {} | {}{status} | {p50} / {p90} / {p99} / {longest} ms | {} | {} ({}) |",
            grouped(size),
            grouped(innocents),
            grouped(lost),
            grouped(a_second as usize),
            grouped(figures.late),
            grouped(figures.late_and_lost),
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
