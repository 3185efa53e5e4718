//! A HAProxy, an agent or a whole machine that does not run for a while.

use std::ops::Range;
use std::time::{Duration, Instant};

use testbed::{Random, cpu_wait};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::run::Pair;
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
    pub(super) async fn run(&self, pair: &Pair, end: Instant) -> Outcome<Vec<Window>> {
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
                Who::Haproxy => pair.haproxy.freeze()?,
                Who::Agent => pair.agent.freeze()?,
            }
            sleep(pick(&random, &self.for_ms)).await;
            match self.who {
                Who::Haproxy => pair.haproxy.thaw()?,
                Who::Agent => pair.agent.thaw()?,
            }
            windows.push(Window { start, end: Instant::now() });
        }
    }
}

impl Window {
    /// The same windows in order, each moment in one of them only.
    pub(super) fn merge(mut windows: Vec<Self>) -> Vec<Self> {
        windows.sort_unstable_by_key(|window| window.start);
        windows.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        windows
    }

    /// How much of all `windows`, which are merged, is between two moments.
    pub(super) fn overlap(windows: &[Self], from: Instant, to: Instant) -> Duration {
        let overlap = |window: &Self| window.end.min(to).saturating_duration_since(window.start.max(from));
        windows.iter().map(overlap).sum()
    }
}

/// Notices when this process, HAProxy or the agent had no processor, as others on the machine had them.
pub(super) struct Watchdog {
    stop: oneshot::Sender<()>,
    windows: JoinHandle<Vec<Window>>,
}

impl Watchdog {
    const TICK: Duration = Duration::from_millis(5);
    /// Less is what the slack is for.
    const NOTICEABLE: Duration = Duration::from_millis(10);

    pub(super) fn start(pair: &Pair) -> Self {
        let (stop, stopped) = oneshot::channel();
        let mut pids = pair.haproxy.pids();
        pids.push(pair.agent.pid());
        Self { stop, windows: tokio::spawn(Self::watch(pids, stopped)) }
    }

    async fn watch(pids: Vec<u32>, mut stopped: oneshot::Receiver<()>) -> Vec<Window> {
        // Without what the kernel says, or the process, nothing is to be excused.
        let waits = || pids.iter().map(|&pid| cpu_wait(pid).unwrap_or_default());
        let mut last = Vec::from_iter(waits());
        let mut windows = Vec::new();
        loop {
            let expected = Instant::now() + Self::TICK;
            if timeout(Self::TICK, &mut stopped).await.is_ok() {
                return windows;
            }
            let end = Instant::now();
            let next = Vec::from_iter(waits());
            let waited = next.iter().zip(&last).map(|(next, last)| next.saturating_sub(*last));
            let longest = waited.chain([end - expected]).max().unwrap_or_default();
            if let Some(start) = end.checked_sub(longest).filter(|_| longest > Self::NOTICEABLE) {
                windows.push(Window { start, end });
            }
            last = next;
        }
    }

    pub(super) async fn stop(self) -> Outcome<Vec<Window>> {
        // It waits for this, or for its being dropped.
        let _ = self.stop.send(());
        Ok(self.windows.await?)
    }
}

/// A time of a range of milliseconds.
pub(super) fn pick(random: &Random, millis: &Range<u64>) -> Duration {
    Duration::from_millis(millis.start + random.below(millis.end - millis.start))
}
