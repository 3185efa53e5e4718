//! Transcripts: what HAProxy sends, what it means, what the agent answers.

mod drain;
mod errors;
mod fragments;
mod hello;
mod running;

use std::fmt::Write;

use super::*;
use crate::{Action, Frame, LENGTH_PREFIX, Scope, varint};

const ABORT: u32 = 2;
const FIN: u32 = 1;

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

/// A connection and its two buffers. Every step checks what is due at that point.
struct Transcript {
    connection: Connection,
    input: BytesMut,
    out: BytesMut,
}

impl Transcript {
    fn new(config: Config) -> Self {
        Self { connection: Connection::new(config), input: BytesMut::new(), out: BytesMut::new() }
    }

    /// The HELLOs are exchanged with a HAProxy up to 3.0, so that an empty ACK stays empty.
    fn running(config: Config) -> Self {
        let mut transcript = Self::new(config);
        transcript.haproxy(&hello("2.0", 16_380, "pipelining,async", b""));
        assert!(transcript.next_event().starts_with("CONNECTED"));
        transcript.out.clear();
        transcript
    }

    /// HAProxy sends `bytes`.
    fn haproxy(&mut self, bytes: &[u8]) -> &mut Self {
        self.input.extend_from_slice(bytes);
        self
    }

    fn next_event(&mut self) -> String {
        match self.connection.handle_input(&mut self.input, &mut self.out) {
            Ok(Some(event)) => name(&event),
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

    /// The agent answers without actions.
    #[track_caller]
    fn ack(&mut self, stream_id: u64, frame_id: u64) -> &mut Self {
        self.connection.ack(id(stream_id, frame_id), &Actions::new(), &mut self.out).unwrap();
        self
    }

    /// `out` holds these frames, and nothing else; they are sent.
    #[track_caller]
    fn agent(&mut self, frames: &[&str]) -> &mut Self {
        let decoder = FrameDecoder::new(u32::MAX);
        let mut sent = Vec::new();
        while let Some(frame) = decoder.decode(&mut self.out).unwrap() {
            sent.push(frame_name(&Frame::parse(frame).unwrap()));
        }
        assert_eq!(sent, frames);
        assert!(self.out.is_empty(), "half a frame in `out`");
        self
    }

    #[track_caller]
    fn phase(&mut self, phase: Phase) -> &mut Self {
        assert_eq!(self.connection.phase(), phase);
        self
    }

    #[track_caller]
    fn in_flight(&mut self, notifies: usize) -> &mut Self {
        assert_eq!(self.connection.in_flight(), notifies);
        self
    }

    fn stop_pipelining(&mut self) -> bool {
        self.connection.stop_pipelining(&mut self.out)
    }

    fn drain(&mut self) -> &mut Self {
        self.connection.drain(&mut self.out);
        self
    }
}

fn name(event: &Event) -> String {
    match event {
        Event::Connected(negotiated) => {
            format!("CONNECTED {} {}", negotiated.max_frame_size, negotiated.capabilities)
        }
        Event::HealthCheck => "HEALTH CHECK".to_owned(),
        Event::Notify(notify) => format!("NOTIFY {}", notify.id()),
        Event::Malformed(id, error) => format!("MALFORMED {id}: {error}"),
        Event::Aborted(id) => format!("ABORTED {id}"),
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
