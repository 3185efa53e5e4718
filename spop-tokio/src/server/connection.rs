//! One connection: reads a burst, starts its handlers, sends all answers that are ready in one write.

mod answers;
mod drain;
mod stream;

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use spop::agent::{Connection, Event};
use spop::{Actions, DecodeErrorKind, Phase, Status};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant};

use self::drain::Drain;
use super::config::{Config, FailureKind};
use super::handlers::Handlers;
use super::observer::Observer;
use super::pace::Pace;
use super::shutdown::Signal;
use super::timers::{Timer, Timers};
use crate::service::{ConnectionInfo, Peer, Request};
use crate::{BoxError, Error};

/// Room to read into on a connection that is quiet: it counts for every idle connection.
const IDLE_READ: usize = 512;
/// The least that one read takes once there was a burst.
const MIN_READ: usize = 2 * 1024;
/// The most that one read takes: about what HAProxy can have under way on one connection.
const MAX_READ: usize = 64 * 1024;
/// While so many bytes wait to be sent, no more requests are taken. The answers to all 20 that HAProxy has waiting fit, at
/// 16 KiB each.
const MAX_UNSENT: usize = 320 * 1024;
/// How long to wait for the peer to close after our goodbye, so that the goodbye is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);

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
    out: BytesMut,
    /// How much to read at a time: what the last bursts had.
    read_size: usize,
    pace: Pace,
    timers: Timers,
    /// Something has come since `Timer::Quiet` was set.
    busy: bool,
    signal: Signal,
    drain: Drain,
    /// The requests that got the fallback because the time for the drain was over.
    cut: usize,
    /// A health check, and whether it was passed.
    check: Option<bool>,
}

/// How a connection ended.
pub(super) struct End {
    /// Requests that were left without an answer of their handlers.
    pub(super) unanswered: usize,
    pub(super) result: Result<(), Error>,
}

/// Why a connection ended that did not end well.
enum Fault {
    /// The stream failed: there is nobody to talk to any more.
    Io(io::Error),
    /// The peer did; what there is to say to it is in `out`.
    Peer(Error),
}

impl<'c, Io, C, F, E> Driver<'c, Io, C, F>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    C: Fn(Request) -> F,
    F: Future<Output = Result<Actions, E>>,
    E: Into<BoxError>,
{
    pub(super) fn new(
        io: Io,
        peer: Peer,
        config: &'c Config,
        call: C,
        handlers: Handlers<'c, F>,
        observer: Observer<'c>,
        signal: Signal,
    ) -> Self {
        let now = Instant::now();
        let mut timers = Timers::new();
        timers.set(Timer::Hello, now + config.hello_timeout);
        if let Some(age) = config.max_connection_age {
            timers.set(Timer::Age, now + jittered(age));
        }
        Self {
            io,
            connection: Connection::new(config.agent.clone()),
            peer,
            info: None,
            call,
            handlers,
            observer,
            input: BytesMut::new(),
            out: BytesMut::new(),
            read_size: IDLE_READ,
            pace: Pace::default(),
            timers,
            busy: false,
            signal,
            drain: Drain::No,
            cut: 0,
            check: None,
            config,
        }
    }

    /// Runs until the connection has ended.
    pub(super) async fn run(mut self) -> End {
        let result = poll_fn(|cx| self.poll(cx)).await;
        let unanswered = self.connection.in_flight() + self.cut;
        // Nobody waits for their answers any more, and the goodbye may take a while.
        self.handlers.clear();
        let result = match result {
            Ok(()) => {
                self.observer.connection.ended_by_agent(Some(Status::NORMAL));
                self.say_goodbye().await;
                Ok(())
            }
            Err(Fault::Peer(error)) => {
                self.observer.connection.ended_by_agent(error.status());
                self.say_goodbye().await;
                Err(error)
            }
            // HAProxy from 3.1 ends idle connections with a reset; up to 3.0 it does so after a health check.
            Err(Fault::Io(error)) if is_peer_gone(&error) => {
                self.observer.reset(unanswered);
                Ok(())
            }
            Err(Fault::Io(error)) => {
                self.observer.connection.ended_by_haproxy(None);
                Err(error.into())
            }
        };
        if let Some(passed) = self.check {
            self.signal.shutdown().checked(passed);
        }
        End { unanswered, result }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            if let Poll::Ready(end) = self.poll_work(cx) {
                return Poll::Ready(end);
            }
            // After the reading: a request that has arrived by now is still answered.
            if self.drain == Drain::No
                && let Poll::Ready(deadline) = self.signal.poll(cx)
            {
                self.begin_drain(deadline);
                continue;
            }
            self.timers.set_request_deadline(self.handlers.next_deadline());
            match self.timers.poll(cx) {
                Poll::Ready(timer) => self.on_timer(timer, cx)?,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Goes around until the stream and the handlers have nothing more to give.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            self.poll_handlers(cx);
            // An answer may have made room for a request that is in the input already.
            let taken = self.take_input(cx);
            let written = self.poll_write(cx).map_err(Fault::Io)?;
            let more = taken.map_err(Fault::Peer)?;
            match written {
                Poll::Ready(()) if more => continue,
                Poll::Pending if !self.waits_for_proof() => return Poll::Pending,
                _ => {}
            }
            if self.connection.phase() == Phase::Closed {
                return Poll::Ready(Ok(()));
            }
            // At the cap only as much is read as shows whether the peer is still there.
            if self.connection.is_full() && self.input.len() >= MAX_READ {
                return Poll::Pending;
            }
            if ready!(self.poll_read(cx)).map_err(Fault::Io)? == 0 {
                self.observer.connection.ended_by_haproxy(None);
                let end = self.connection.handle_eof(&self.input);
                return Poll::Ready(end.map_err(|error| Fault::Peer(error.into())));
            }
            self.touch();
        }
    }

    fn on_timer(&mut self, timer: Timer, cx: &mut Context<'_>) -> Result<(), Fault> {
        match timer {
            Timer::Hello => {
                self.connection.disconnect(Status::TIMEOUT, "", &mut self.out);
                return Err(Fault::Peer(Error::timeout("the peer sent no HELLO in time")));
            }
            Timer::Write => {
                self.out.clear();
                return Err(Fault::Peer(Error::timeout("the peer did not read its answers in time")));
            }
            Timer::Pace => {
                self.connection.assume_read(&self.out);
                // With one request at a time no answer has to wait like that.
                self.connection.stop_pipelining(&mut self.out);
            }
            Timer::Request => self.handlers.expire(Instant::now()),
            // Not a drain, which waits for the rest of a NOTIFY in fragments.
            Timer::Idle if self.connection.in_flight() == 0 => {
                self.connection.disconnect(Status::NORMAL, "", &mut self.out);
            }
            Timer::Idle => self.put_idle_off(),
            Timer::Age => self.begin_drain(Instant::now() + self.config.drain_timeout),
            Timer::Quiet => self.look_for_quiet(),
            Timer::Settle => self.drain_with_next_answer(),
            Timer::Deadline => self.cut_off(cx)?,
        }
        Ok(())
    }

    /// Collects the answers of all handlers that have become ready.
    fn poll_handlers(&mut self, cx: &mut Context<'_>) {
        if self.handlers.is_empty() {
            return;
        }
        while let Some(finished) = self.handlers.poll_next(cx) {
            self.answer(finished.id, &finished.watch, finished.outcome);
        }
    }

    /// Handles the complete frames of the input; gives whether it stopped for answers that are to be sent first.
    fn take_input(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        if self.connection.phase() == Phase::Hello && self.signal.decide_check() {
            self.connection.fail_health_check();
        }
        while self.out.len() < MAX_UNSENT {
            match self.connection.handle_input(&mut self.input, &mut self.out)? {
                Some(event) => self.on_event(event, cx),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn on_event(&mut self, event: Event, cx: &mut Context<'_>) {
        match event {
            Event::Notify(notify) => {
                self.drain_with_this_answer();
                let Some(info) = self.info.clone() else { return };
                let id = notify.id();
                let request = Request::new(notify, info);
                let mut watch = self.observer.request(&request);
                let call = &self.call;
                if let Some(outcome) = self.handlers.start(id, &mut watch, || call(request), cx) {
                    self.answer(id, &watch, outcome);
                }
            }
            Event::Malformed(id, error) => {
                self.drain_with_this_answer();
                let too_big = error.kind() == DecodeErrorKind::FragmentsTooBig;
                let kind = if too_big { FailureKind::TooBig } else { FailureKind::Malformed };
                self.fail(id, kind, Some(error.into()));
            }
            Event::Aborted(id) => {
                self.observer.aborted(id);
                self.handlers.cancel(id);
            }
            Event::Connected(negotiated) => {
                self.observer.connected(&negotiated);
                self.info = Some(Arc::new(ConnectionInfo { peer: self.peer.clone(), negotiated }));
                self.timers.clear(Timer::Hello);
            }
            Event::HealthCheck => {
                let passed = !self.signal.fails_check();
                self.check = Some(passed);
                self.observer.checked(passed);
            }
            Event::Disconnected(disconnect) => self.observer.disconnected(disconnect.status),
            _ => {}
        }
    }
}

/// Whether the error only says that the peer has left.
fn is_peer_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}

/// Up to a tenth less than `age`, so that connections that were opened together do not all end together.
fn jittered(age: Duration) -> Duration {
    // A source of randomness that std has; it is good enough for this.
    let random = RandomState::new().hash_one(());
    age - (age / 10).mul_f64(random as f64 / u64::MAX as f64)
}
