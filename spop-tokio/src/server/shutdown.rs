//! The end of a server, and how its connections hear of it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// What the connections of a server share about its end.
#[derive(Debug)]
pub(super) struct Shutdown {
    start: Instant,
    /// When the last health check was passed: milliseconds after `start`, plus 1. 0 is never.
    last_check: AtomicU64,
    fails_checks: AtomicBool,
    /// A permit for each health check that has failed.
    failed: Semaphore,
    /// When the drain must be over; set when it begins.
    deadline: OnceLock<Instant>,
    /// Wakes the connections when the drain begins.
    begun: CancellationToken,
}

impl Shutdown {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            last_check: AtomicU64::new(0),
            fails_checks: AtomicBool::new(false),
            failed: Semaphore::new(0),
            deadline: OnceLock::new(),
            begun: CancellationToken::new(),
        })
    }

    /// Whether somebody has checked the agent's health in the last `time`.
    pub(super) fn was_checked_within(&self, time: Duration) -> bool {
        let last = self.last_check.load(Ordering::Relaxed);
        last > 0 && self.millis() - (last - 1) <= time.as_millis() as u64
    }

    /// From now on health checks fail.
    pub(super) fn fail_checks(&self) {
        self.fails_checks.store(true, Ordering::Relaxed);
    }

    pub(super) fn fails_checks(&self) -> bool {
        self.fails_checks.load(Ordering::Relaxed)
    }

    /// A health check was answered, and whoever asked has read that.
    pub(super) fn checked(&self, passed: bool) {
        if passed {
            self.last_check.store(self.millis() + 1, Ordering::Relaxed);
        } else {
            self.failed.add_permits(1);
        }
    }

    /// Ready once `count` health checks have failed.
    pub(super) async fn checks_failed(&self, count: u32) {
        // Never closed, so it cannot fail.
        let _ = self.failed.acquire_many(count).await;
    }

    /// Begins the drain of all connections.
    pub(super) fn drain(&self, deadline: Instant) {
        let _ = self.deadline.set(deadline);
        self.begun.cancel();
    }

    fn millis(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

/// A connection's ear for the beginning of the drain.
///
/// A connection asks each time it is woken, so that must cost next to nothing: only the first time, and when somebody
/// else is to be woken, is there more to do than to look.
pub(super) struct Signal {
    shutdown: Arc<Shutdown>,
    begun: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whom `begun` wakes.
    waker: Option<Waker>,
}

impl Signal {
    pub(super) fn new(shutdown: Arc<Shutdown>) -> Self {
        let begun = Box::pin(shutdown.begun.clone().cancelled_owned());
        Self { shutdown, begun, waker: None }
    }

    pub(super) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// When the drain must be over; pending until it begins.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.register(cx);
        }
        self.shutdown.deadline.get().map_or(Poll::Pending, |&deadline| Poll::Ready(deadline))
    }

    #[cold]
    fn register(&mut self, cx: &mut Context<'_>) {
        if self.begun.as_mut().poll(cx).is_pending() {
            self.waker = Some(cx.waker().clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_check_counts_for_as_long_as_is_asked() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.was_checked_within(Duration::MAX));
        shutdown.checked(true);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(shutdown.was_checked_within(Duration::from_secs(6)));
        assert!(!shutdown.was_checked_within(Duration::from_secs(4)));
    }

    #[tokio::test]
    async fn failed_checks_are_waited_for_and_passed_ones_do_not_count() {
        let shutdown = Shutdown::new();
        let mut failed = std::pin::pin!(shutdown.checks_failed(2));
        let mut is_over = async || poll_fn(|cx| Poll::Ready(failed.as_mut().poll(cx).is_ready())).await;
        for (passed, over) in [(false, false), (true, false), (false, true)] {
            shutdown.checked(passed);
            assert_eq!(is_over().await, over);
        }
    }

    #[tokio::test]
    async fn a_drain_is_heard_of_before_and_after_it_begins_whoever_listens() {
        let shutdown = Shutdown::new();
        let mut early = Signal::new(Arc::clone(&shutdown));
        assert!(early.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let task = tokio::spawn(async move { poll_fn(|cx| early.poll(cx)).await });
        tokio::task::yield_now().await;
        let deadline = Instant::now();
        shutdown.drain(deadline);
        assert_eq!(task.await.unwrap(), deadline);
        let mut late = Signal::new(shutdown);
        assert_eq!(poll_fn(|cx| late.poll(cx)).await, deadline);
    }
}
