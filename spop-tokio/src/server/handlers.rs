//! The handlers of one connection: polled where they are, without a task of their own.

use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::stream::{FuturesUnordered, StreamExt};
use spop::agent::Ticket;
use spop::{Instant, NotifyId};
use tokio::time::Duration;

use super::observer::Watch;

/// A request whose handler had to wait, and is done.
pub(super) struct Finished<'c, T> {
    pub(super) ticket: Ticket,
    pub(super) watch: Watch<'c>,
    pub(super) outcome: Outcome<T>,
}

/// What became of a request.
pub(super) enum Outcome<T> {
    /// The handler answered or failed.
    Done(T),
    /// The handler panicked.
    Panicked,
    /// The handler was dropped: its time was over.
    TimedOut,
    /// The handler was dropped: nobody waits for the answer.
    Cancelled,
    /// The handler was not started: as many wait as may.
    Refused,
    /// The handler was dropped: no more may wait.
    CutOff,
}

/// The handlers in flight.
///
/// Most handlers are ready at once. They are polled in a place that is kept from one request to the next, so they cost
/// no allocation; only one that must wait moves on to the others, place and all.
pub(super) struct Handlers<'c, F: Future> {
    place: Option<Place<F>>,
    waiting: FuturesUnordered<Waiting<'c, F>>,
    /// How many wait, on all connections.
    total: &'c AtomicUsize,
    /// How many may.
    max_total: usize,
    timeout: Option<Duration>,
    /// No handler's time is over before this.
    next_deadline: Option<Instant>,
    /// No more may wait.
    closed: bool,
}

/// Where a future can be polled, and be replaced by the next one.
type Place<F> = Pin<Box<Option<F>>>;

impl<'c, F: Future> Handlers<'c, F> {
    pub(super) fn new(timeout: Option<Duration>, total: &'c AtomicUsize, max_total: usize) -> Self {
        Self {
            place: None,
            waiting: FuturesUnordered::new(),
            total,
            max_total,
            timeout,
            next_deadline: None,
            closed: false,
        }
    }

    /// Calls `handler` and polls it once; returns its outcome, or, if it must wait, keeps it and takes `watch`.
    #[inline]
    pub(super) fn start(
        &mut self,
        ticket: Ticket,
        watch: &mut Watch<'c>,
        handler: impl FnOnce() -> F,
        now: Instant,
        cx: &mut Context<'_>,
    ) -> Option<(Ticket, Outcome<F::Output>)> {
        if self.total.load(Ordering::Relaxed) >= self.max_total {
            return Some((ticket, Outcome::Refused));
        }
        let mut place = self.place.take().unwrap_or_else(|| Box::pin(None));
        {
            let _entered = watch.span.enter();
            let polled = catch_unwind(AssertUnwindSafe(|| {
                place.set(Some(handler()));
                poll_place(&mut place, cx)
            }));
            match polled {
                Ok(Poll::Ready(output)) => {
                    self.place = empty_quietly(place);
                    return Some((ticket, Outcome::Done(output)));
                }
                Ok(Poll::Pending) if self.closed => {
                    self.place = empty_quietly(place);
                    return Some((ticket, Outcome::CutOff));
                }
                Ok(Poll::Pending) => {}
                Err(_) => {
                    drop_quietly(place);
                    return Some((ticket, Outcome::Panicked));
                }
            }
        }
        self.keep(ticket, mem::replace(watch, Watch::none()), place, now);
        None
    }

    fn keep(&mut self, ticket: Ticket, mut watch: Watch<'c>, place: Place<F>, now: Instant) {
        watch.waits();
        let deadline = self.timeout.map(|timeout| now + timeout);
        // All have the same time, so the first one to come is the first one to go.
        self.next_deadline = self.next_deadline.or(deadline);
        let count = Some(Count::new(self.total));
        let place = Some(place);
        let ticket = Some(ticket);
        self.waiting.push(Waiting { ticket, watch, place, deadline, dropped: None, waker: None, count });
    }

    /// The next handler that had to wait and is done; `None` while there is none.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<Finished<'c, F::Output>> {
        match self.waiting.poll_next_unpin(cx) {
            Poll::Ready(next) => next,
            Poll::Pending => None,
        }
    }

    /// Drops the handler of `id`; its outcome will be [`Outcome::Cancelled`], even if its time was over just now:
    /// another request may have its id by then.
    pub(super) fn cancel(&mut self, id: NotifyId) {
        let mut waiting = self.waiting.iter_mut();
        if let Some(waiting) = waiting.find(|waiting| waiting.is_for(id)) {
            waiting.drop_handler(Reason::Cancelled);
        }
    }

    /// Drops the handlers whose time is over by `now`; their outcome will be [`Outcome::TimedOut`].
    pub(super) fn expire(&mut self, now: Instant) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.dropped.is_none()) {
            if waiting.deadline.is_some_and(|at| at <= now) {
                waiting.drop_handler(Reason::TimedOut);
            }
        }
        let left = self.waiting.iter().filter(|waiting| waiting.dropped.is_none());
        self.next_deadline = left.filter_map(|waiting| waiting.deadline).min();
    }

    /// Drops the handlers that wait, and from now on each that would have to; their outcome is [`Outcome::CutOff`].
    pub(super) fn close(&mut self) {
        self.closed = true;
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.dropped.is_none()) {
            waiting.drop_handler(Reason::CutOff);
        }
    }

    /// Drops all handlers: nobody waits for any answer.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// When to call [`expire`](Self::expire).
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// A handler that must wait. Lives as long as it is in the set; the handler itself may go before.
struct Waiting<'c, F> {
    /// Until the outcome is known.
    ticket: Option<Ticket>,
    watch: Watch<'c>,
    /// Empty once the handler is gone.
    place: Option<Place<F>>,
    deadline: Option<Instant>,
    dropped: Option<Reason>,
    /// Wakes the set, to have it look at a handler that was dropped.
    waker: Option<Waker>,
    /// Until the handler is dropped: its place is free at once, for the next request in the input.
    count: Option<Count<'c>>,
}

/// One more while it lives.
struct Count<'c>(&'c AtomicUsize);

impl<'c> Count<'c> {
    fn new(total: &'c AtomicUsize) -> Self {
        total.fetch_add(1, Ordering::Relaxed);
        Self(total)
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy)]
enum Reason {
    Cancelled,
    TimedOut,
    CutOff,
}

/// A connection that ends drops the handlers that still wait.
impl<F> Drop for Waiting<'_, F> {
    fn drop(&mut self) {
        let _entered = self.watch.span.enter();
        drop_quietly(self.place.take());
    }
}

impl<F> Waiting<'_, F> {
    /// Whether the request `id` is in flight here.
    fn is_for(&self, id: NotifyId) -> bool {
        let ticket = self.ticket.as_ref().filter(|_| !matches!(self.dropped, Some(Reason::Cancelled)));
        ticket.is_some_and(|ticket| ticket.id() == id)
    }

    fn drop_handler(&mut self, reason: Reason) {
        self.dropped = Some(reason);
        self.watch.span.in_scope(|| drop_quietly(self.place.take()));
        self.count = None;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl<'c, F: Future> Future for Waiting<'c, F> {
    type Output = Finished<'c, F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let waiting = &mut *self;
        let outcome = {
            let _entered = waiting.watch.span.enter();
            let outcome = match (waiting.dropped, &mut waiting.place) {
                (Some(Reason::TimedOut), _) => Outcome::TimedOut,
                (Some(Reason::CutOff), _) => Outcome::CutOff,
                (Some(Reason::Cancelled), _) | (None, None) => Outcome::Cancelled,
                (None, Some(place)) => match catch_unwind(AssertUnwindSafe(|| poll_place(place, cx))) {
                    Ok(Poll::Ready(output)) => Outcome::Done(output),
                    Ok(Poll::Pending) => {
                        waiting.waker = Some(cx.waker().clone());
                        return Poll::Pending;
                    }
                    Err(_) => Outcome::Panicked,
                },
            };
            drop_quietly(waiting.place.take());
            outcome
        };
        let watch = mem::replace(&mut waiting.watch, Watch::none());
        // It is ready once.
        let Some(ticket) = waiting.ticket.take() else { return Poll::Pending };
        Poll::Ready(Finished { ticket, watch, outcome })
    }
}

/// Polls the future in `place`; an empty place is never ready.
#[inline]
fn poll_place<F: Future>(place: &mut Place<F>, cx: &mut Context<'_>) -> Poll<F::Output> {
    match place.as_mut().as_pin_mut() {
        Some(future) => future.poll(cx),
        None => Poll::Pending,
    }
}

/// A future that panics when it is dropped harms nobody but itself.
fn drop_quietly<P>(place: P) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(place)));
}

/// Empties the place for the next future, unless this one panics when it is dropped.
#[inline]
fn empty_quietly<F>(mut place: Place<F>) -> Option<Place<F>> {
    catch_unwind(AssertUnwindSafe(|| place.set(None))).ok().map(|()| place)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use bytes::BytesMut;
    use spop::agent::{self, Connection, Event};
    use spop::haproxy;

    use super::*;

    const ID: NotifyId = NotifyId { stream_id: 1, frame_id: 1 };
    const OTHER: NotifyId = NotifyId { stream_id: 3, frame_id: 1 };
    const TIME: Duration = Duration::from_secs(1);

    type Boxed = Pin<Box<dyn Future<Output = ()>>>;

    const START: Instant = Instant::from_origin(Duration::ZERO);

    /// A ticket for `id`, of a connection of its own.
    fn ticket(id: NotifyId) -> Ticket {
        let mut haproxy = haproxy::Connection::new(haproxy::Config::new(haproxy::Engine::Mux));
        let mut agent = Connection::new(agent::Config::new(), START);
        let (mut to_agent, mut to_haproxy) = (BytesMut::new(), BytesMut::new());
        haproxy.hello(&mut to_agent).unwrap();
        agent.handle_input(&mut to_agent, START);
        to_haproxy.extend_from_slice(agent.poll_transmit(START));
        haproxy.handle_input(&mut to_haproxy, &mut to_agent).unwrap();
        loop {
            haproxy.notify(&mut to_agent).unwrap().finish();
            match agent.handle_input(&mut to_agent, START) {
                Some(Event::Notify(_, ticket)) if ticket.id() == id => return ticket,
                Some(Event::Notify(..)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn start(handlers: &mut Handlers<'_, Boxed>, id: NotifyId, handler: Boxed) -> Option<Outcome<()>> {
        start_at(handlers, id, handler, START)
    }

    fn start_at(
        handlers: &mut Handlers<'_, Boxed>,
        id: NotifyId,
        handler: Boxed,
        now: Instant,
    ) -> Option<Outcome<()>> {
        let cx = &mut Context::from_waker(Waker::noop());
        let started = handlers.start(ticket(id), &mut Watch::none(), || handler, now, cx);
        started.map(|(_, outcome)| outcome)
    }

    fn next(handlers: &mut Handlers<'_, Boxed>) -> Option<(NotifyId, Outcome<()>)> {
        let finished = handlers.poll_next(&mut Context::from_waker(Waker::noop()))?;
        Some((finished.ticket.id(), finished.outcome))
    }

    #[test]
    fn a_handler_that_is_ready_at_once_never_waits() {
        let total = AtomicUsize::new(0);
        let mut handlers = Handlers::new(Some(TIME), &total, usize::MAX);
        for _ in 0..2 {
            assert!(matches!(start(&mut handlers, ID, Box::pin(ready(()))), Some(Outcome::Done(()))));
        }
        assert!(handlers.is_empty() && handlers.next_deadline().is_none());
    }

    #[test]
    fn handlers_that_wait_are_counted_until_they_are_gone() {
        let total = AtomicUsize::new(0);
        let mut handlers = Handlers::new(None, &total, usize::MAX);
        for id in [ID, OTHER, OTHER] {
            assert!(start(&mut handlers, id, Box::pin(pending())).is_none());
        }
        assert_eq!(total.load(Ordering::Relaxed), 3);
        handlers.cancel(ID);
        assert_eq!(total.load(Ordering::Relaxed), 2);
        assert!(matches!(next(&mut handlers), Some((ID, Outcome::Cancelled))));
        assert_eq!(total.load(Ordering::Relaxed), 2);
        handlers.clear();
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn as_many_handlers_wait_as_may_whichever_connection_has_them() {
        let total = AtomicUsize::new(0);
        let [mut handlers, mut others] = [(); 2].map(|()| Handlers::new(None, &total, 2));
        assert!(start(&mut handlers, ID, Box::pin(pending())).is_none());
        assert!(start(&mut others, ID, Box::pin(pending())).is_none());
        assert!(matches!(start(&mut handlers, OTHER, Box::pin(ready(()))), Some(Outcome::Refused)));
        others.clear();
        assert!(matches!(start(&mut handlers, OTHER, Box::pin(ready(()))), Some(Outcome::Done(()))));
    }

    #[test]
    fn time_is_over_for_each_when_it_has_passed_since_its_start() {
        let total = AtomicUsize::new(0);
        let mut handlers = Handlers::new(Some(TIME), &total, usize::MAX);
        assert!(start(&mut handlers, ID, Box::pin(pending())).is_none());
        let first = handlers.next_deadline().unwrap();
        let later = START + TIME / 2;
        assert!(start_at(&mut handlers, OTHER, Box::pin(pending()), later).is_none());
        assert_eq!(handlers.next_deadline(), Some(first));
        handlers.expire(first);
        assert!(matches!(next(&mut handlers), Some((ID, Outcome::TimedOut))));
        let second = handlers.next_deadline().unwrap();
        assert!(second > first && next(&mut handlers).is_none());
        handlers.expire(second);
        assert!(matches!(next(&mut handlers), Some((OTHER, Outcome::TimedOut))));
        assert_eq!(handlers.next_deadline(), None);
    }

    #[test]
    fn a_request_that_is_superseded_when_its_time_was_over_has_no_outcome_for_the_new_one() {
        let total = AtomicUsize::new(0);
        let mut handlers = Handlers::new(Some(TIME), &total, usize::MAX);
        assert!(start(&mut handlers, ID, Box::pin(pending())).is_none());
        handlers.expire(START + TIME);
        handlers.cancel(ID);
        assert!(start(&mut handlers, ID, Box::pin(pending())).is_none());
        assert!(matches!(next(&mut handlers), Some((ID, Outcome::Cancelled))));
        assert!(next(&mut handlers).is_none());
    }
}
