//! The agent's side of a connection.

mod config;
mod drain;
mod unread;

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};
pub use config::Config;
use unread::Unread;

use crate::decoder::FrameDecoder;
use crate::error::{DecodeError, DecodeErrorKind, ProtocolError, UsageError};
use crate::fragments::{Fragments, Outcome};
use crate::frame::{
    AckWriter, Actions, AgentHello, Disconnect, FrameHeader, FrameType, HaproxyHello, Notify, NotifyId,
    RawFrame,
};
use crate::{AckError, Capabilities, MIN_FRAME_SIZE, Negotiated, Phase, Status, Version};

/// What happened on a connection.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum Event {
    /// The HELLOs are exchanged: NOTIFYs may come.
    Connected(Negotiated),
    /// This was an `option spop-check`. The answer is in `out`: send it, add nothing to it, and close.
    HealthCheck,
    /// HAProxy asks. **Every one needs exactly one ACK**, or HAProxy waits for its `timeout processing`.
    Notify(Notify<Bytes>),
    /// HAProxy asks, in a frame whose ids can be read and whose messages cannot, or in fragments that pass the limits of
    /// [`Config::fragments`]. It needs an ACK all the same.
    Malformed(NotifyId, DecodeError),
    /// HAProxy wants no answer to this NOTIFY any more: drop the work on it. Its id may come again at once.
    Aborted(NotifyId),
    /// HAProxy says goodbye. The answer is in `out`: send it and close.
    Disconnected(Disconnect),
}

/// The agent's side of one connection: bytes in, events and bytes out. No IO, no clock.
///
/// To drive it:
///
/// 1. Append what the peer sent to an input buffer, then call [`handle_input`](Self::handle_input) until it gives
///    `Ok(None)`: it takes at most one event's worth of frames at a time, and appends answers to `out`.
/// 2. For [`Event::Notify`] and [`Event::Malformed`] call [`ack`](Self::ack) or [`ack_writer`](Self::ack_writer), now or
///    later, in any order. For [`Event::Aborted`] forget the work on that id first.
/// 3. Send `out`. AGENT-HELLO must leave in one write, as HAProxy 3.2 to 3.4 resets a connection that receives it in
///    parts; so send all of `out` at once.
/// 4. While [`is_full`](Self::is_full), read nothing: call `handle_input` again after an ACK.
/// 5. Once [`phase`](Self::phase) is [`Phase::Closed`], send what is left in `out` and close. An `Err` of `handle_input`
///    leads there too; the DISCONNECT that says why is in `out` already.
/// 6. When the peer closes, call [`handle_eof`](Self::handle_eof). That, and a reset, is how HAProxy from 3.1 ends idle
///    connections: nothing is wrong then.
/// 7. To stop, call [`drain`](Self::drain), under load after [`stop_pipelining`](Self::stop_pipelining), or
///    [`disconnect`](Self::disconnect) to stop at once.
///
/// **Ids are HAProxy's: they mean something on their own connection only**, and an ACK with ids that did not come on this
/// very connection makes HAProxy from 3.1 lose every request on it. So an ACK can only be written here.
///
/// ```
/// use bytes::BytesMut;
/// use spop::agent::{Config, Connection, Event};
/// use spop::{Actions, Scope};
///
/// fn on_bytes(connection: &mut Connection, input: &mut BytesMut, out: &mut BytesMut) -> Result<(), spop::ProtocolError> {
///     while let Some(event) = connection.handle_input(input, out)? {
///         if let Event::Notify(notify) = event {
///             let mut actions = Actions::new();
///             actions.set_var(Scope::Session, "ip_score", 42).expect("a name HAProxy takes");
///             connection.ack(notify.id(), &actions, out).expect("a NOTIFY that just came, and a short answer");
///         }
///     }
///     Ok(())
/// }
/// # let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
/// # on_bytes(&mut Connection::new(Config::new()), &mut input, &mut out).unwrap();
/// ```
#[derive(Debug)]
pub struct Connection {
    config: Config,
    decoder: FrameDecoder,
    fragments: Fragments,
    negotiated: Option<Negotiated>,
    fail_health_check: bool,
    books: Books,
}

/// Which NOTIFYs wait for an ACK, and what is to happen after the last one.
#[derive(Debug)]
pub(crate) struct Books {
    phase: Phase,
    /// A few dozen at most, most often one: a search beats a hash.
    in_flight: Vec<NotifyId>,
    /// Something has been received that is still to become an event: a drain waits for it.
    more: bool,
    fill_empty_acks: bool,
    /// Kept for HAProxy from 3.1 with pipelining only.
    unread: Option<Unread>,
}

impl Books {
    /// HAProxy 3.1 before a fix of February 2025 takes no notice of an ACK without a payload (wire pitfall P11). Only
    /// versions without `async` can be meant.
    pub(crate) fn fill_empty_acks(&self) -> bool {
        self.fill_empty_acks
    }

    /// An ACK to `id` of `size` bytes was written to `out`. The last one of a drain takes the goodbye with it, in the same write: without
    /// pipelining that leaves HAProxy no moment to send another NOTIFY in between.
    #[inline]
    pub(crate) fn answered(&mut self, id: NotifyId, size: usize, out: &mut BytesMut) {
        self.forget(id);
        if let Some(unread) = &mut self.unread {
            unread.add(size);
        }
        self.end_drain(out);
    }

    /// Says goodbye if a drain waits for nothing any more.
    #[inline]
    fn end_drain(&mut self, out: &mut BytesMut) {
        if self.phase == Phase::Draining && self.in_flight.is_empty() && !self.more {
            self.disconnect(&Disconnect::new(Status::NORMAL), out);
        }
    }

    #[inline]
    fn forget(&mut self, id: NotifyId) -> bool {
        let at = self.in_flight.iter().position(|&waiting| waiting == id);
        at.map(|at| self.in_flight.swap_remove(at)).is_some()
    }

    fn disconnect(&mut self, disconnect: &Disconnect, out: &mut BytesMut) {
        if self.phase != Phase::Closed {
            let start = out.len();
            disconnect.encode(FrameType::AGENT_DISCONNECT, out);
            if let Some(unread) = &mut self.unread {
                unread.add_other(out.len() - start);
            }
            self.phase = Phase::Closed;
        }
    }
}

impl Connection {
    /// A connection on which nothing was received yet.
    pub const fn new(config: Config) -> Self {
        Self {
            decoder: FrameDecoder::new(config.max_frame_size),
            fragments: Fragments::new(config.fragments),
            negotiated: None,
            fail_health_check: false,
            books: Books {
                phase: Phase::Hello,
                in_flight: Vec::new(),
                more: false,
                fill_empty_acks: false,
                unread: None,
            },
            config,
        }
    }

    /// Takes complete frames from `input` up to the next event; `None` when more bytes are needed, or, at the in-flight
    /// cap, an ACK. Answers are appended to `out`.
    ///
    /// # Errors
    /// If HAProxy breaks the protocol. The DISCONNECT with the error's status is in `out`, and the phase is
    /// [`Phase::Closed`].
    pub fn handle_input(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Option<Event>, ProtocolError> {
        self.forget_unread(input, out);
        let mut event = None;
        while event.is_none() && self.phase() != Phase::Closed && !self.is_full() {
            match self.next_frame(input, out) {
                Ok(Progress::Event(found)) => event = Some(found),
                Ok(Progress::Frame) => {}
                Ok(Progress::Incomplete) => break,
                Err(error) => {
                    self.disconnect(error.status(), "", out);
                    return Err(error);
                }
            }
        }
        self.books.more = self.fragments.is_partial() || matches!(self.decoder.peek(input), Ok(Some(_)));
        if event.is_none() {
            self.books.end_drain(out);
        }
        Ok(event)
    }

    /// The peer closed its side, with `input` left over.
    ///
    /// # Errors
    /// [`ProtocolError::UnexpectedEof`] if it closed in the middle of a frame. Anything else is a normal end, NOTIFYs
    /// without an ACK included: HAProxy from 3.1 sends no DISCONNECT, and never waits for ours.
    pub fn handle_eof(&mut self, input: &[u8]) -> Result<(), ProtocolError> {
        let closed = core::mem::replace(&mut self.books.phase, Phase::Closed) == Phase::Closed;
        if closed || input.is_empty() || self.is_full() { Ok(()) } else { Err(ProtocolError::UnexpectedEof) }
    }

    /// Appends the ACK to `id` with `actions` to `out`.
    ///
    /// # Errors
    /// [`AckError::Usage`] if no NOTIFY `id` waits for an ACK, [`AckError::Encode`] if the ACK would be longer than HAProxy
    /// takes. `out` is unchanged then, and the NOTIFY goes on waiting: answer it with something shorter.
    #[inline]
    pub fn ack(&mut self, id: NotifyId, actions: &Actions, out: &mut BytesMut) -> Result<(), AckError> {
        let mut ack = self.ack_writer(id, out)?;
        ack.append(actions)?;
        ack.finish();
        Ok(())
    }

    /// Starts the ACK to `id` in `out`, to be written in place and finished. If it is dropped instead, the NOTIFY goes on
    /// waiting.
    ///
    /// # Errors
    /// [`UsageError::NotInFlight`] if no NOTIFY `id` waits for an ACK: it has one, was aborted, or came elsewhere.
    #[inline]
    pub fn ack_writer<'a>(
        &'a mut self,
        id: NotifyId,
        out: &'a mut BytesMut,
    ) -> Result<AckWriter<'a>, UsageError> {
        if self.phase() == Phase::Closed {
            return Err(UsageError::WrongPhase(Phase::Closed));
        }
        if !self.books.in_flight.contains(&id) {
            return Err(UsageError::NotInFlight(id));
        }
        Ok(AckWriter::for_connection(id, self.max_ack_size(), self.config.names, &mut self.books, out))
    }

    /// The longest ACK, in bytes, the length prefix not counted.
    ///
    /// One less than negotiated: an ACK that fills HAProxy's buffer to the last byte (`tune.bufsize`, four more than its
    /// max-frame-size) wedges a connection of HAProxy from 3.1 for good (wire pitfall P1).
    fn max_ack_size(&self) -> usize {
        self.negotiated.as_ref().map_or(MIN_FRAME_SIZE, |negotiated| negotiated.max_frame_size) as usize - 1
    }

    /// How many bytes of `out`, which starts with a whole frame and holds what was written here and not sent yet, can be sent
    /// now; most often all of it.
    ///
    /// HAProxy from 3.1 never processes another frame of a connection on which it finds its whole buffer (`tune.bufsize`, 16384
    /// bytes by default) full of what we sent (wire pitfall P1). It has 20 requests waiting on a connection at most, so twenty
    /// ACKs of 819 bytes are never too much; longer ones leave in parts of whole frames. Each NOTIFY that comes proves that an
    /// ACK was read, and more can be sent, if it has 20 waiting. **If none comes, give HAProxy time to read, and then call
    /// [`assume_read`](Self::assume_read).** Where that happens, [`stop_pipelining`](Self::stop_pipelining) is better: with one
    /// request at a time each proves that all was read, and HAProxy uses more connections instead.
    #[inline]
    pub fn sendable(&self, out: &[u8]) -> usize {
        match &self.books.unread {
            Some(unread) => unread.sendable(out, self.in_flight()),
            None => out.len(),
        }
    }

    /// Once HAProxy lets one request wait at a time, what it sends while none is due proves that it has read all ACKs; and so
    /// will every other request.
    #[inline]
    fn forget_unread(&mut self, input: &[u8], out: &[u8]) {
        if self.books.unread.as_ref().is_some_and(Unread::is_narrow)
            && (self.in_flight() == 0 && out.is_empty() && !input.is_empty())
        {
            self.books.unread = None;
        }
    }

    /// Takes all that was sent, which is all but `out`, for read: see [`sendable`](Self::sendable).
    pub fn assume_read(&mut self, out: &[u8]) {
        if let Some(unread) = &mut self.books.unread {
            unread.assume_read(out);
        }
    }

    /// Where the connection stands.
    #[inline]
    pub fn phase(&self) -> Phase {
        self.books.phase
    }

    /// What both sides agreed on, once they did.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// How many NOTIFYs wait for an ACK.
    #[inline]
    pub fn in_flight(&self) -> usize {
        self.books.in_flight.len()
    }

    /// Whether as many NOTIFYs wait for an ACK as [`Config::max_in_flight`] allows, so that no input is taken.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.in_flight() >= self.config.max_in_flight
    }

    #[inline]
    fn next_frame(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Progress, ProtocolError> {
        let Some(frame) = self.decoder.peek(input)? else { return Ok(Progress::Incomplete) };
        let len = frame.len();
        // Looked at in the input, where a frame that is not wanted yet can stay.
        let layout = RawFrame::parse(frame)?.with_storage(());
        let mut take = || layout.with_storage(FrameDecoder::take(input, len));
        match (self.phase(), layout.header().frame_type) {
            (Phase::Running | Phase::Draining, FrameType::NOTIFY) => self.notify(layout.header(), take),
            (Phase::Running | Phase::Draining, FrameType::UNSET) => {
                let outcome = self.fragments.push(&take())?;
                self.fragment(outcome)
            }
            (Phase::Hello, FrameType::HAPROXY_HELLO) => {
                let hello = HaproxyHello::from_raw(&take())?;
                self.hello(hello, out).map(Progress::Event)
            }
            (_, FrameType::HAPROXY_DISCONNECT) => {
                let disconnect = Disconnect::from_raw(&take())?;
                // HAProxy takes nothing else from now on, and waits for this.
                self.disconnect(Status::NORMAL, "", out);
                Ok(Progress::Event(Event::Disconnected(disconnect)))
            }
            (phase, frame_type @ (FrameType::HAPROXY_HELLO | FrameType::NOTIFY | FrameType::UNSET))
            | (phase @ Phase::Hello, frame_type) => Err(ProtocolError::UnexpectedFrame { frame_type, phase }),
            // SPOE.txt 3.2.2: a frame of unknown type is passed over; one that only agents send means no more.
            _ => {
                take();
                Ok(Progress::Frame)
            }
        }
    }

    /// Steps 2 and 3 of SPOE.txt 3.2.4: what both sides can do.
    fn hello(&mut self, hello: HaproxyHello, out: &mut BytesMut) -> Result<Event, ProtocolError> {
        // HAProxy accepts 2.0 in the answer and nothing else, whatever it offers.
        if !hello.supported_versions.contains(&Version::V2_0) {
            return Err(ProtocolError::UnsupportedVersion);
        }
        if hello.max_frame_size < MIN_FRAME_SIZE {
            return Err(ProtocolError::MaxFrameSize(hello.max_frame_size));
        }
        let negotiated = Negotiated {
            version: Version::V2_0,
            max_frame_size: hello.max_frame_size.min(self.config.max_frame_size),
            capabilities: hello.capabilities & self.config.capabilities,
            engine_id: hello.engine_id,
        };
        if hello.healthcheck && self.fail_health_check {
            // A status that no version can take for a success.
            self.disconnect(Status::UNKNOWN, "the agent is about to stop", out);
            return Ok(Event::HealthCheck);
        }
        if hello.healthcheck {
            // With a small tune.bufsize HAProxy from 3.1 refuses the very size it offers in a check; the smallest passes.
            agent_hello(&negotiated, MIN_FRAME_SIZE, negotiated.capabilities).encode(out);
            self.books.phase = Phase::Closed;
            return Ok(Event::HealthCheck);
        }
        agent_hello(&negotiated, negotiated.max_frame_size, negotiated.capabilities | self.fragmentation())
            .encode(out);
        self.books.phase = Phase::Running;
        // HAProxy up to 3.0 announces it, unless told not to.
        let may_be_mux = !hello.capabilities.contains(Capabilities::ASYNC);
        let pipelining = negotiated.capabilities.contains(Capabilities::PIPELINING);
        self.books.fill_empty_acks = may_be_mux;
        self.books.unread = (may_be_mux && pipelining).then(|| Unread::new(hello.max_frame_size));
        self.negotiated = Some(negotiated.clone());
        Ok(Event::Connected(negotiated))
    }

    /// Announced although HAProxy never offers it: see [`crate::fragments`].
    fn fragmentation(&self) -> Capabilities {
        if self.config.fragments.bytes > 0 { Capabilities::FRAGMENTATION } else { Capabilities::NONE }
    }

    #[inline]
    fn notify(
        &mut self,
        header: FrameHeader,
        take: impl FnOnce() -> RawFrame<Bytes>,
    ) -> Result<Progress, ProtocolError> {
        // HAProxy up to 3.0 uses the ids again for the next event of a stream whose answer it did not wait for (P8). The
        // frame stays in the input, so that the old work is dropped before the new one starts.
        if self.books.forget(header.id) {
            return Ok(Progress::Event(Event::Aborted(header.id)));
        }
        self.fragments.expect_none(header.id)?;
        if header.flags.is_abort() {
            // Given up in the frame that asks: there is nobody to answer.
            take();
            return Ok(Progress::Frame);
        }
        if header.flags.is_fin() {
            return Ok(Progress::Event(self.arrived(take())));
        }
        if self.fragmentation() == Capabilities::NONE {
            return Err(DecodeError::new(DecodeErrorKind::Fragmented, 0).into());
        }
        let outcome = self.fragments.start(take())?;
        self.fragment(outcome)
    }

    fn fragment(&mut self, outcome: Outcome) -> Result<Progress, ProtocolError> {
        Ok(match outcome {
            Outcome::Pending => Progress::Frame,
            Outcome::Complete(frame) => Progress::Event(self.arrived(RawFrame::parse(frame)?)),
            Outcome::Aborted(id) => Progress::Event(Event::Aborted(id)),
            Outcome::TooBig(id, error) => {
                self.books.in_flight.push(id);
                Progress::Event(Event::Malformed(id, error))
            }
        })
    }

    #[inline]
    fn arrived(&mut self, raw: RawFrame<Bytes>) -> Event {
        let id = raw.header().id;
        self.books.in_flight.push(id);
        match Notify::from_raw(raw) {
            Ok(notify) => Event::Notify(notify),
            Err(error) => Event::Malformed(id, error),
        }
    }
}

/// What became of a frame.
enum Progress {
    /// It is an event.
    Event(Event),
    /// It was taken, and there is nothing to tell.
    Frame,
    /// It is not there yet.
    Incomplete,
}

fn agent_hello(negotiated: &Negotiated, max_frame_size: u32, capabilities: Capabilities) -> AgentHello {
    AgentHello {
        version: negotiated.version,
        max_frame_size: Some(max_frame_size),
        capabilities: Some(capabilities),
    }
}

#[cfg(test)]
mod tests;
