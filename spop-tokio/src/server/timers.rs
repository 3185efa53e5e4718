use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection has a deadline for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Timer {
    /// The peer's HELLO.
    Hello,
    /// Answers that the peer does not read.
    Write,
    /// The oldest request at work.
    Request,
    /// The time without a request.
    Idle,
    /// The life of the connection.
    Age,
}

impl Timer {
    const ALL: [Self; 5] = [Self::Hello, Self::Write, Self::Request, Self::Idle, Self::Age];
}

/// The deadlines of one connection on one timer of the runtime.
///
/// Putting a deadline off, which happens with every request, costs nothing: the runtime's timer fires too early then, and
/// is set anew.
pub(super) struct Timers {
    deadlines: [Option<Instant>; Timer::ALL.len()],
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self { deadlines: [None; Timer::ALL.len()], sleep: None }
    }

    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.deadlines[timer as usize] = Some(at);
    }

    pub(super) fn set_if_unset(&mut self, timer: Timer, at: impl FnOnce() -> Instant) {
        self.deadlines[timer as usize].get_or_insert_with(at);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.deadlines[timer as usize] = None;
    }

    pub(super) fn set_request_deadline(&mut self, at: Option<Instant>) {
        self.deadlines[Timer::Request as usize] = at;
    }

    /// The next timer whose time is over; it is cleared.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        loop {
            let next =
                Timer::ALL.into_iter().filter_map(|timer| Some((self.deadlines[timer as usize]?, timer)));
            let Some((at, timer)) = next.min_by_key(|(at, _)| *at) else { return Poll::Pending };
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if at < sleep.deadline() {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if at <= Instant::now() {
                self.clear(timer);
                return Poll::Ready(timer);
            }
            sleep.as_mut().reset(at);
        }
    }
}
