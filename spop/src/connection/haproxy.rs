//! HAProxy's side of a connection: for clients, tests, load generators and conformance checks.

use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::{FrameDecoder, MIN_FRAME_SIZE, Negotiated, ProtocolError, State, UsageError};
use crate::frame::{Ack, AgentHello, Disconnect, EncodeError, HaproxyHello, NotifyWriter};
use crate::wire::{DecodeError, DecodeErrorKind, FrameHeader, FrameType, NotifyId};
use crate::{Capabilities, Status, Version};

/// The two implementations of SPOP in HAProxy, which differ in what they send and forgive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// HAProxy up to 3.0: announces `pipelining,async`, numbers streams from 0 and over the whole process, fragments
    /// for an agent that announces `fragmentation`.
    Applet,
    /// HAProxy from 3.1: announces `pipelining`, numbers the streams of each connection 1, 3, 5 and so on, never
    /// fragments.
    Mux,
}

/// What this side offers.
#[derive(Clone, Debug)]
pub struct Config {
    engine: Engine,
    max_frame_size: u32,
    pipelining: bool,
    max_waiting_frames: usize,
    engine_id: Vec<u8>,
    healthcheck: bool,
}

impl Config {
    /// Describes a HAProxy of the kind `engine`, with HAProxy's defaults.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            max_frame_size: 16_380,
            pipelining: true,
            max_waiting_frames: 20,
            engine_id: b"00000000-0000-4000-8000-000000000000".into(),
            healthcheck: false,
        }
    }

    /// Sets the `max-frame-size` of the `spoe-agent`: the longest frame, in bytes, the length prefix not counted;
    /// default 16380, at least 256.
    #[must_use]
    pub fn max_frame_size(mut self, bytes: u32) -> Self {
        self.max_frame_size = bytes.max(MIN_FRAME_SIZE);
        self
    }

    /// Sets `option pipelining`, default on.
    #[must_use]
    pub fn pipelining(mut self, enabled: bool) -> Self {
        self.pipelining = enabled;
        self
    }

    /// Sets how many NOTIFYs may wait on one connection when both sides pipeline: `max-waiting-frames` up to 3.0, fixed
    /// later; default 20. Without pipelining it is 1.
    #[must_use]
    pub fn max_waiting_frames(mut self, notifies: usize) -> Self {
        self.max_waiting_frames = notifies.max(1);
        self
    }

    /// Sets the `engine-id`, opaque; HAProxy sends a UUID.
    #[must_use]
    pub fn engine_id(mut self, id: &[u8]) -> Self {
        self.engine_id = id.into();
        self
    }

    /// Makes this an `option spop-check`: nothing but the HELLOs is exchanged. Default off.
    #[must_use]
    pub fn healthcheck(mut self, enabled: bool) -> Self {
        self.healthcheck = enabled;
        self
    }

    fn offered(&self) -> Capabilities {
        match (self.healthcheck, self.pipelining, self.engine) {
            (true, ..) => Capabilities::NONE,
            (_, true, Engine::Applet) => Capabilities::PIPELINING | Capabilities::ASYNC,
            (_, false, Engine::Applet) => Capabilities::ASYNC,
            (_, true, Engine::Mux) => Capabilities::PIPELINING,
            (_, false, Engine::Mux) => Capabilities::NONE,
        }
    }
}

/// What happened on a connection.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub enum Event {
    /// The agent accepted: NOTIFYs may be sent.
    Connected(Negotiated),
    /// The agent passed the health check: close.
    HealthCheckPassed(Negotiated),
    /// The answer to a NOTIFY.
    Ack(Ack<Bytes>),
    /// A second ACK, or one to a NOTIFY that was [abandoned](Connection::abandon). HAProxy ignores it.
    LateAck(Ack<Bytes>),
    /// The agent sent a DISCONNECT: what waits gets no answer. Close.
    Disconnected(Disconnect),
}

/// HAProxy's side of one connection, the mirror of [`agent::Connection`](crate::agent::Connection). No IO, no clock.
///
/// To drive it:
///
/// 1. Call [`hello`](Self::hello) once and send `out`.
/// 2. Append what the agent sent to an input buffer and call [`handle_input`](Self::handle_input) until it returns
///    `Ok(None)`; it may append to `out`.
/// 3. After [`Event::Connected`], write NOTIFYs with [`notify`](Self::notify) while [`window`](Self::window) is not 0.
///    Every one gets an [`Event::Ack`] with its id, or the connection ends.
/// 4. Call [`abandon`](Self::abandon) for a NOTIFY whose `timeout processing` has run out.
/// 5. Once [`state`](Self::state) is [`State::Closed`], send what is left in `out` and close. An `Err` leads there too.
///
/// ```
/// use bytes::BytesMut;
/// use spop::haproxy::{Config, Connection, Engine};
///
/// let mut out = BytesMut::new();
/// let mut connection = Connection::new(Config::new(Engine::Mux).healthcheck(true));
/// connection.hello(&mut out)?;
/// assert_eq!(out.len(), 82);
/// # Ok::<(), spop::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    config: Config,
    decoder: FrameDecoder,
    state: State,
    negotiated: Option<Negotiated>,
    fragments: bool,
    next_stream_id: u64,
    /// The NOTIFYs that wait for their ACK.
    waiting: Vec<NotifyId>,
}

impl Connection {
    /// Creates a connection on which nothing was sent yet.
    pub fn new(config: Config) -> Self {
        Self {
            decoder: FrameDecoder::new(config.max_frame_size),
            state: State::Hello,
            negotiated: None,
            fragments: false,
            next_stream_id: if config.engine == Engine::Mux { 1 } else { 0 },
            waiting: Vec::new(),
            config,
        }
    }

    /// Appends the HAPROXY-HELLO to `out`, byte for byte as HAProxy sends it.
    ///
    /// # Errors
    /// If the engine-id is too long for a frame.
    pub fn hello(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let Config { max_frame_size, healthcheck, .. } = self.config;
        HaproxyHello {
            supported_versions: [Version::V2_0].into(),
            max_frame_size,
            capabilities: self.config.offered(),
            engine_id: (!healthcheck).then(|| self.config.engine_id.clone()),
            healthcheck,
        }
        .encode(out)
    }

    /// Takes complete frames from `input` up to the next event; `None` when more bytes are needed.
    ///
    /// # Errors
    /// If the agent breaks the protocol. A DISCONNECT with the error's status is in `out`, and the state is
    /// [`State::Closed`]. HAProxy from 3.1 says nothing in most of these cases, and lets every waiting request run into
    /// its `timeout processing`.
    pub fn handle_input(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Option<Event>, ProtocolError> {
        while self.state != State::Closed {
            match self.next_frame(input) {
                Ok(Some(Some(event))) => return Ok(Some(event)),
                Ok(Some(None)) => {}
                Ok(None) => break,
                Err(error) => {
                    self.disconnect(error.status(), out);
                    self.state = State::Closed;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// Handles the end of what the agent sends, with `input` left over.
    ///
    /// # Errors
    /// [`ProtocolError::UnexpectedEof`] if it closed in the middle of a frame. NOTIFYs that wait get no answer.
    pub fn handle_eof(&mut self, input: &[u8]) -> Result<(), ProtocolError> {
        let closed = core::mem::replace(&mut self.state, State::Closed) == State::Closed;
        if closed || input.is_empty() { Ok(()) } else { Err(ProtocolError::UnexpectedEof) }
    }

    /// Starts a NOTIFY in `out`, with the ids HAProxy would choose. Once finished it waits for its ACK. For an agent
    /// that takes fragments, [`Engine::Applet`] cuts it into as many frames as it needs.
    ///
    /// # Errors
    /// [`UsageError::WrongState`] before the agent accepted or after the DISCONNECT, [`UsageError::WindowFull`] if as
    /// many NOTIFYs wait as may.
    pub fn notify<'a>(&'a mut self, out: &'a mut BytesMut) -> Result<NotifyWriter<'a>, UsageError> {
        if self.state == State::Running && self.window() == 0 {
            return Err(UsageError::WindowFull);
        }
        let (State::Running, Some(negotiated)) = (self.state, &self.negotiated) else {
            return Err(UsageError::WrongState(self.state));
        };
        let id = NotifyId { stream_id: self.next_stream_id, frame_id: 1 };
        // HAProxy from 3.1 counts odd numbers only; before, internal streams take numbers too.
        self.next_stream_id += 2;
        let max = negotiated.max_frame_size as usize;
        Ok(NotifyWriter::for_connection(id, max, self.fragments, &mut self.waiting, out))
    }

    /// Stops waiting for the ACK to `id`, as HAProxy does after `timeout processing`, without a word to the agent.
    /// Returns whether it waited.
    pub fn abandon(&mut self, id: NotifyId) -> bool {
        self.forget(id)
    }

    /// Appends a HAPROXY-DISCONNECT. The agent's own DISCONNECT is still to come, and nothing else counts any more.
    pub fn disconnect(&mut self, status: Status, out: &mut BytesMut) {
        if matches!(self.state, State::Hello | State::Running) {
            Disconnect::new(status).encode(FrameType::HAPROXY_DISCONNECT, out);
            self.state = State::Closing;
        }
    }

    /// Returns where the connection stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns what both sides agreed on, once they did.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Returns how many NOTIFYs wait for their ACK.
    pub fn in_flight(&self) -> usize {
        self.waiting.len()
    }

    /// Returns how many more NOTIFYs may be sent now.
    pub fn window(&self) -> usize {
        let pipelining = |negotiated: &Negotiated| negotiated.capabilities.contains(Capabilities::PIPELINING);
        let most = match &self.negotiated {
            Some(negotiated) if pipelining(negotiated) => self.config.max_waiting_frames,
            Some(_) => 1,
            None => 0,
        };
        most.saturating_sub(self.in_flight())
    }

    /// `None`: no complete frame. `Some(None)`: one that is ignored.
    fn next_frame(&mut self, input: &mut BytesMut) -> Result<Option<Option<Event>>, ProtocolError> {
        let Some(frame) = self.decoder.decode(input)? else { return Ok(None) };
        let (header, _) = FrameHeader::parse(&frame)?;
        match (self.state, header.frame_type) {
            (_, FrameType::AGENT_DISCONNECT) => {
                let disconnect = Disconnect::parse(&frame)?;
                self.state = State::Closed;
                Ok(Some(Some(Event::Disconnected(disconnect))))
            }
            (State::Hello, FrameType::AGENT_HELLO) => {
                let hello = AgentHello::parse(&frame)?;
                self.agent_hello(&hello).map(|event| Some(Some(event)))
            }
            (State::Hello, frame_type) => {
                Err(ProtocolError::UnexpectedFrame { frame_type, state: self.state })
            }
            (State::Running, FrameType::AGENT_HELLO) if self.config.engine == Engine::Mux => {
                self.second_hello(&AgentHello::parse(&frame)?).map(|()| Some(None))
            }
            (State::Running, FrameType::ACK) => self.ack(Ack::parse(frame)?).map(|event| Some(Some(event))),
            _ => Ok(Some(None)),
        }
    }

    /// Checks what HAProxy demands of an AGENT-HELLO, in all versions the same but for what may be missing.
    fn agent_hello(&mut self, hello: &AgentHello) -> Result<Event, ProtocolError> {
        let lacks = |kind| ProtocolError::Decode(DecodeError::new(kind, 0));
        if hello.version != Version::V2_0 {
            return Err(ProtocolError::UnsupportedVersion);
        }
        let offered = self.config.max_frame_size;
        let max_frame_size = match (hello.max_frame_size, self.config.engine) {
            (Some(size), _) => size,
            (None, Engine::Mux) if !self.config.healthcheck => offered,
            (None, _) => return Err(lacks(DecodeErrorKind::NoMaxFrameSize)),
        };
        if !(MIN_FRAME_SIZE..=offered).contains(&max_frame_size) {
            return Err(ProtocolError::MaxFrameSize(max_frame_size));
        }
        if hello.capabilities.is_none() && self.config.healthcheck && self.config.engine == Engine::Mux {
            return Err(lacks(DecodeErrorKind::NoCapabilities));
        }
        let capabilities = hello.capabilities.unwrap_or_default();
        let negotiated = Negotiated {
            version: hello.version,
            max_frame_size,
            capabilities: capabilities & self.config.offered(),
            engine_id: (!self.config.healthcheck).then(|| self.config.engine_id.clone()),
        };
        if self.config.healthcheck {
            self.state = State::Closed;
            return Ok(Event::HealthCheckPassed(negotiated));
        }
        self.state = State::Running;
        self.fragments =
            self.config.engine == Engine::Applet && capabilities.contains(Capabilities::FRAGMENTATION);
        self.negotiated = Some(negotiated.clone());
        Ok(Event::Connected(negotiated))
    }

    /// HAProxy from 3.1 reads it like the first one. Pipelining can be lost that way, and not be won again.
    fn second_hello(&mut self, hello: &AgentHello) -> Result<(), ProtocolError> {
        let before = self.negotiated.as_ref().map(|negotiated| negotiated.capabilities);
        self.agent_hello(hello)?;
        if let (Some(before), Some(now)) = (before, &mut self.negotiated) {
            now.capabilities = now.capabilities & before;
        }
        Ok(())
    }

    fn forget(&mut self, id: NotifyId) -> bool {
        let at = self.waiting.iter().position(|&waiting| waiting == id);
        at.map(|at| self.waiting.swap_remove(at)).is_some()
    }

    fn ack(&mut self, ack: Ack<Bytes>) -> Result<Event, ProtocolError> {
        let id = ack.id();
        if self.forget(id) {
            return Ok(Event::Ack(ack));
        }
        let parity = if self.config.engine == Engine::Mux { 1 } else { 0 };
        let sent = id.frame_id == 1 && id.stream_id < self.next_stream_id && id.stream_id % 2 == parity;
        if sent { Ok(Event::LateAck(ack)) } else { Err(ProtocolError::UnknownAck(id)) }
    }
}

#[cfg(test)]
mod tests;
