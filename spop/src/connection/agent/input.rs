//! What comes in.

use bytes::{Bytes, BytesMut};

use super::flow::{self, FlowControl};
use super::{Connection, Event};
use crate::connection::fragments::Outcome;
use crate::connection::{FrameDecoder, Instant, MIN_FRAME_SIZE, Negotiated, ProtocolError, State};
use crate::frame::{AgentHello, Disconnect, HaproxyHello, Notify, RawFrame};
use crate::wire::{DecodeError, DecodeErrorKind, FrameHeader, FrameType};
use crate::{Capabilities, Status, Version};

/// What became of a frame.
enum Progress {
    /// It is an event.
    Event(Event),
    /// It was taken, and there is nothing to tell.
    Frame,
    /// It is not there yet, or cannot be taken now.
    Wait,
}

/// How much is kept of an engine id.
const MAX_ENGINE_ID: usize = 64;

impl Connection {
    /// Takes complete frames from `input` up to the next event; `None` when more bytes are needed, or, while
    /// [`is_full`](Self::is_full), an ACK.
    #[inline]
    pub fn handle_input(&mut self, input: &mut BytesMut, now: Instant) -> Option<Event> {
        self.clock.now = now;
        let mut event = None;
        while event.is_none() {
            match self.next_frame(input) {
                Ok(Progress::Event(found)) => event = Some(found),
                Ok(Progress::Frame) => {}
                Ok(Progress::Wait) => break,
                Err(error) => {
                    self.disconnect(error.status(), "");
                    event = Some(Event::Failed(error));
                }
            }
        }
        self.more_input = self.fragments.is_partial() || matches!(self.decoder.peek(input), Ok(Some(_)));
        if event.is_none() {
            self.end_drain();
        }
        event
    }

    /// Handles the end of what the peer sends, with `input` left over.
    ///
    /// # Errors
    /// [`ProtocolError::UnexpectedEof`] if it closed in the middle of a frame. Anything else is a normal end, NOTIFYs
    /// without an ACK included: HAProxy from 3.1 sends no DISCONNECT, and never waits for ours.
    pub fn handle_eof(&mut self, input: &[u8]) -> Result<(), ProtocolError> {
        let clean = self.has_ended() || input.is_empty() || self.is_full();
        self.close();
        if clean { Ok(()) } else { Err(ProtocolError::UnexpectedEof) }
    }

    #[inline]
    fn next_frame(&mut self, input: &mut BytesMut) -> Result<Progress, ProtocolError> {
        if self.has_ended() {
            input.clear();
            return Ok(Progress::Wait);
        }
        let Some(frame) = self.decoder.peek(input)? else { return Ok(Progress::Wait) };
        let len = frame.len();
        // Looked at in the input, where a frame that is not wanted yet can stay.
        let layout = RawFrame::parse(frame)?.with_storage(());
        let frame_type = layout.header().frame_type;
        if frame_type != FrameType::NOTIFY && self.is_full() {
            return Ok(Progress::Wait);
        }
        let mut take = || layout.with_storage(FrameDecoder::take(input, len));
        self.clock.touch();
        match (self.state, frame_type) {
            (State::Running | State::Settling | State::Draining, FrameType::NOTIFY) => {
                self.notify(layout.header(), take)
            }
            (State::Running | State::Settling | State::Draining, FrameType::UNSET) => {
                let outcome = self.fragments.push(&take())?;
                self.fragment(outcome)
            }
            (State::Hello, FrameType::HAPROXY_HELLO) => {
                let hello = HaproxyHello::from_raw(&take())?;
                self.hello(hello).map(Progress::Event)
            }
            (_, FrameType::HAPROXY_DISCONNECT) => {
                let disconnect = Disconnect::from_raw(&take())?;
                // HAProxy takes nothing else from now on, and waits for this.
                self.disconnect(Status::NORMAL, "");
                Ok(Progress::Event(Event::Disconnected(disconnect)))
            }
            (state, frame_type @ (FrameType::HAPROXY_HELLO | FrameType::NOTIFY | FrameType::UNSET))
            | (state @ State::Hello, frame_type) => Err(ProtocolError::UnexpectedFrame { frame_type, state }),
            // SPOE.txt 3.2.2: a frame of unknown type is ignored; one that only agents send means no more.
            _ => {
                take();
                Ok(Progress::Frame)
            }
        }
    }

    /// Takes steps 2 and 3 of SPOE.txt 3.2.4: what both sides can do.
    fn hello(&mut self, mut hello: HaproxyHello) -> Result<Event, ProtocolError> {
        // HAProxy accepts 2.0 in the answer and nothing else, whatever it offers.
        if !hello.supported_versions.contains(&Version::V2_0) {
            return Err(ProtocolError::UnsupportedVersion);
        }
        if hello.max_frame_size < MIN_FRAME_SIZE {
            return Err(ProtocolError::MaxFrameSize(hello.max_frame_size));
        }
        if let Some(id) = &mut hello.engine_id {
            id.truncate(MAX_ENGINE_ID);
            id.shrink_to_fit();
        }
        // HAProxy up to 3.0 announces it, unless told not to.
        let may_be_mux = !hello.capabilities.contains(Capabilities::ASYNC);
        let mut capabilities = hello.capabilities & self.config.capabilities;
        if may_be_mux && FlowControl::is_too_long(self.longest_ack, hello.max_frame_size) {
            capabilities = capabilities.without(Capabilities::PIPELINING);
        }
        let negotiated = Negotiated {
            version: Version::V2_0,
            max_frame_size: hello.max_frame_size.min(self.config.max_frame_size),
            capabilities,
            engine_id: hello.engine_id,
        };
        if hello.healthcheck {
            return Ok(self.health_check(&negotiated));
        }
        agent_hello(&negotiated, negotiated.max_frame_size, negotiated.capabilities | self.fragmentation())
            .encode(&mut self.out);
        let pipelining = negotiated.capabilities.contains(Capabilities::PIPELINING);
        self.fills_empty_acks = may_be_mux;
        self.flow = may_be_mux.then(|| {
            let grace = self.config.read_grace;
            let mut flow = FlowControl::new(hello.max_frame_size, self.out.len(), pipelining, grace);
            flow.expect(self.longest_ack);
            flow
        });
        self.negotiated = Some(negotiated.clone());
        self.state = State::Running;
        if self.clock.deadline.is_some() {
            self.drain();
        }
        self.set_bound();
        Ok(Event::Connected(negotiated))
    }

    fn health_check(&mut self, negotiated: &Negotiated) -> Event {
        let passed = !self.fails_health_checks;
        if passed {
            // With a small tune.bufsize HAProxy from 3.1 refuses the very size it offers in a check; the smallest
            // passes.
            agent_hello(negotiated, MIN_FRAME_SIZE, negotiated.capabilities).encode(&mut self.out);
            // HAProxy from 3.1 fails a check for any byte behind the HELLO (wire pitfall P6).
            self.start_closing();
        } else {
            // A status that no version can take for a success.
            self.disconnect(Status::UNKNOWN, "the agent is about to stop");
        }
        Event::HealthCheck { passed }
    }

    /// Returns `fragmentation` if it is taken, which is announced although HAProxy never offers it: see
    /// [`crate::connection::fragments`].
    pub(super) fn fragmentation(&self) -> Capabilities {
        if self.config.fragments.bytes > 0 { Capabilities::FRAGMENTATION } else { Capabilities::NONE }
    }

    #[inline]
    fn notify(
        &mut self,
        header: FrameHeader,
        take: impl FnOnce() -> RawFrame<Bytes>,
    ) -> Result<Progress, ProtocolError> {
        // HAProxy up to 3.0 uses the ids again for the next event of a stream whose answer it did not wait for (P8).
        // The frame stays in the input, so that the old work is dropped before the new one starts.
        if self.in_flight.give_up(header.id) {
            return Ok(Progress::Event(Event::GivenUp(header.id)));
        }
        if let Some(given_up) = self.superseded() {
            return Ok(Progress::Event(given_up));
        }
        if self.is_full() {
            return Ok(Progress::Wait);
        }
        self.fragments.expect_none(header.id)?;
        // The first one since then tells all that the others of its burst could.
        let drained = self.drained_at.filter(|_| self.ran_after != self.drained_at);
        self.ran_after = self.drained_at;
        if let Some(flow) = &mut self.flow {
            let all_answered = self.in_flight.is_empty() && self.out.is_empty();
            flow.notify(drained, self.part == 0, all_answered, self.clock.now);
        }
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

    /// Gives up what a NOTIFY stands for the end of: HAProxy from 3.1 without pipelining sends one only if it waits for
    /// no other ACK on the connection: the ones before, if any, it gave up. Their ACKs would only fill its buffer.
    #[inline]
    fn superseded(&mut self) -> Option<Event> {
        let flow = self.flow.as_mut().filter(|flow| flow.is_one_at_a_time())?;
        if self.in_flight.is_empty() && self.out.is_empty() {
            return None;
        }
        flow.overlap();
        // Only ACKs can be there, unless a peer does not wait for the HELLO.
        let kept =
            if flow.has_sent_hello() { self.part } else { self.part.max(flow::first_frame_len(&self.out)) };
        self.out.truncate(kept);
        self.in_flight.give_up_any().map(Event::GivenUp)
    }

    fn fragment(&mut self, outcome: Outcome) -> Result<Progress, ProtocolError> {
        Ok(match outcome {
            Outcome::Pending | Outcome::Aborted => Progress::Frame,
            Outcome::Complete(frame) => Progress::Event(self.arrived(RawFrame::parse(frame)?)),
            Outcome::TooBig(id, error) => Progress::Event(Event::Malformed(error, self.in_flight.add(id))),
        })
    }

    #[inline]
    fn arrived(&mut self, raw: RawFrame<Bytes>) -> Event {
        let ticket = self.in_flight.add(raw.header().id);
        match Notify::from_raw(raw) {
            Ok(notify) => Event::Notify(notify, ticket),
            Err(error) => Event::Malformed(error, ticket),
        }
    }
}

pub(super) fn agent_hello(
    negotiated: &Negotiated,
    max_frame_size: u32,
    capabilities: Capabilities,
) -> AgentHello {
    AgentHello {
        version: negotiated.version,
        max_frame_size: Some(max_frame_size),
        capabilities: Some(capabilities),
    }
}
