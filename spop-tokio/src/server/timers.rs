use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection has a deadline for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Timer {
    /// The peer's HELLO.
    Hello,
    /// Answers that the peer does not read.
    Write,
    /// The pause between two parts of long answers.
    Pace,
    /// The oldest request at work.
    Request,
    /// The time without a request.
    Idle,
    /// The life of the connection.
    Age,
    /// The time in which nothing comes on a connection that is quiet.
    Quiet,
    /// HAProxy's time to read that it is to send one request at a time.
    Settle,
    /// The end that was begun.
    Deadline,
}

impl Timer {
    const ALL: [Self; 9] = [
        Self::Hello,
        Self::Write,
        Self::Pace,
        Self::Request,
        Self::Idle,
        Self::Age,
        Self::Quiet,
        Self::Settle,
        Self::Deadline,
    ];
}

/// The deadlines of one connection on one timer of the runtime.
///
/// Putting a deadline off, which happens with every request, costs nothing: the runtime's timer fires too early then, and
/// is set anew.
pub(super) struct Timers {
    deadlines: [Option<Instant>; Timer::ALL.len()],
    /// No deadline is before this.
    bound: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self { deadlines: [None; Timer::ALL.len()], bound: None, sleep: None }
    }

    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.deadlines[timer as usize] = Some(at);
        self.bound = Some(self.bound.map_or(at, |bound| bound.min(at)));
    }

    pub(super) fn set_if_unset(&mut self, timer: Timer, at: impl FnOnce() -> Instant) {
        if !self.is_set(timer) {
            self.set(timer, at());
        }
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.deadlines[timer as usize].is_some()
    }

    pub(super) fn set_request_deadline(&mut self, at: Option<Instant>) {
        match at {
            Some(at) => self.set(Timer::Request, at),
            None => self.clear(Timer::Request),
        }
    }

    /// The next timer whose time is over; it is cleared.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        while let Some(bound) = self.bound {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(bound)));
            if sleep.deadline() != bound {
                sleep.as_mut().reset(bound);
            }
            ready!(sleep.as_mut().poll(cx));
            let next = self.next();
            if let Some((at, timer)) = next
                && at <= Instant::now()
            {
                self.clear(timer);
                return Poll::Ready(timer);
            }
            self.bound = next.map(|(at, _)| at);
        }
        Poll::Pending
    }

    fn next(&self) -> Option<(Instant, Timer)> {
        let set = Timer::ALL.into_iter().filter_map(|timer| Some((self.deadlines[timer as usize]?, timer)));
        set.min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The next timer, and how many seconds after `start`.
    async fn next(timers: &mut Timers, start: Instant) -> (Timer, u64) {
        let wait = tokio::time::timeout(100 * SECOND, poll_fn(|cx| timers.poll(cx)));
        (wait.await.expect("a timer is set"), start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn timers_fire_in_the_order_of_their_deadlines_and_once() {
        let (mut timers, start) = (Timers::new(), Instant::now());
        timers.set(Timer::Age, start + 3 * SECOND);
        timers.set(Timer::Hello, start + SECOND);
        timers.set_request_deadline(Some(start + 2 * SECOND));
        for want in [(Timer::Hello, 1), (Timer::Request, 2), (Timer::Age, 3)] {
            assert_eq!(next(&mut timers, start).await, want);
        }
        assert!(tokio::time::timeout(SECOND, poll_fn(|cx| timers.poll(cx))).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_was_put_off_or_cleared_does_not_fire() {
        let (mut timers, start) = (Timers::new(), Instant::now());
        timers.set(Timer::Idle, start + SECOND);
        timers.set(Timer::Write, start + 2 * SECOND);
        assert!(tokio::time::timeout(SECOND / 2, poll_fn(|cx| timers.poll(cx))).await.is_err());
        timers.set(Timer::Idle, start + 5 * SECOND);
        timers.clear(Timer::Write);
        assert_eq!(next(&mut timers, start).await, (Timer::Idle, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_before_the_one_that_is_waited_for_fires_at_its_time() {
        let (mut timers, start) = (Timers::new(), Instant::now());
        timers.set(Timer::Age, start + 50 * SECOND);
        assert!(tokio::time::timeout(SECOND, poll_fn(|cx| timers.poll(cx))).await.is_err());
        timers.set_if_unset(Timer::Write, || start + 2 * SECOND);
        timers.set_if_unset(Timer::Write, || unreachable!("it is set"));
        assert_eq!(next(&mut timers, start).await, (Timer::Write, 2));
        assert_eq!(next(&mut timers, start).await, (Timer::Age, 50));
    }
}
