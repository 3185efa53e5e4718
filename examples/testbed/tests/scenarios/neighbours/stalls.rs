//! A HAProxy or an agent that does not run for a while.

use std::ops::Range;
use std::time::{Duration, Instant};

use testbed::{AgentProcess, HaproxyProcess, Random};
use tokio::time::sleep;

use crate::bed::Outcome;

/// Who stalls, how long it runs in between, and how long it stalls.
#[derive(Clone, Debug)]
pub(super) struct Stalls {
    pub(super) who: Who,
    pub(super) every_ms: Range<u64>,
    pub(super) for_ms: Range<u64>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    Haproxy,
    Agent,
}

/// When something did not run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) start: Instant,
    pub(super) end: Instant,
}

impl Stalls {
    /// Stops it (SIGSTOP) and lets it go on (SIGCONT), again and again until `end`.
    pub(super) async fn run(
        &self,
        haproxy: &HaproxyProcess,
        agent: &AgentProcess,
        end: Instant,
    ) -> Outcome<Vec<Window>> {
        let random = Random::new(1);
        let mut windows = Vec::new();
        loop {
            let pause = pick(&random, &self.every_ms);
            // The last one is over before the end, so that its victims are counted.
            if Instant::now() + pause + Duration::from_millis(self.for_ms.end) > end {
                return Ok(windows);
            }
            sleep(pause).await;
            let start = Instant::now();
            match self.who {
                Who::Haproxy => haproxy.freeze()?,
                Who::Agent => agent.freeze()?,
            }
            sleep(pick(&random, &self.for_ms)).await;
            match self.who {
                Who::Haproxy => haproxy.thaw()?,
                Who::Agent => agent.thaw()?,
            }
            windows.push(Window { start, end: Instant::now() });
        }
    }
}

impl Window {
    /// How much of all `windows` is between two moments.
    pub(super) fn overlap(windows: &[Self], from: Instant, to: Instant) -> Duration {
        let overlap = |window: &Self| window.end.min(to).saturating_duration_since(window.start.max(from));
        windows.iter().map(overlap).sum()
    }
}

/// A time of a range of milliseconds.
pub(super) fn pick(random: &Random, millis: &Range<u64>) -> Duration {
    Duration::from_millis(millis.start + random.below(millis.end - millis.start))
}
