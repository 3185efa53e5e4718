//! Times contestants against each other on a machine that does other things too.
//!
//! Each round runs every contestant once, one right after the other, so that a slow moment hits all of them; the order
//! alternates. What counts is the CPU time of this thread, not the time on the wall. The result of a contestant is the
//! median of its rounds, and the result of a pair is the median of the ratios that each round gave.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::cases::{Case, Who};

/// How often each contestant runs.
pub const ROUNDS: usize = 5;

/// How long a run should take.
const RUN: Duration = Duration::from_millis(100);

/// What the rounds of one case gave.
pub struct Measured {
    /// The part of the library it is about.
    pub group: &'static str,
    /// The profile, and the burst where there is one.
    pub name: String,
    /// Nanoseconds per frame, by round.
    rounds: Vec<(Who, [f64; ROUNDS])>,
}

impl Measured {
    /// Median nanoseconds per frame.
    pub fn nanos(&self, who: Who) -> Option<f64> {
        self.rounds_of(who).map(|rounds| median(*rounds))
    }

    /// Median over the rounds of `slow / fast`.
    pub fn ratio(&self, slow: Who, fast: Who) -> Option<f64> {
        let (slow, fast) = (self.rounds_of(slow)?, self.rounds_of(fast)?);
        Some(median(std::array::from_fn(|round| slow[round] / fast[round])))
    }

    /// Nanoseconds per frame of all rounds of all contestants.
    pub fn rounds(&self) -> impl Iterator<Item = (Who, &[f64; ROUNDS])> {
        self.rounds.iter().map(|(who, rounds)| (*who, rounds))
    }

    fn rounds_of(&self, who: Who) -> Option<&[f64; ROUNDS]> {
        self.rounds.iter().find(|(found, _)| *found == who).map(|(_, rounds)| rounds)
    }
}

/// Measures one case.
pub fn measure(mut case: Case) -> Measured {
    let times: Vec<u64> = case.contestants.iter_mut().map(|(_, work)| calibrate(work)).collect();
    let mut rounds: Vec<_> = case.contestants.iter().map(|(who, _)| (*who, [0.0; ROUNDS])).collect();
    for round in 0..ROUNDS {
        let mut order: Vec<usize> = (0..times.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let nanos = time(&mut case.contestants[index].1, times[index]).as_nanos() as f64;
            rounds[index].1[round] = nanos / (times[index] * case.frames) as f64;
        }
    }
    Measured { group: case.group, name: case.name, rounds }
}

/// How often to repeat the work for a run of [`RUN`]. Warms it up, too.
fn calibrate(work: &mut dyn FnMut(u64)) -> u64 {
    let mut times = 1;
    loop {
        let took = time(work, times);
        if took >= RUN / 10 {
            return (times as f64 * RUN.as_secs_f64() / took.as_secs_f64()).ceil() as u64;
        }
        times *= 4;
    }
}

fn time(work: &mut dyn FnMut(u64), times: u64) -> Duration {
    let start = cpu_time();
    work(times);
    cpu_time() - start
}

/// CPU time of this thread.
pub fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The middle one of an odd number of values.
fn median(mut values: [f64; ROUNDS]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[ROUNDS / 2]
}
