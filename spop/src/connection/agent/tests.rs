//! Transcripts: what HAProxy sends, what it means, what the agent answers.

mod drain;
mod errors;
mod flow;
mod fragments;
mod hello;
mod lifecycle;
mod narrow;
mod running;
mod tickets;
mod timeouts;

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::frame::{Action, Disconnect, Frame, Scope};
use crate::wire::{DecodeError, DecodeErrorKind, FrameType, LENGTH_PREFIX, NotifyId, varint};
use crate::{Capabilities, ProtocolError, Status};

const ABORT: u32 = 2;
const FIN: u32 = 1;

const NANOSECOND: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
/// An ACK of more bytes is shown by its length.
const LONG: usize = 100;
/// How long HAProxy is given to read that it is to send one NOTIFY at a time.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a drain of these tests may take.
const DRAIN: Duration = Duration::from_secs(10);

fn id(stream_id: u64, frame_id: u64) -> NotifyId {
    NotifyId { stream_id, frame_id }
}

/// A frame with its length prefix.
fn frame(frame_type: FrameType, flags: u32, id: NotifyId, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&[frame_type.0][..], &flags.to_be_bytes()].concat();
    for id in [id.stream_id, id.frame_id] {
        frame.extend_from_slice(varint::encode(id, &mut [0; varint::MAX_LEN]));
    }
    frame.extend_from_slice(payload);
    [&(frame.len() as u32).to_be_bytes()[..], &frame].concat()
}

/// A NOTIFY of one message "m" without arguments.
fn notify(stream_id: u64, frame_id: u64) -> Vec<u8> {
    frame(FrameType::NOTIFY, FIN, id(stream_id, frame_id), b"\x01m\0")
}

/// A HAPROXY-HELLO with these values; the payload goes on with `more`.
fn hello(versions: &str, max_frame_size: u32, capabilities: &str, more: &[u8]) -> Vec<u8> {
    let mut buffer = [0; varint::MAX_LEN];
    let payload = [
        b"\x12supported-versions\x08",
        &[versions.len() as u8][..],
        versions.as_bytes(),
        b"\x0emax-frame-size\x03",
        varint::encode(max_frame_size.into(), &mut buffer),
        b"\x0ccapabilities\x08",
        &[capabilities.len() as u8],
        capabilities.as_bytes(),
        more,
    ];
    frame(FrameType::HAPROXY_HELLO, FIN, id(0, 0), &payload.concat())
}

fn haproxy_disconnect(status: u32) -> Vec<u8> {
    let (reason, mut buffer) = (Status(status).reason(), [0; varint::MAX_LEN]);
    let payload = [
        b"\x0bstatus-code\x03",
        varint::encode(status.into(), &mut buffer),
        b"\x07message\x08",
        &[reason.len() as u8],
        reason.as_bytes(),
    ];
    frame(FrameType::HAPROXY_DISCONNECT, FIN, id(0, 0), &payload.concat())
}

/// A connection, its input and its clock. Every step checks what is due at that point.
struct Transcript {
    connection: Connection,
    input: BytesMut,
    now: Instant,
    /// Those of the NOTIFYs that came, given up or not.
    tickets: Vec<Ticket>,
}

impl Transcript {
    fn new(config: Config) -> Self {
        // Any origin will do.
        let now = Instant::from_origin(Duration::from_secs(4711));
        Self { connection: Connection::new(config, now), input: BytesMut::new(), now, tickets: Vec::new() }
    }

    /// The HELLOs are exchanged with a HAProxy up to 3.0, so that an empty ACK stays empty.
    fn running(config: Config) -> Self {
        Self::connected(config, "pipelining,async")
    }

    /// The HELLOs are exchanged with a HAProxy from 3.1.
    fn mux(config: Config) -> Self {
        Self::connected(config, "pipelining")
    }

    /// The HELLOs are exchanged with a HAProxy that offers `capabilities`.
    fn connected(config: Config, capabilities: &str) -> Self {
        let mut transcript = Self::new(config);
        transcript.haproxy(&hello("2.0", 16_380, capabilities, b""));
        assert!(transcript.next_event().starts_with("CONNECTED"));
        let sent = transcript.transmit();
        assert_eq!(sent.len(), 1);
        transcript
    }

    /// HAProxy sends `bytes`.
    fn haproxy(&mut self, bytes: &[u8]) -> &mut Self {
        self.input.extend_from_slice(bytes);
        self
    }

    /// HAProxy sends these NOTIFYs, each with the frame-id 1, and the agent gets them.
    #[track_caller]
    fn asked(&mut self, stream_ids: impl IntoIterator<Item = u64>) -> &mut Self {
        for stream_id in stream_ids {
            self.haproxy(&notify(stream_id, 1)).events(&[&format!("NOTIFY {stream_id}/1")]);
        }
        self
    }

    fn handle_input(&mut self) -> Result<Option<Event>, ProtocolError> {
        match self.connection.handle_input(&mut self.input, self.now) {
            Some(Event::Failed(error)) => Err(error),
            event => Ok(event),
        }
    }

    fn next_event(&mut self) -> String {
        match self.handle_input() {
            Ok(Some(event)) => {
                let name = name(&event);
                if let Event::Notify(_, ticket) | Event::Malformed(_, ticket) = event {
                    self.tickets.push(ticket);
                }
                name
            }
            Ok(None) => "NOTHING".to_owned(),
            Err(error) => format!("ERROR {error}"),
        }
    }

    /// The agent is told `events`, and nothing else.
    #[track_caller]
    fn events(&mut self, events: &[&str]) -> &mut Self {
        for &event in events {
            assert_eq!(self.next_event(), event);
        }
        assert_eq!(self.next_event(), "NOTHING", "after {events:?}");
        self
    }

    /// The ticket of the latest NOTIFY with these ids.
    #[track_caller]
    fn ticket(&mut self, stream_id: u64, frame_id: u64) -> Ticket {
        let at = self.tickets.iter().rposition(|ticket| ticket.id() == id(stream_id, frame_id));
        self.tickets.remove(at.expect("a NOTIFY with these ids"))
    }

    /// The agent answers without actions.
    #[track_caller]
    fn ack(&mut self, stream_id: u64, frame_id: u64) -> &mut Self {
        let ticket = self.ticket(stream_id, frame_id);
        self.connection.ack(ticket, &Actions::new()).unwrap();
        self
    }

    /// The agent answers with an ACK of `size` bytes on the wire.
    #[track_caller]
    fn long_ack(&mut self, stream_id: u64, size: usize) -> &mut Self {
        let ticket = self.ticket(stream_id, 1);
        // The length prefix, a header with ids below 240, and what comes before the length of the text.
        let head = LENGTH_PREFIX + 7 + 6;
        let fits = |&len: &usize| head + varint::encoded_len(len as u64) + len == size;
        let len = (1..=3).map(|digits| size - head - digits).find(fits).expect("a size that can be");
        let write = |ack: &mut AckWriter<'_>| ack.set_var(Scope::Session, "a", &*"x".repeat(len)).map(drop);
        self.connection.ack_with(ticket, write).unwrap();
        self
    }

    /// All that may be sent now is taken by the peer's socket.
    fn transmit(&mut self) -> Vec<String> {
        let mut out = BytesMut::new();
        loop {
            let part = self.connection.poll_transmit(self.now);
            let len = part.len();
            out.extend_from_slice(part);
            if len == 0 {
                break;
            }
            self.connection.transmitted(len);
        }
        let mut sent = Vec::new();
        while let Some(frame) = FrameDecoder::new(u32::MAX).decode(&mut out).unwrap() {
            let size = LENGTH_PREFIX + frame.len();
            sent.push(match Frame::parse(frame).unwrap() {
                Frame::Ack(ack) if size > LONG => format!("ACK {} of {size} bytes", ack.id()),
                frame => frame_name(&frame),
            });
        }
        assert!(out.is_empty(), "half a frame is sent");
        sent
    }

    /// These frames may be sent now, and nothing else; they are.
    #[track_caller]
    fn agent(&mut self, frames: &[&str]) -> &mut Self {
        assert_eq!(self.transmit(), frames);
        self
    }

    /// Nothing is due for `time`, and then `timeouts` are.
    #[track_caller]
    fn wakes(&mut self, time: Duration, timeouts: &[Timeout]) -> &mut Self {
        let due = self.now + time;
        // It may be looked too early, as what was put off is not counted anew each time.
        let mut next = self.connection.poll_timeout();
        while let Some(early) = next.filter(|&early| early < due) {
            assert_eq!(self.connection.handle_timeout(early), None, "at {early:?}");
            if self.connection.flow.as_ref().and_then(FlowControl::retry_at) == Some(early) {
                assert!(self.connection.poll_transmit(early).is_empty(), "at {early:?}");
            }
            next = self.connection.poll_timeout().inspect(|&later| assert!(later > early));
        }
        assert_eq!(next, Some(due), "{:?}", self.now);
        let before = Instant::from_origin(due.since_origin() - NANOSECOND);
        assert_eq!(self.connection.handle_timeout(before), None, "a nanosecond before");
        self.now = due;
        for &timeout in timeouts {
            assert_eq!(self.connection.handle_timeout(due), Some(timeout));
        }
        assert_eq!(self.connection.handle_timeout(due), None, "after {timeouts:?}");
        self
    }

    /// `time` goes by, in which nothing is due but what is due to a connection that is quiet.
    #[track_caller]
    fn after(&mut self, time: Duration) -> &mut Self {
        self.now = self.now + time;
        while let Some(timeout) = self.connection.handle_timeout(self.now) {
            assert_eq!(timeout, Timeout::Quiet);
        }
        self
    }

    #[track_caller]
    fn state(&mut self, state: State) -> &mut Self {
        assert_eq!(self.connection.state(), state);
        self
    }

    #[track_caller]
    fn in_flight(&mut self, notifies: usize) -> &mut Self {
        assert_eq!(self.connection.in_flight(), notifies);
        self
    }

    fn drain(&mut self) -> &mut Self {
        self.drain_within(DRAIN)
    }

    fn drain_until(&mut self, deadline: Instant) -> &mut Self {
        self.connection.start_drain(self.now, deadline);
        self
    }

    /// At most `time` from now.
    fn drain_within(&mut self, time: Duration) -> &mut Self {
        self.drain_until(self.now + time)
    }

    /// The peer's socket is closed.
    fn closed(&mut self) -> &mut Self {
        self.connection.handle_eof(&self.input).unwrap();
        self
    }
}

fn name(event: &Event) -> String {
    match event {
        Event::Failed(error) => format!("ERROR {error}"),
        Event::Connected(negotiated) => {
            format!("CONNECTED {} {}", negotiated.max_frame_size, negotiated.capabilities)
        }
        Event::HealthCheck { passed: true } => "HEALTH CHECK passed".to_owned(),
        Event::HealthCheck { passed: false } => "HEALTH CHECK failed".to_owned(),
        Event::Notify(notify, ticket) => {
            assert_eq!(notify.id(), ticket.id());
            format!("NOTIFY {}", ticket.id())
        }
        Event::Malformed(error, ticket) => format!("MALFORMED {}: {error}", ticket.id()),
        Event::GivenUp(id) => format!("GIVEN UP {id}"),
        Event::Disconnected(disconnect) => {
            format!("DISCONNECTED {} {}", disconnect.status.0, disconnect.message())
        }
    }
}

fn frame_name(frame: &Frame<Bytes>) -> String {
    match frame {
        Frame::AgentHello(hello) => {
            let (size, capabilities) = (hello.max_frame_size.unwrap(), hello.capabilities.unwrap());
            format!("HELLO {} {size} {capabilities}", hello.version)
        }
        Frame::AgentDisconnect(disconnect) => format!("DISCONNECT {}", disconnect.status.0),
        Frame::Ack(ack) => {
            let mut text = format!("ACK {}", ack.id());
            if ack.flags().is_abort() {
                text.push_str(" ABORT");
            }
            for action in ack.actions() {
                let Action::SetVar { scope, name, value } = action else { panic!("{action:?}") };
                write!(text, " {}.{name}={value:?}", scope.keyword()).unwrap();
            }
            text
        }
        other => panic!("an agent never sends {other:?}"),
    }
}
