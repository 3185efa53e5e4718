//! One connection: reads a burst, starts its handlers, sends all answers that are ready in one write.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use spop::agent::{Connection, Event};
use spop::{AckError, Actions, DecodeErrorKind, NotifyId, Phase, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Duration, Instant, timeout};
use tokio_util::io::poll_read_buf;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::config::{Config, Failure, FailureKind};
use super::handlers::{Handlers, Outcome};
use super::pace::Pace;
use super::timers::{Timer, Timers};
use crate::log::{debug, warning};
use crate::router::{Overload, Partial};
use crate::service::{ConnectionInfo, Peer, Request};
use crate::{BoxError, Error};

/// Room to read into on a connection that has nothing to do; kept, so it counts for every idle connection.
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
    input: BytesMut,
    out: BytesMut,
    /// How much to read at a time: what the last bursts had.
    read_size: usize,
    /// The last read filled its room.
    read_more: bool,
    pace: Pace,
    timers: Timers,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
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
        shutdown: WaitForCancellationFutureOwned,
    ) -> Self {
        let now = Instant::now();
        let mut timers = Timers::new();
        timers.set(Timer::Hello, now + config.hello_timeout);
        if let Some(age) = config.max_connection_age {
            timers.set(Timer::Age, now + age);
        }
        Self {
            io,
            connection: Connection::new(config.agent.clone()),
            peer,
            info: None,
            call,
            handlers,
            input: BytesMut::new(),
            out: BytesMut::new(),
            read_size: MIN_READ,
            read_more: false,
            pace: Pace::default(),
            timers,
            shutdown: Box::pin(shutdown),
            config,
        }
    }

    /// Runs until the connection has ended; gives how many requests were left without an answer.
    pub(super) async fn run(mut self) -> Result<usize, Error> {
        let result = poll_fn(|cx| self.poll(cx)).await;
        let unanswered = self.connection.in_flight();
        // Nobody waits for their answers any more, and the goodbye may take a while.
        self.handlers.clear();
        match result {
            Ok(()) => {
                self.say_goodbye().await;
                Ok(unanswered)
            }
            Err(Fault::Peer(error)) => {
                self.say_goodbye().await;
                Err(error)
            }
            // HAProxy from 3.1 ends idle connections with a reset; up to 3.0 it does so after a health check.
            Err(Fault::Io(error)) if is_peer_gone(&error) => {
                debug!(peer = %self.peer, unanswered, "connection reset by peer");
                Ok(unanswered)
            }
            Err(Fault::Io(error)) => Err(error.into()),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            if let Poll::Ready(end) = self.poll_work(cx) {
                return Poll::Ready(end);
            }
            // After the reading: a request that has arrived by now is still answered.
            if self.is_open() && self.shutdown.as_mut().poll(cx).is_ready() {
                self.connection.drain(&mut self.out);
                continue;
            }
            self.timers.set_request_deadline(self.handlers.next_deadline());
            match self.timers.poll(cx) {
                Poll::Ready(timer) => self.on_timer(timer)?,
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether the end of the connection is not in sight yet.
    fn is_open(&self) -> bool {
        matches!(self.connection.phase(), Phase::Hello | Phase::Running)
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
            if self.connection.is_full() {
                return Poll::Pending;
            }
            if ready!(self.poll_read(cx)).map_err(Fault::Io)? == 0 {
                let end = self.connection.handle_eof(&self.input);
                return Poll::Ready(end.map_err(|error| Fault::Peer(error.into())));
            }
            self.touch();
        }
    }

    fn on_timer(&mut self, timer: Timer) -> Result<(), Fault> {
        match timer {
            Timer::Hello => {
                self.connection.disconnect(Status::TIMEOUT, "", &mut self.out);
                return Err(Fault::Peer(Error::timeout("the peer sent no HELLO in time")));
            }
            Timer::Write => {
                self.out.clear();
                return Err(Fault::Peer(Error::timeout("the peer did not read its answers in time")));
            }
            Timer::Pace => self.connection.assume_read(&self.out),
            Timer::Request => self.handlers.expire(Instant::now()),
            Timer::Age => self.connection.drain(&mut self.out),
            Timer::Idle if self.connection.in_flight() == 0 => self.connection.drain(&mut self.out),
            Timer::Idle => self.touch(),
        }
        Ok(())
    }

    /// Puts the end of the idle time off.
    fn touch(&mut self) {
        if let Some(idle) = self.config.idle_timeout {
            self.timers.set(Timer::Idle, Instant::now() + idle);
        }
    }

    /// Collects the answers of all handlers that have become ready.
    fn poll_handlers(&mut self, cx: &mut Context<'_>) {
        if self.handlers.is_empty() {
            return;
        }
        while let Some((id, outcome)) = self.handlers.poll_next(cx) {
            self.answer(id, outcome);
        }
    }

    /// Handles the complete frames of the input; gives whether it stopped for answers that are to be sent first.
    fn take_input(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
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
                let Some(info) = self.info.clone() else { return };
                let id = notify.id();
                let request = Request::new(notify, info);
                let call = &self.call;
                if let Some(outcome) = self.handlers.start(id, || call(request), cx) {
                    self.answer(id, outcome);
                }
            }
            Event::Malformed(id, error) => {
                let too_big = error.kind() == DecodeErrorKind::FragmentsTooBig;
                let kind = if too_big { FailureKind::TooBig } else { FailureKind::Malformed };
                self.fail(id, kind, Some(error.into()));
            }
            Event::Aborted(id) => {
                debug!(peer = %self.peer, %id, "request given up by HAProxy");
                self.handlers.cancel(id);
            }
            Event::Connected(negotiated) => {
                debug!(peer = %self.peer, max_frame_size = negotiated.max_frame_size,
                    capabilities = %negotiated.capabilities, "connected");
                self.info = Some(Arc::new(ConnectionInfo { peer: self.peer.clone(), negotiated }));
                self.timers.clear(Timer::Hello);
            }
            Event::HealthCheck => debug!(peer = %self.peer, "health check passed"),
            Event::Disconnected(disconnect) => {
                debug!(peer = %self.peer, status = %disconnect.status, "disconnected by HAProxy");
            }
            _ => {}
        }
    }

    fn answer(&mut self, id: NotifyId, outcome: Outcome<Result<Actions, E>>) {
        let actions = match outcome {
            Outcome::Done(Ok(actions)) => actions,
            Outcome::Done(Err(error)) => return self.fail_with(id, error.into()),
            Outcome::Panicked => return self.fail(id, FailureKind::Panic, None),
            Outcome::TimedOut => return self.fail(id, FailureKind::Timeout, None),
            Outcome::Refused => return self.fail(id, FailureKind::Overload, None),
            // Not in flight any more: HAProxy aborted it.
            Outcome::Cancelled => return,
        };
        match self.connection.ack(id, &actions, &mut self.out) {
            Ok(()) => {}
            Err(AckError::Usage(error)) => debug!(peer = %self.peer, %id, %error, "answer dropped"),
            Err(error) => self.fail(id, FailureKind::TooBig, Some(error.into())),
        }
    }

    /// Answers for a handler that returned an error; what a router's other handlers did comes before the fallback actions.
    #[cold]
    fn fail_with(&mut self, id: NotifyId, error: BoxError) {
        let (mut done, error) = match error.downcast::<Partial>() {
            Ok(partial) => (partial.done, partial.error),
            Err(error) => (Actions::new(), error),
        };
        let kind = if error.is::<Overload>() { FailureKind::Overload } else { FailureKind::Error };
        let fallback = self.fallback(id, kind, Some(error));
        if done.is_empty() || !self.ack_if_it_fits(id, done.append(&fallback)) {
            self.ack_fallback(id, &fallback);
        }
    }

    /// Answers with the fallback actions: HAProxy must not wait for its own timeout.
    #[cold]
    fn fail(&mut self, id: NotifyId, kind: FailureKind, error: Option<BoxError>) {
        let fallback = self.fallback(id, kind, error);
        self.ack_fallback(id, &fallback);
    }

    /// Logs a failure, and asks what HAProxy is to be told.
    fn fallback(&self, id: NotifyId, kind: FailureKind, error: Option<BoxError>) -> Actions {
        match &error {
            Some(error) => warning!(peer = %self.peer, %id, %kind, %error, "request failed"),
            None => warning!(peer = %self.peer, %id, %kind, "request failed"),
        }
        (self.config.on_failure)(&Failure { kind, id, error })
    }

    fn ack_fallback(&mut self, id: NotifyId, fallback: &Actions) {
        if !self.ack_if_it_fits(id, fallback) {
            let _ = self.connection.ack(id, &Actions::new(), &mut self.out);
        }
    }

    /// Answers, unless it does not fit into the frame; gives whether it did.
    fn ack_if_it_fits(&mut self, id: NotifyId, actions: &Actions) -> bool {
        match self.connection.ack(id, actions, &mut self.out) {
            Err(AckError::Encode(error)) => {
                warning!(peer = %self.peer, %id, %error, "fallback answer does not fit, sending less");
                false
            }
            Ok(()) | Err(_) => true,
        }
    }

    /// Sends all of `out`, in one write if the socket takes it and it is not too much at a time for HAProxy; pending when the
    /// peer has to read first.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while !self.out.is_empty() {
            let part = self.pace.allowance(&self.out, &self.connection);
            if part == 0 {
                self.timers.set_if_unset(Timer::Pace, Pace::pause_end);
                return Ok(Poll::Pending);
            }
            match Pin::new(&mut self.io).poll_write(cx, &self.out[..part])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => {
                    self.out.advance(written);
                    self.pace.sent(written);
                    self.timers.clear(Timer::Write);
                    self.timers.clear(Timer::Pace);
                }
                Poll::Pending => {
                    self.timers.set_if_unset(Timer::Write, || Instant::now() + self.config.write_timeout);
                    return Ok(Poll::Pending);
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Whether long answers wait for HAProxy to read, which its next request would tell. Otherwise a peer that does not read is
    /// not read from.
    fn waits_for_proof(&self) -> bool {
        self.timers.is_set(Timer::Pace)
            && self.connection.phase() != Phase::Closed
            && self.out.len() < MAX_UNSENT
    }

    /// Reads one burst; 0 at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(self.read_size);
        let room = self.input.capacity() - self.input.len();
        let polled = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.input);
        match polled {
            Poll::Ready(Ok(read)) if read == room => {
                self.read_size = (self.read_size * 2).min(MAX_READ);
                self.read_more = true;
            }
            // The rest of a burst that was too long says nothing of the next one.
            Poll::Ready(Ok(_)) if self.read_more => self.read_more = false,
            Poll::Ready(Ok(read)) if read < self.read_size / 4 => {
                self.read_size = (self.read_size / 2).max(MIN_READ);
            }
            Poll::Pending if self.handlers.is_empty() => self.shrink(),
            _ => {}
        }
        polled
    }

    /// Gives back what bursts needed, now that the connection is idle: HAProxy keeps many such.
    fn shrink(&mut self) {
        for buffer in [&mut self.input, &mut self.out] {
            if buffer.is_empty() && buffer.capacity() > MIN_READ {
                *buffer = BytesMut::new();
            }
        }
    }

    /// Sends what is left and waits for the peer to close, so that a reset does not overtake the goodbye.
    async fn say_goodbye(&mut self) {
        let goodbye = async {
            self.io.write_all(&self.out).await?;
            self.io.shutdown().await?;
            let mut rest = vec![0; MIN_READ];
            while self.io.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // Whatever comes of it, the connection is over.
        let _ = timeout(LINGER, goodbye).await;
    }
}

/// Whether the error only says that the peer has left.
fn is_peer_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted
    )
}
