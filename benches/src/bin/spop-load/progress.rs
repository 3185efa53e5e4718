//! A line on stderr, once a second.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::args::Args;

pub(crate) struct Progress {
    quiet: bool,
    terminal: bool,
    start: Instant,
    last: Instant,
    answered: u64,
}

impl Progress {
    pub(crate) fn new(args: &Args, now: Instant) -> Self {
        Self { quiet: args.quiet, terminal: stderr().is_terminal(), start: now, last: now, answered: 0 }
    }

    /// Shows how it goes, if it is time.
    pub(crate) fn show(&mut self, now: Instant, answered: u64, latencies: &Histogram<u64>) {
        let since = now - self.last;
        if self.quiet || since < Duration::from_secs(1) {
            return;
        }
        let rate = answered.saturating_sub(self.answered) as f64 / since.as_secs_f64();
        let [p50, p99] = [0.5, 0.99].map(|q| latencies.value_at_quantile(q) as f64 / 1e3);
        let seconds = (now - self.start).as_secs();
        let (start, end) = if self.terminal { ("\r", "\x1b[K") } else { ("", "\n") };
        eprint!("{start}{seconds:4} s  {rate:9.0} acks/s  p50 {p50:.0} us  p99 {p99:.0} us{end}");
        (self.last, self.answered) = (now, answered);
    }

    /// Leaves the line.
    pub(crate) fn end(&self) {
        if !self.quiet && self.terminal {
            eprintln!();
        }
    }
}
