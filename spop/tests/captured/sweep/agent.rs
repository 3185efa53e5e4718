//! What HAProxy sent, cut and flipped, into an agent's connection.

use bytes::BytesMut;
use spop::agent::{Config, Connection, Event};
use spop::{Actions, Instant, LENGTH_PREFIX, ProtocolError, State};

use super::{Doing, assert_good_frames, flips, truncations};
use crate::corpus::{Captured, Content, SCENARIOS, frames};
use crate::walk;

/// A HELLO of HAProxy 3.0, which is where frames can come in fragments.
fn hello() -> &'static [u8] {
    let hello = frames().find(|captured| captured.at == "3.0.11/acks/001-h2a-haproxy-hello.bin");
    &hello.expect("the HELLO").wire
}

/// HELLOs come first; anything else comes after one.
fn is_hello(captured: &Captured) -> bool {
    captured.file.ends_with("haproxy-hello.bin")
}

fn is_from_haproxy(captured: &Captured) -> bool {
    captured.from_haproxy
}

struct Agent {
    connection: Connection,
    now: Instant,
    input: BytesMut,
    /// Bytes that arrived last: no frame that is looked at is longer.
    received: usize,
}

impl Agent {
    fn new() -> Self {
        let now = Instant::default();
        let connection = Connection::new(Config::new(), now);
        Self { connection, now, input: BytesMut::new(), received: 0 }
    }

    fn after_hello() -> Self {
        let mut agent = Self::new();
        agent.receive(hello()).expect("a HELLO");
        assert_eq!(agent.connection.state(), State::Running);
        agent
    }

    /// Takes `bytes`, walks and answers all that comes of them.
    fn receive(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        self.input.extend_from_slice(bytes);
        self.received = bytes.len();
        // Each frame has 11 bytes and makes two events at most.
        for _ in 0..=self.input.len() / 5 {
            match self.connection.handle_input(&mut self.input, self.now) {
                Some(Event::Failed(error)) => {
                    walk::protocol_error(&error, self.received);
                    assert_eq!(self.connection.state(), State::Closing);
                    assert_good_frames(&mut self.transmit(), false, Some(error));
                    let after = self.connection.handle_input(&mut self.input, self.now);
                    assert!(after.is_none(), "nothing after the error");
                    return Err(error);
                }
                Some(event) => self.answer(event),
                None => {
                    assert_good_frames(&mut self.transmit(), false, None);
                    return Ok(());
                }
            }
        }
        panic!("more events than frames");
    }

    fn answer(&mut self, event: Event) {
        let ticket = match event {
            Event::Notify(notify, ticket) => {
                walk::walk_notify(&notify);
                ticket
            }
            Event::Malformed(error, ticket) => {
                walk::decode_error(&error, self.received);
                ticket
            }
            other => return walk::show(format_args!("{other:?}")),
        };
        self.connection.ack(ticket, &Actions::new()).unwrap();
        assert_eq!(self.connection.in_flight(), 0);
    }

    /// All that may be sent now.
    fn transmit(&mut self) -> BytesMut {
        let mut sent = BytesMut::new();
        loop {
            let part = self.connection.poll_transmit(self.now);
            if part.is_empty() {
                return sent;
            }
            sent.extend_from_slice(part);
            let len = part.len();
            self.connection.transmitted(len);
        }
    }
}

/// Hands `wire` to an agent where it belongs, and closes.
fn converse(captured: &Captured, wire: &[u8]) {
    let mut agent = if is_hello(captured) { Agent::new() } else { Agent::after_hello() };
    let _ = agent.receive(wire);
    let _ = agent.connection.handle_eof(&agent.input);
    assert_eq!(agent.connection.state(), State::Closed);
}

#[test]
fn frames_cut_at_every_byte() {
    let count = truncations(is_from_haproxy, converse);
    assert_eq!(count, 71_349);
}

#[test]
fn frames_with_every_bit_flipped() {
    let count = flips(is_from_haproxy, converse);
    assert_eq!(count, 583_144);
}

#[test]
fn frames_before_any_hello_are_refused() {
    for captured in frames().filter(|captured| captured.from_haproxy && !is_hello(captured)) {
        let _doing = Doing(&captured.at, "sent first");
        let is_disconnect = captured.header.frame_type == spop::FrameType::HAPROXY_DISCONNECT;
        assert_eq!(Agent::new().receive(&captured.wire).is_ok(), is_disconnect);
    }
}

#[test]
fn a_close_within_a_frame_is_an_unexpected_eof() {
    let mut wire = Vec::new();
    truncations(is_from_haproxy, |captured, cut| {
        // The length prefix says more than there is.
        wire.clear();
        wire.extend_from_slice(&captured.wire[..cut.len()]);
        let mut agent = if is_hello(captured) { Agent::new() } else { Agent::after_hello() };
        agent.receive(&wire).expect("nothing to complain of yet");
        assert_eq!(agent.input, wire);
        assert_eq!(agent.connection.handle_eof(&agent.input), Err(ProtocolError::UnexpectedEof));
    });
}

/// Flips in the headers of a fragmented NOTIFY, where the other fragments are as they were.
#[test]
fn fragments_with_every_header_bit_flipped() {
    const HEADER: usize = LENGTH_PREFIX + 7;
    let mut count = 0;
    for scenario in SCENARIOS.iter() {
        for whole in &scenario.reassembled {
            let part =
                |file: &String| scenario.frames.iter().find(|frame| frame.file == *file).expect("a frame");
            let parts: Vec<_> = whole.files.iter().map(part).collect();
            assert!(parts.iter().all(|part| matches!(part.content, Content::Fragment(_))));
            for (index, at) in (0..parts.len()).flat_map(|index| (0..HEADER).map(move |at| (index, at))) {
                for bit in 0..8 {
                    let _doing = Doing(&parts[index].at, format_args!("bit {bit} of byte {at} flipped"));
                    let mut wires: Vec<_> = parts.iter().map(|part| part.wire.clone()).collect();
                    wires[index][at] ^= 1 << bit;
                    let _ = Agent::after_hello().receive(&wires.concat());
                    count += 1;
                }
            }
        }
    }
    assert!(count > 3_000, "{count}");
}
