//! The agent's side of a connection.

mod clock;
mod config;
mod event;
mod flow;
mod in_flight;
mod input;
mod lifecycle;

use bytes::{Buf, BytesMut};
pub use config::Config;
pub use event::{AckError, Event, Ticket, Timeout};

use self::clock::Clock;
use self::flow::FlowControl;
use self::in_flight::InFlight;
use super::fragments::Fragments;
use super::{FrameDecoder, Instant, MIN_FRAME_SIZE, Negotiated, State};
use crate::frame::{AckWriter, Actions, EncodeError};

/// The agent's side of one connection: bytes and time in, events and bytes out. No IO, no clock.
///
/// To drive it, with a socket and a clock of your own (`examples/blocking` does, in a hundred lines):
///
/// 1. Append what was received to an input buffer, then call [`handle_input`](Self::handle_input) until it returns
///    `None`: it takes at most one event's worth of frames at a time. While [`is_full`](Self::is_full), receive nothing
///    more, and call it again after an ACK.
/// 2. If that was all there was to receive (the socket would block, or returned less than asked for), call
///    [`input_drained`](Self::input_drained), before anything is sent. Try to receive once more after step 4, so that
///    the next NOTIFY is known to be new. Where HAProxy has several connections, tell each what the others know of it,
///    with [`ran_after`](Self::ran_after).
/// 3. For [`Event::Notify`] and [`Event::Malformed`] call [`ack`](Self::ack) or [`ack_with`](Self::ack_with) with the
///    event's [`Ticket`], now or later, in any order. For [`Event::GivenUp`] drop the work on that NOTIFY.
/// 4. Send what [`poll_transmit`](Self::poll_transmit) returns, say how much was taken with
///    [`transmitted`](Self::transmitted), and go on until it is empty or the socket takes no more. Do so after each of
///    the other steps, at the end too.
/// 5. Wait until there is something to receive, an answer is ready, or [`poll_timeout`](Self::poll_timeout) has come;
///    then call [`handle_timeout`](Self::handle_timeout) until it returns `None`.
/// 6. When the peer closes, call [`handle_eof`](Self::handle_eof). That, and a reset, is how HAProxy from 3.1 ends idle
///    connections: nothing is wrong then.
/// 7. In [`State::Lingering`] shut the sending side down and go on receiving, so that the last bytes are not lost to a
///    reset. In [`State::Closed`] close the socket.
/// 8. To stop, call [`start_drain`](Self::start_drain), or [`disconnect`](Self::disconnect) to stop at once.
///
/// `now` is the same clock for all calls, and never goes back.
///
/// What ends each state, and what is legal in it:
///
/// - [`Hello`](State::Hello): HAPROXY-HELLO and HAPROXY-DISCONNECT are legal. It ends with the HELLO: `Running`, in a
///   drain `Draining`, for a health check `Closing`; with `hello_timeout`, in a drain a second without the HELLO:
///   `Closing`.
/// - [`Running`](State::Running): NOTIFY and its fragments and HAPROXY-DISCONNECT are legal; ACKs are sent. It ends
///   with `start_drain` or `max_connection_age`: `Closing` if it is quiet, `Settling` with pipelining and HAProxy from
///   3.1, else `Draining`; with `idle_timeout`: `Closing`.
/// - [`Settling`](State::Settling): as `Running`. It ends 100 ms after HAProxy was sent that it is to send one NOTIFY
///   at a time: `Draining`; at the deadline: as `Draining`.
/// - [`Draining`](State::Draining): as `Running`. It ends with the ACK after which none is due, or a second without a
///   NOTIFY: `Closing`; at the deadline: [`Timeout::Drain`], and `Closed` a second later.
/// - [`Closing`](State::Closing): nothing is legal, what comes is ignored. It ends when all is sent: `Lingering`; after
///   a second, which does not count while HAProxy has to read before it is sent more, in a drain a second after its
///   deadline: `Closed`.
/// - [`Lingering`](State::Lingering): nothing is legal, what comes is ignored. It ends when the peer closes, or after a
///   second: `Closed`.
/// - [`Closed`](State::Closed): nothing comes any more.
///
/// Anything else that comes is an [`Event::Failed`], and leads to `Closing` with the DISCONNECT that says why;
/// HAPROXY-DISCONNECT leads there, too. The end of the stream and `write_timeout` lead to `Closed` from everywhere.
///
/// **Ids are HAProxy's: they mean something on their own connection only**, and an ACK with ids that did not come on
/// this very connection makes HAProxy from 3.1 lose every request on it. So an ACK needs the ticket that came with its
/// NOTIFY.
///
/// ```
/// use bytes::BytesMut;
/// use spop::agent::{Config, Connection, Event};
/// use spop::{Actions, Instant, Scope};
///
/// fn on_bytes(connection: &mut Connection, input: &mut BytesMut, now: Instant) {
///     while let Some(event) = connection.handle_input(input, now) {
///         if let Event::Notify(_, ticket) = event {
///             let mut actions = Actions::new();
///             actions.set_var(Scope::Session, "ip_score", 42).expect("a name HAProxy takes");
///             connection.ack(ticket, &actions).expect("a short answer");
///         }
///     }
/// }
/// # let now = Instant::default();
/// # on_bytes(&mut Connection::new(Config::new(), now), &mut BytesMut::new(), now);
/// ```
#[derive(Debug)]
pub struct Connection {
    config: Config,
    decoder: FrameDecoder,
    fragments: Fragments,
    negotiated: Option<Negotiated>,
    state: State,
    clock: Clock,
    in_flight: InFlight,
    /// Something has been received that is still to become an event: a drain waits for it.
    more_input: bool,
    /// In a drain: none is due after an ACK that was sent, or would be but for `more_input`.
    drained: bool,
    fails_health_checks: bool,
    /// The length of the longest ACK, written here or expected.
    longest_ack: usize,
    /// Whether HAProxy may be an early 3.1, which takes no notice of an ACK without a payload (wire pitfall P11).
    fills_empty_acks: bool,
    /// When all that HAProxy had sent was handled last.
    drained_at: Option<Instant>,
    /// HAProxy sent a NOTIFY after that.
    ran_after: Option<Instant>,
    /// For HAProxy from 3.1.
    flow: Option<FlowControl>,
    out: BytesMut,
    /// How much of `out` is being sent: whole frames.
    part: usize,
}

impl Connection {
    /// The most that waits to be sent before no more input is taken: the ACKs to all 20 NOTIFYs that HAProxy has
    /// waiting fit, at 16 KiB each.
    const MAX_UNSENT: usize = 320 * 1024;

    /// More than the DISCONNECT at the end of a drain has.
    const DISCONNECT_SIZE: usize = 64;

    /// Creates a connection on which nothing was received yet, accepted `now`.
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            decoder: FrameDecoder::new(config.max_frame_size),
            fragments: Fragments::new(config.fragments),
            negotiated: None,
            state: State::Hello,
            clock: Clock::new(&config, now),
            in_flight: InFlight::new(),
            more_input: false,
            drained: false,
            fails_health_checks: false,
            longest_ack: config.longest_ack,
            fills_empty_acks: false,
            drained_at: None,
            ran_after: None,
            flow: None,
            out: BytesMut::new(),
            part: 0,
            config,
        }
    }

    /// Says that all that the peer has sent so far was received and handled. Without it, answers whose sum could fill
    /// HAProxy's buffer wait longer: see [`Config::read_grace`].
    #[inline]
    pub fn input_drained(&mut self) {
        // Frames that wait in the input, since the connection is full, show nothing.
        if self.more_input {
            return;
        }
        self.drained_at = Some(self.clock.now);
        // In the middle of a frame, HAProxy would keep what it has read of it in its buffer.
        if self.part == 0
            && let Some(flow) = &mut self.flow
        {
            flow.input_drained(self.clock.now);
        }
    }

    /// Returns whether HAProxy may have so much unread that evidence of what it has read will matter: then
    /// [`input_drained`](Self::input_drained) should rest on a look at the socket after the last bytes were sent.
    #[inline]
    pub fn needs_evidence(&self) -> bool {
        self.flow.as_ref().is_some_and(FlowControl::needs_evidence)
    }

    /// Returns the latest moment after which HAProxy was seen running on this connection, if it was: what
    /// [`ran_after`](Self::ran_after) tells its other connections.
    #[inline]
    pub fn seen_running_after(&self) -> Option<Instant> {
        self.ran_after
    }

    /// Says that the same HAProxy, of the same engine id, was seen running after `moment` on another connection, as
    /// [`seen_running_after`](Self::seen_running_after) returns there. It will have read this one, too, within
    /// [`Config::read_grace`]: without that, answers whose sum could fill HAProxy's buffer wait longer where this
    /// connection shows nothing. Call it before [`poll_transmit`](Self::poll_transmit).
    pub fn ran_after(&mut self, moment: Instant, now: Instant) {
        if let Some(flow) = &mut self.flow {
            flow.ran(moment, now);
        }
    }

    /// Queues the ACK to the NOTIFY of `ticket`, with `actions`; returns its length in bytes, the length prefix
    /// included. An ACK to a NOTIFY that HAProxy gave up is not sent, nor is one after the end of the connection: 0.
    ///
    /// # Errors
    /// If the ACK would be longer than HAProxy takes. The ticket is in the error: answer with something shorter.
    #[inline]
    pub fn ack(&mut self, ticket: Ticket, actions: &Actions) -> Result<usize, AckError> {
        self.ack_with(ticket, |ack| ack.append(actions).map(drop))
    }

    /// Queues the ACK to the NOTIFY of `ticket`, which `write` writes in place, without a copy; returns its length as
    /// [`ack`](Self::ack) does. `write` is not called for a NOTIFY that HAProxy gave up, nor after the end of the
    /// connection.
    ///
    /// # Errors
    /// If `write` fails. The ticket is in the error: answer with something else.
    #[inline]
    pub fn ack_with(
        &mut self,
        ticket: Ticket,
        write: impl FnOnce(&mut AckWriter<'_>) -> Result<(), EncodeError>,
    ) -> Result<usize, AckError> {
        let position = self.in_flight.position(&ticket).filter(|_| !self.has_ended());
        let Some(position) = position else { return Ok(0) };
        let start = self.out.len();
        let max = self.max_ack_size();
        let mut ack = AckWriter::new(ticket.id, max, &mut self.out).with_names(self.config.names);
        if let Err(error) = write(&mut ack) {
            drop(ack);
            return Err(AckError { ticket, error });
        }
        ack.finish_for(self.fills_empty_acks);
        self.in_flight.remove(position);
        let size = self.out.len() - start;
        if size > self.longest_ack {
            self.longest_ack_at(start);
        }
        if self.state == State::Draining && self.in_flight.is_empty() {
            // An ACK that leaves HAProxy's buffer no capacity for the DISCONNECT cannot take it along.
            let with_disconnect = self.out.len() - start + Self::DISCONNECT_SIZE;
            self.drained = self.flow.as_ref().is_none_or(|flow| flow.fits(with_disconnect));
            self.end_drain();
        }
        Ok(size)
    }

    /// Returns the longest ACK, in bytes, the length prefix not counted.
    ///
    /// One less than negotiated: an ACK that fills HAProxy's buffer to the last byte (`tune.bufsize`, four more than
    /// its max-frame-size) wedges a connection of HAProxy from 3.1 for good (wire pitfall P1).
    #[inline]
    fn max_ack_size(&self) -> usize {
        self.negotiated.as_ref().map_or(MIN_FRAME_SIZE, |negotiated| negotiated.max_frame_size) as usize - 1
    }

    /// Notes that the ACK from `start` on is the longest so far. What ends pipelining, if it must end, stands in front
    /// of it.
    #[cold]
    fn longest_ack_at(&mut self, start: usize) {
        let ack = self.out.split_off(start);
        self.expect_acks(ack.len());
        self.out.unsplit(ack);
    }

    /// Prepares for ACKs of `bytes` bytes, the length prefix included: if the buffer of a HAProxy from 3.1 could not
    /// hold one to each of 20 NOTIFYs, pipelining ends.
    ///
    /// A server that calls it with the [`longest_ack`](Self::longest_ack) of all its connections spares each the pauses
    /// of finding out.
    #[inline]
    pub fn expect_acks(&mut self, bytes: usize) {
        if bytes > self.longest_ack {
            self.longest_ack = bytes;
            if self.flow.as_mut().is_some_and(|flow| flow.expect(bytes)) {
                self.stop_pipelining();
            }
        }
    }

    /// Returns what is to be sent now, empty if nothing is: whole frames, of which the AGENT-HELLO must leave in one
    /// write, as HAProxy 3.2 to 3.4 resets a connection on which it comes in parts (wire pitfall P2).
    ///
    /// HAProxy from 3.1 never processes another frame of a connection on which it finds its whole buffer
    /// (`tune.bufsize`, 16384 bytes by default) full of what we sent (wire pitfall P1). So long answers leave in parts:
    /// more follows once there is evidence that HAProxy has read.
    #[inline]
    pub fn poll_transmit(&mut self, now: Instant) -> &[u8] {
        self.clock.now = now;
        if self.out.is_empty() {
            self.all_sent();
            return &[];
        }
        if self.part == 0 {
            self.part = match &self.flow {
                Some(flow) if !flow.has_capacity(self.out.len()) => self.transmit_part(now),
                _ => self.out.len(),
            };
            if self.part == 0 {
                return &[];
            }
        }
        self.clock.stalled.get_or_insert(now);
        &self.out[..self.part]
    }

    /// Returns how much of `out` may be sent when HAProxy's buffer may have little capacity.
    #[cold]
    fn transmit_part(&mut self, now: Instant) -> usize {
        let Some(flow) = &mut self.flow else { return self.out.len() };
        let part = flow.part(&self.out, now);
        if !flow.has_capacity(self.out.len()) {
            // With one request at a time few bytes can be unread. HAProxy is told so while those that wait can still be
            // answered.
            self.stop_pipelining();
        }
        if part == 0 && self.state == State::Closing && self.clock.deadline.is_none() {
            // The peer is not late: it is us who wait. A drain ends all the same.
            self.start_closing();
        }
        part
    }

    /// Says that the first `bytes` of what [`poll_transmit`](Self::poll_transmit) returned were sent.
    #[inline]
    pub fn transmitted(&mut self, bytes: usize) {
        let bytes = bytes.min(self.part);
        self.out.advance(bytes);
        self.part -= bytes;
        if let Some(flow) = &mut self.flow {
            flow.transmitted(bytes);
        }
        if bytes > 0 {
            self.clock.stalled = None;
            self.clock.touch();
        }
    }

    /// Returns how many bytes wait to be sent, those included that [`poll_transmit`](Self::poll_transmit) holds back.
    #[inline]
    pub fn unsent(&self) -> usize {
        self.out.len()
    }

    /// Returns where the connection stands.
    #[inline]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns what both sides agreed on, once they did.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Returns how many NOTIFYs wait for an ACK; after the end of the connection, how many get none.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns whether no input is taken until an ACK is written or sent: as many NOTIFYs wait for one as
    /// [`Config::max_in_flight`] allows, or more than 320 KiB wait to be sent. After the end of the connection all
    /// input is taken.
    #[inline]
    pub fn is_full(&self) -> bool {
        let full = self.in_flight.len() >= self.config.max_in_flight || self.out.len() >= Self::MAX_UNSENT;
        full && !self.has_ended()
    }

    /// Returns whether nothing that comes matters any more.
    #[inline]
    fn has_ended(&self) -> bool {
        matches!(self.state, State::Closing | State::Lingering | State::Closed)
    }

    /// Returns the length of the longest ACK so far in bytes, the length prefix included: of those written here, and
    /// those that [`Config::longest_ack`] and [`expect_acks`](Self::expect_acks) told of.
    #[inline]
    pub fn longest_ack(&self) -> usize {
        self.longest_ack
    }
}

#[cfg(test)]
mod tests;
