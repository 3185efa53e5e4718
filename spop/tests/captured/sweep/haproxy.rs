//! What agents sent, cut and flipped, into HAProxy's side of a connection.

use bytes::BytesMut;
use spop::haproxy::{Config, Connection, Engine, Event};
use spop::{AgentHello, Capabilities, State, Version};

use super::{assert_good_frames, flips, truncations};
use crate::corpus::Captured;
use crate::walk;

fn is_from_agent(captured: &Captured) -> bool {
    !captured.from_haproxy
}

/// A connection that waits for what `captured` is: the AGENT-HELLO, or ACKs.
fn connection(captured: &Captured, out: &mut BytesMut) -> Connection {
    let engine = if captured.is_applet() { Engine::Applet } else { Engine::Mux };
    let mut connection = Connection::new(Config::new(engine));
    connection.hello(out).expect("a HELLO");
    if captured.file.ends_with("agent-hello.bin") {
        return connection;
    }
    let capabilities = Some(Capabilities::PIPELINING);
    let hello = AgentHello { version: Version::V2_0, max_frame_size: Some(16_380), capabilities };
    let mut input = BytesMut::new();
    hello.encode(&mut input);
    let connected = connection.handle_input(&mut input, out);
    assert!(matches!(connected, Ok(Some(Event::Connected(_)))));
    // Ids 1, 3 or 0, 2 and so on: some of the captured ACKs find theirs.
    for _ in 0..3 {
        connection.notify(out).expect("a window of 20").finish();
    }
    connection
}

/// Hands `wire` to a connection, walks what comes of it, and closes.
fn converse(captured: &Captured, wire: &[u8]) {
    let mut out = BytesMut::new();
    let mut connection = connection(captured, &mut out);
    let mut input = BytesMut::from(wire);
    let (mut events, mut failed) = (0, None);
    loop {
        match connection.handle_input(&mut input, &mut out) {
            Ok(Some(Event::Ack(ack) | Event::LateAck(ack))) => walk::walk_ack(&ack),
            Ok(Some(event)) => walk::show(format_args!("{event:?}")),
            Ok(None) => break,
            Err(error) => {
                walk::protocol_error(&error, wire.len());
                assert_eq!(connection.state(), State::Closed);
                failed = Some(error);
            }
        }
        events += 1;
        assert!(events <= 1 + wire.len() / 11, "more events than frames");
    }
    let _ = connection.handle_eof(&input);
    assert_eq!(connection.state(), State::Closed);
    assert_good_frames(&mut out, true, failed);
}

#[test]
fn frames_cut_at_every_byte() {
    let count = truncations(is_from_agent, converse);
    assert_eq!(count, 2_886);
}

#[test]
fn frames_with_every_bit_flipped() {
    let count = flips(is_from_agent, converse);
    assert_eq!(count, 25_072);
}
