//! The time of one connection: tokio's clock, in the protocol's terms.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// The clock of a connection, and its one timer of the runtime.
///
/// Putting a deadline off, which happens with every request, costs nothing: the runtime's timer fires too early then,
/// and is set anew.
pub(super) struct Clock {
    origin: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// What the timer is set to, or earlier: no deadline is before this.
    armed: Option<spop::Instant>,
}

impl Clock {
    /// Counts from `origin`.
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, timer: None, armed: None }
    }

    /// Returns the time.
    #[inline]
    pub(super) fn now(&self) -> spop::Instant {
        self.at(Instant::now())
    }

    /// Converts a moment of tokio's.
    #[inline]
    pub(super) fn at(&self, moment: Instant) -> spop::Instant {
        spop::Instant::from_origin(moment.saturating_duration_since(self.origin))
    }

    /// Ready once the time is `deadline`, or a while before.
    #[inline]
    pub(super) fn poll_until(&mut self, deadline: Option<spop::Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else { return Poll::Pending };
        if self.armed.is_none_or(|armed| deadline < armed) {
            self.arm(deadline);
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        ready!(timer.as_mut().poll(cx));
        self.armed = None;
        Poll::Ready(())
    }

    #[cold]
    fn arm(&mut self, deadline: spop::Instant) {
        self.armed = Some(deadline);
        // What is past all time never comes.
        let Some(at) = self.origin.checked_add(deadline.since_origin()) else { return self.timer = None };
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many seconds it takes until the clock is ready for `deadline`.
    async fn wait(clock: &mut Clock, deadline: Duration) -> u64 {
        let start = Instant::now();
        let deadline = Some(spop::Instant::from_origin(deadline));
        tokio::time::timeout(100 * SECOND, poll_fn(|cx| clock.poll_until(deadline, cx))).await.unwrap();
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_is_put_off_wakes_early_once() {
        let mut clock = Clock::new(Instant::now());
        let early = Some(spop::Instant::from_origin(SECOND));
        assert!(poll_fn(|cx| Poll::Ready(clock.poll_until(early, cx))).await.is_pending());
        assert_eq!(wait(&mut clock, 5 * SECOND).await, 1);
        assert_eq!(wait(&mut clock, 5 * SECOND).await, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_wakes_at_its_time() {
        let mut clock = Clock::new(Instant::now());
        let late = Some(spop::Instant::from_origin(50 * SECOND));
        assert!(poll_fn(|cx| Poll::Ready(clock.poll_until(late, cx))).await.is_pending());
        assert_eq!(wait(&mut clock, 2 * SECOND).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn no_deadline_and_one_past_all_time_never_come() {
        let mut clock = Clock::new(Instant::now());
        for deadline in [None, Some(spop::Instant::default() + Duration::MAX)] {
            let wait = tokio::time::timeout(SECOND, poll_fn(|cx| clock.poll_until(deadline, cx)));
            assert!(wait.await.is_err());
        }
    }
}
