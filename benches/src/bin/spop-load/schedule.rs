//! Open loop: when each request is due, whatever the agent does.

use std::time::{Duration, Instant};

/// Requests at a fixed rate.
pub(crate) struct Schedule {
    start: Instant,
    nanos_between: f64,
    /// How many were taken off.
    taken: u64,
}

impl Schedule {
    /// `rate` requests per second from `start` on.
    pub(crate) fn new(start: Instant, rate: f64) -> Self {
        Self { start, nanos_between: 1e9 / rate, taken: 0 }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Instant {
        self.start + Duration::from_nanos((self.taken as f64 * self.nanos_between) as u64)
    }

    /// The next one was sent.
    pub(crate) fn advance(&mut self) {
        self.taken += 1;
    }

    /// How many are due by `end` and were not sent.
    pub(crate) fn due_before(&self, end: Instant) -> u64 {
        let nanos = end.saturating_duration_since(self.start).as_nanos() as f64;
        ((nanos / self.nanos_between) as u64 + 1).saturating_sub(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_on_time_however_late_they_are_taken() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, 1000.0);
        for index in 0..10 {
            assert_eq!(schedule.next(), start + Duration::from_millis(index));
            schedule.advance();
        }
        assert_eq!(schedule.due_before(start + Duration::from_millis(9)), 0);
        assert_eq!(schedule.due_before(start + Duration::from_millis(19)), 10);
    }
}
