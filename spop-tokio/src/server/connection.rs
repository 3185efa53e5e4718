//! One connection: reads a burst, starts its handlers, sends all answers that are ready in one write. Every rule of the protocol
//! is in [`spop::agent::Connection`]; here are its socket, its clock and its handlers.

mod respond;
mod stream;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use spop::agent::{Connection, Event, Timeout};
use spop::{Actions, DecodeErrorKind, State, Status};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::yield_now;

use self::stream::Sent;
use super::clock::Clock;
use super::config::{Config, FailureKind};
use super::engines::{Engine, Engines};
use super::handlers::Handlers;
use super::observer::Observer;
use super::shutdown::Signal;
use crate::service::{ConnectionInfo, Peer, Request};
use crate::{BoxError, Error};

/// How much to read at a time on a connection that is quiet: it counts for every idle connection.
const IDLE_READ: usize = 512;
/// The least that one read takes once there was a burst.
const MIN_READ: usize = 2 * 1024;
/// The most that one read takes: about what HAProxy can have under way on one connection.
const MAX_READ: usize = 64 * 1024;
/// How many frames are handled before others have their turn: deadlines, and the other connections of the thread. HAProxy has 20
/// NOTIFYs under way at most.
const MAX_FRAMES: usize = 128;
/// How many times the socket is read before that.
const MAX_READS: usize = 8;

/// Drives one connection to its end.
pub(super) struct Driver<'c, Io, C, F: Future> {
    io: Io,
    connection: Connection,
    config: &'c Config,
    peer: Peer,
    /// Known from the HELLO on.
    info: Option<Arc<ConnectionInfo>>,
    call: C,
    handlers: Handlers<'c, F>,
    observer: Observer<'c>,
    input: BytesMut,
    /// How much to read at a time: what the last bursts had.
    read_size: usize,
    clock: Clock,
    now: spop::Instant,
    signal: Signal,
    /// Whether the signal was heard.
    draining: bool,
    /// Whether the sending side of the stream is shut down.
    shut: bool,
    engines: &'c Engines,
    /// That of the peer, from the HELLO on.
    engine: Option<Arc<Engine>>,
    /// Ready once the runtime has looked at its sockets.
    look: Option<Look>,
    /// The requests that got the fallback because the time for the drain was over.
    cut: usize,
    /// A health check, and whether it was passed.
    check: Option<bool>,
    /// How it ended, from the moment on from which there is nothing but last bytes.
    end: Option<End>,
}

/// How a connection ended.
pub(super) struct End {
    /// Requests that were left without an answer of their handlers.
    pub(super) unanswered: usize,
    pub(super) result: Result<(), Error>,
}

/// A turn of the runtime.
type Look = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether there is more to do.
enum Work {
    /// It goes on when something comes.
    Idle,
    /// It goes on once others had their turn.
    More,
}

impl<'c, Io, C, F, E> Driver<'c, Io, C, F>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    C: Fn(Request) -> F,
    F: Future<Output = Result<Actions, E>>,
    E: Into<BoxError>,
{
    #[expect(clippy::too_many_arguments, reason = "each is used where it is made")]
    pub(super) fn new(
        io: Io,
        peer: Peer,
        config: &'c Config,
        call: C,
        handlers: Handlers<'c, F>,
        observer: Observer<'c>,
        signal: Signal,
        engines: &'c Engines,
    ) -> Self {
        let clock = Clock::new(engines.start());
        let now = clock.now();
        let agent = config.of_connection().longest_ack(engines.longest_ack(0));
        Self {
            io,
            connection: Connection::new(agent, now),
            peer,
            info: None,
            call,
            handlers,
            observer,
            input: BytesMut::new(),
            read_size: IDLE_READ,
            clock,
            now,
            signal,
            draining: false,
            shut: false,
            engines,
            engine: None,
            look: None,
            cut: 0,
            check: None,
            end: None,
            config,
        }
    }

    /// Runs until the connection has ended.
    pub(super) async fn run(mut self) -> End {
        poll_fn(|cx| self.poll(cx)).await;
        if let Some(passed) = self.check {
            self.signal.shutdown().checked(passed);
        }
        self.end.unwrap_or(End { unanswered: 0, result: Ok(()) })
    }

    /// Ready once the socket is to be closed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.now = self.clock.now();
            // First of all: a peer that keeps the connection busy must not put anything off.
            self.handle_timeouts(cx);
            let worked = self.work(cx);
            if self.connection.state() == State::Closed {
                return Poll::Ready(());
            }
            // After the reading: a request that has arrived by now is still answered.
            if !self.draining
                && let Poll::Ready(deadline) = self.signal.poll(cx)
            {
                self.draining = true;
                self.connection.start_drain(self.now, self.clock.at(deadline));
                continue;
            }
            if let Work::More = worked {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let requests = self.handlers.next_deadline();
            let deadline = self.connection.poll_timeout().into_iter().chain(requests).min();
            if self.clock.poll_until(deadline, cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Goes around until the stream and the handlers have nothing more to give, or it was enough for a turn.
    fn work(&mut self, cx: &mut Context<'_>) -> Work {
        let (mut frames, mut reads) = (MAX_FRAMES, MAX_READS);
        self.poll_handlers(cx);
        // Most often a request has come, and nothing is left of the turn before.
        let lingering = self.connection.state() == State::Lingering;
        let mut more = !self.input.is_empty() || self.connection.unsent() > 0 || lingering;
        loop {
            if more && let Some(work) = self.respond(cx, &mut frames) {
                return work;
            }
            more = true;
            // At the cap only as much is read as shows whether the peer is still there.
            let full = self.connection.is_full();
            if full && self.input.len() >= MAX_READ {
                return Work::Idle;
            }
            if reads == 0 {
                return Work::More;
            }
            reads -= 1;
            match self.poll_read(cx) {
                Poll::Ready(Ok(1..)) => {
                    self.look = None;
                    continue;
                }
                Poll::Ready(Ok(0)) => self.handle_eof(),
                Poll::Ready(Err(error)) => self.fail_io(error),
                Poll::Pending if full => {}
                Poll::Pending => self.input_drained(cx),
            }
            return Work::Idle;
        }
    }

    /// Handles the input, and sends what is ready; returns what to do next if it is not to read.
    #[inline]
    fn respond(&mut self, cx: &mut Context<'_>, frames: &mut usize) -> Option<Work> {
        loop {
            self.take_input(cx, frames);
            if *frames == 0 && self.connection.unsent() < MAX_READ {
                // The answers to a burst leave together.
                return Some(Work::More);
            }
            let full = self.connection.is_full();
            self.share();
            let sent = self.poll_send(cx);
            self.watch_end();
            return match sent {
                _ if *frames == 0 => Some(Work::More),
                // What was sent may have made capacity for a request that is in the input already.
                Sent::All if full && !self.connection.is_full() => continue,
                Sent::All => None,
                // A peer that does not read is not read from.
                Sent::Part => Some(Work::Idle),
            };
        }
    }

    fn handle_timeouts(&mut self, cx: &mut Context<'_>) {
        if self.handlers.next_deadline().is_some_and(|at| at <= self.now) {
            // One that is ready by now has answered in time.
            self.poll_handlers(cx);
            self.handlers.expire(self.now);
        }
        while let Some(timeout) = self.connection.handle_timeout(self.now) {
            match timeout {
                Timeout::Hello => self.late("the peer sent no HELLO in time"),
                Timeout::Write => self.late("the peer did not read its answers in time"),
                Timeout::Drain => self.cut_off(cx),
                Timeout::Quiet => self.shrink(),
                _ => {}
            }
        }
    }

    /// The time for the drain is over: what is in flight gets the fallback, as HAProxy would wait for it or fail.
    fn cut_off(&mut self, cx: &mut Context<'_>) {
        self.handlers.close();
        self.poll_handlers(cx);
        let mut frames = MAX_FRAMES;
        self.take_input(cx, &mut frames);
        self.connection.disconnect(Status::NORMAL, "");
    }

    /// Collects the answers of all handlers that have become ready.
    fn poll_handlers(&mut self, cx: &mut Context<'_>) {
        if self.handlers.is_empty() {
            return;
        }
        while let Some(finished) = self.handlers.poll_next(cx) {
            self.respond_with(finished.ticket, &finished.watch, finished.outcome);
        }
    }

    /// Handles complete frames of the input, as many as `frames` says, and counts that down.
    fn take_input(&mut self, cx: &mut Context<'_>, frames: &mut usize) {
        if self.connection.state() == State::Hello && self.signal.shutdown().fails_checks() {
            self.connection.fail_health_checks();
        }
        while *frames > 0 {
            let Some(event) = self.connection.handle_input(&mut self.input, self.now) else { return };
            self.on_event(event, cx);
            *frames -= 1;
        }
    }

    fn on_event(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Notify(notify, ticket) => {
                let Some(info) = self.info.clone() else { return };
                let request = Request::new(notify, info);
                let mut watch = self.observer.request(&request);
                let call = &self.call;
                let started = self.handlers.start(ticket, &mut watch, || call(request), self.now, cx);
                if let Some((ticket, outcome)) = started {
                    self.respond_with(ticket, &watch, outcome);
                }
            }
            Event::Malformed(error, ticket) => {
                let too_big = error.kind() == DecodeErrorKind::FragmentsTooBig;
                let kind = if too_big { FailureKind::TooBig } else { FailureKind::Malformed };
                self.fail(ticket, kind, Some(error.into()));
            }
            Event::GivenUp(id) => {
                self.observer.aborted(id);
                self.handlers.cancel(id);
                // It is gone at once, and whatever is ready with it.
                self.poll_handlers(cx);
            }
            Event::Connected(negotiated) => {
                self.observer.connected(&negotiated);
                self.engine = negotiated.engine_id.as_deref().map(|id| self.engines.engine(id));
                self.info = Some(Arc::new(ConnectionInfo { peer: self.peer.clone(), negotiated }));
            }
            Event::HealthCheck { passed } => {
                self.check = Some(passed);
                self.observer.checked(passed);
            }
            Event::Disconnected(disconnect) => self.observer.disconnected(disconnect.status),
            Event::Failed(error) => self.ended(Err(error.into())),
            _ => {}
        }
    }

    /// Tells the server's other connections what matters to them, and hears it from them.
    #[inline]
    fn share(&mut self) {
        let longest = self.engines.longest_ack(self.connection.longest_ack());
        self.connection.expect_acks(longest);
        if let (Some(engine), Some(moment)) = (&self.engine, self.connection.seen_running_after()) {
            engine.seen_running_after(moment);
        }
    }

    /// All that has come is handled, as far as the runtime knows. Where it matters, it is to look at its sockets once more before
    /// that counts: it may not know yet of what came before the last answers were sent.
    fn input_drained(&mut self, cx: &mut Context<'_>) {
        if self.connection.needs_evidence() {
            let look = self.look.get_or_insert_with(|| Box::pin(yield_now()));
            if look.as_mut().poll(cx).is_pending() {
                return;
            }
        }
        self.look = None;
        self.connection.input_drained();
    }

    /// Notices that the connection has ended as it should.
    #[inline]
    fn watch_end(&mut self) {
        let state = self.connection.state();
        if self.end.is_none() && matches!(state, State::Closing | State::Lingering) {
            self.ended(Ok(()));
        }
    }

    fn handle_eof(&mut self) {
        self.observer.connection.ended_by_haproxy(None);
        let result = self.connection.handle_eof(&self.input);
        self.ended(result.map_err(Error::from));
    }

    /// The stream failed: there is nobody to talk to any more.
    #[cold]
    fn fail_io(&mut self, error: io::Error) {
        let _ = self.connection.handle_eof(&[]);
        // HAProxy from 3.1 ends idle connections with a reset; up to 3.0 it does so after a health check.
        if is_peer_gone(&error) {
            self.observer.reset(self.connection.in_flight() + self.cut);
            self.ended(Ok(()));
        } else {
            self.observer.connection.ended_by_haproxy(None);
            self.ended(Err(error.into()));
        }
    }

    fn late(&mut self, what: &'static str) {
        self.ended(Err(Error::timeout(what)));
    }

    /// Nothing is answered any more; last bytes may still be sent. The first end counts.
    #[cold]
    fn ended(&mut self, result: Result<(), Error>) {
        if self.end.is_some() {
            return;
        }
        let status = result.as_ref().err().map_or(Some(Status::NORMAL), Error::status);
        self.observer.connection.ended_by_agent(status);
        let unanswered = self.connection.in_flight() + self.cut;
        self.end = Some(End { unanswered, result });
        self.handlers.clear();
    }
}

/// Returns whether the error only says that the peer has left.
fn is_peer_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}
