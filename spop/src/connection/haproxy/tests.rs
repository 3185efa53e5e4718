//! Transcripts: what the agent sends, what it means, what HAProxy's side answers.

mod end;
mod fragments;
mod hello;
mod notifies;

use super::*;
use crate::frame::{Frame, Notify};
use crate::wire::{LENGTH_PREFIX, Text};

const ENGINES: [Engine; 2] = [Engine::Applet, Engine::Mux];

fn id(stream_id: u64, frame_id: u64) -> NotifyId {
    NotifyId { stream_id, frame_id }
}

/// A frame with its length prefix; ids are bytes, as they are below 240.
fn frame(frame_type: FrameType, flags: u32, id: NotifyId, payload: &[u8]) -> Vec<u8> {
    let ids = [id.stream_id as u8, id.frame_id as u8];
    let frame = [&[frame_type.0][..], &flags.to_be_bytes(), &ids, payload].concat();
    [&(frame.len() as u32).to_be_bytes()[..], &frame].concat()
}

fn ack(stream_id: u64, frame_id: u64) -> Vec<u8> {
    frame(FrameType::ACK, 1, id(stream_id, frame_id), b"")
}

fn agent_hello(max_frame_size: Option<u32>, capabilities: Option<Capabilities>) -> Vec<u8> {
    let mut out = BytesMut::new();
    AgentHello { version: Version::V2_0, max_frame_size, capabilities }.encode(&mut out);
    out.to_vec()
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

    /// The agent accepted with these values.
    #[track_caller]
    fn running(config: Config, max_frame_size: u32, capabilities: Capabilities) -> Self {
        let mut transcript = Self::new(config);
        transcript.agent(&agent_hello(Some(max_frame_size), Some(capabilities)));
        assert!(transcript.next_event().starts_with("CONNECTED"));
        transcript
    }

    #[track_caller]
    fn pipelining(engine: Engine) -> Self {
        Self::running(Config::new(engine), 16_380, Capabilities::PIPELINING)
    }

    /// The agent sends `bytes`.
    fn agent(&mut self, bytes: &[u8]) -> &mut Self {
        self.input.extend_from_slice(bytes);
        self
    }

    fn next_event(&mut self) -> String {
        match self.connection.handle_input(&mut self.input, &mut self.out) {
            Ok(Some(Event::Connected(negotiated))) => {
                format!("CONNECTED {} {}", negotiated.max_frame_size, negotiated.capabilities)
            }
            Ok(Some(Event::HealthCheckPassed(_))) => "HEALTH CHECK PASSED".to_owned(),
            Ok(Some(Event::Ack(ack))) => format!("ACK {}", ack.id()),
            Ok(Some(Event::LateAck(ack))) => format!("LATE ACK {}", ack.id()),
            Ok(Some(Event::Disconnected(disconnect))) => format!("DISCONNECTED {}", disconnect.status.0),
            Ok(None) => "NOTHING".to_owned(),
            Err(error) => format!("ERROR {}", error.status().0),
        }
    }

    /// HAProxy's side is told `events`, and nothing else.
    #[track_caller]
    fn events(&mut self, events: &[&str]) -> &mut Self {
        for &event in events {
            assert_eq!(self.next_event(), event);
        }
        assert_eq!(self.next_event(), "NOTHING", "after {events:?}");
        self
    }

    /// A NOTIFY of one message "m" is sent; it has these ids.
    #[track_caller]
    fn notify(&mut self, stream_id: u64, frame_id: u64) -> &mut Self {
        let mut notify = self.connection.notify(&mut self.out).unwrap();
        notify.message("m").unwrap();
        assert_eq!(notify.finish(), id(stream_id, frame_id));
        self
    }

    /// The statuses of the DISCONNECTs in `out`, which holds nothing else; they are sent.
    #[track_caller]
    fn disconnects(&mut self, statuses: &[u32]) -> &mut Self {
        let mut sent = Vec::new();
        while let Some(frame) = FrameDecoder::new(u32::MAX).decode(&mut self.out).unwrap() {
            let Frame::HaproxyDisconnect(disconnect) = Frame::parse(frame).unwrap() else { panic!() };
            sent.push(disconnect.status.0);
        }
        assert_eq!(sent, statuses);
        self
    }

    #[track_caller]
    fn state(&mut self, state: State) -> &mut Self {
        assert_eq!(self.connection.state(), state);
        self
    }
}
