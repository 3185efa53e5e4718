//! No bytes of the peer make a connection panic, loop, or answer out of order.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use spop::agent::{self, Ticket};
use spop::haproxy::{self, Engine};
use spop::{
    Actions, Capabilities, Disconnect, Frame, FrameDecoder, FrameType, Instant, Scope, State, Status, varint,
};

/// Messages, actions and items, some of them cut.
const PAYLOADS: &[&[u8]] = &[
    b"",
    b"\x01m\0",
    b"\x01m\x01\x01a\x11",
    b"\x01m\x02\0\x04\x07",
    b"\0\x08\x01x",
    b"\x01\x03\x02\x01v\x00",
    b"\x0bstatus-code\x03\x00",
    b"\x01\x03\x02",
];

/// A frame with its length prefix.
fn frame(frame_type: u8, flags: u32, ids: [u64; 2], payload: &[u8]) -> Vec<u8> {
    let mut body = [&[frame_type][..], &flags.to_be_bytes()].concat();
    for id in ids {
        body.extend_from_slice(varint::encode(id, &mut [0; varint::MAX_LEN]));
    }
    body.extend_from_slice(payload);
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

fn hello(engine: Engine) -> Vec<u8> {
    let mut out = BytesMut::new();
    haproxy::Connection::new(haproxy::Config::new(engine)).hello(&mut out).unwrap();
    out.to_vec()
}

fn agent_hello() -> Vec<u8> {
    let items = b"\x07version\x08\x032.0\x0emax-frame-size\x03\xfc\xf0\x06\x0ccapabilities\x08\x0apipelining";
    frame(101, 1, [0, 0], items)
}

/// A frame that is good, or nearly: types, flags, ids and payloads are mixed at will.
fn nearly_good() -> impl Strategy<Value = Vec<u8>> {
    let frame_type = prop_oneof![6 => Just(3u8), 3 => Just(0), 2 => Just(103), 1 => 0..4u8, 1 => 101..105u8];
    let flags = prop_oneof![4 => Just(1u32), 2 => Just(0), 1 => 0..4u32, 1 => any::<u32>()];
    let payload = select(PAYLOADS);
    (frame_type, flags, [0..4u64, 0..3u64], payload)
        .prop_map(|(frame_type, flags, ids, payload)| frame(frame_type, flags, ids, payload))
}

/// The HELLO, frames, and a few bytes changed, added or taken away anywhere.
fn stream(hello: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), proptest::option::of(any::<u8>()), any::<bool>());
    (hello, prop::bool::weighted(0.9), vec(nearly_good(), 0..30), vec(change, 0..3)).prop_map(
        move |(hello, polite, frames, changes)| {
            let mut bytes = if polite { hello } else { Vec::new() };
            bytes.extend(frames.concat());
            for (at, byte, insert) in changes {
                let at = at.index(bytes.len() + 1);
                match byte {
                    Some(byte) if insert => bytes.insert(at, byte),
                    Some(byte) if at < bytes.len() => bytes[at] = byte,
                    _ => bytes.truncate(at.max(bytes.len() / 2)),
                }
            }
            bytes
        },
    )
}

/// All frames in `out`: they are whole, and can be read.
fn sent(out: BytesMut) -> Vec<Frame<Bytes>> {
    let (decoder, mut out, mut frames) = (FrameDecoder::new(16_380), out, Vec::new());
    while let Some(frame) = decoder.decode(&mut out).unwrap() {
        frames.push(Frame::parse(frame).unwrap());
    }
    assert!(out.is_empty());
    frames
}

fn assert_may_be_sent(disconnect: &Disconnect) {
    assert!(matches!(disconnect.status.0, 0..=13 | 99), "{disconnect:?}");
}

/// All that an agent may send now.
fn transmit(connection: &mut agent::Connection, now: Instant) -> BytesMut {
    let mut sent = BytesMut::new();
    loop {
        let part = connection.poll_transmit(now);
        if part.is_empty() {
            return sent;
        }
        sent.extend_from_slice(part);
        let len = part.len();
        connection.transmitted(len);
    }
}

fn has_ended(connection: &agent::Connection) -> bool {
    matches!(connection.state(), State::Closing | State::Lingering | State::Closed)
}

fn no_bytes_confuse_an_agent(bytes: &[u8], cut: usize, max_in_flight: usize) {
    let config = agent::Config::new().max_frame_size(300).max_in_flight(max_in_flight).fragments(400, 5);
    let now = Instant::default();
    let mut connection = agent::Connection::new(config, now);
    let mut input = BytesMut::new();
    let (mut held, mut answered) = (Vec::<Ticket>::new(), 0);
    let mut actions = Actions::new();
    actions.set_var(Scope::Session, "v", 1).unwrap();

    let mut pieces = bytes.chunks(cut);
    let mut error = None;
    // Every turn takes a piece or a frame, or answers a NOTIFY; there is no more of either than bytes.
    for _ in 0..=4 * bytes.len() {
        match connection.handle_input(&mut input, now) {
            Some(agent::Event::Notify(_, ticket) | agent::Event::Malformed(_, ticket)) => held.push(ticket),
            Some(agent::Event::GivenUp(id)) => held.retain(|ticket| ticket.id() != id),
            Some(agent::Event::Failed(first)) => {
                assert!(error.replace(first).is_none(), "an error comes once");
                assert_eq!(connection.state(), State::Closing);
            }
            Some(_) => {}
            None if !has_ended(&connection) && !connection.is_full() => {
                let Some(piece) = pieces.next() else { break };
                input.extend_from_slice(piece);
            }
            None => {
                let Some(ticket) = held.pop() else { break };
                answered += usize::from(!has_ended(&connection));
                connection.ack(ticket, &actions).unwrap();
            }
        }
        assert!(has_ended(&connection) || connection.in_flight() == held.len());
        assert!(connection.in_flight() <= max_in_flight);
    }
    let frames = sent(transmit(&mut connection, now));
    let acks = frames.iter().filter(|frame| frame.frame_type() == FrameType::ACK).count();
    assert_eq!(acks, answered);
    let disconnects = frames.iter().filter(|frame| frame.frame_type() == FrameType::AGENT_DISCONNECT);
    assert_eq!(disconnects.count(), usize::from(has_ended(&connection)));
    if has_ended(&connection) {
        let Some(Frame::AgentDisconnect(disconnect)) = frames.last() else { panic!("{frames:?}") };
        assert_may_be_sent(disconnect);
        assert_eq!(disconnect.status, error.map_or(Status::NORMAL, |error| error.status()));
    }
    ends_in_time(connection, now);
}

/// A drain is over by its deadline, however far the peer has come.
fn ends_in_time(mut connection: agent::Connection, now: Instant) {
    let deadline = now + Duration::from_secs(3);
    connection.start_drain(now, deadline);
    let mut last = now;
    for _ in 0..20 {
        transmit(&mut connection, last);
        let Some(time) = connection.poll_timeout() else { break };
        assert!(time > last, "nothing comes of {time:?}");
        last = time;
        while connection.handle_timeout(time).is_some() {}
    }
    assert_eq!(connection.state(), State::Closed);
    assert!(last <= deadline + Duration::from_secs(1), "{last:?}");
}

fn no_bytes_confuse_haproxys_side(engine: Engine, bytes: &[u8], cut: usize) {
    let mut connection = haproxy::Connection::new(haproxy::Config::new(engine));
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    let mut error = None;
    let mut waiting = 0;
    for piece in bytes.chunks(cut) {
        input.extend_from_slice(piece);
        for _ in 0..=input.len() {
            match connection.handle_input(&mut input, &mut out) {
                Ok(Some(haproxy::Event::Ack(_))) => waiting -= 1,
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(first) => assert!(error.replace(first).is_none(), "an error comes once"),
            }
        }
        if let Ok(notify) = connection.notify(&mut out) {
            notify.finish();
            waiting += 1;
        }
        assert_eq!(connection.in_flight(), waiting);
    }
    let frames = sent(out);
    if let Some(error) = error {
        assert_eq!(connection.state(), State::Closed);
        // Unless the fault is in the agent's own DISCONNECT.
        if let Some(Frame::HaproxyDisconnect(disconnect)) = frames.last() {
            assert_may_be_sent(disconnect);
            assert_eq!(disconnect.status, error.status());
        }
    }
}

proptest! {
    #[test]
    fn an_agent_stands_any_bytes(bytes in vec(any::<u8>(), 0..200), cut in 1..50usize) {
        no_bytes_confuse_an_agent(&bytes, cut, 4);
    }

    #[test]
    fn an_agent_stands_frames_that_are_nearly_good(
        bytes in stream(select(vec![hello(Engine::Applet), hello(Engine::Mux)])),
        cut in 1..300usize,
        max_in_flight in 1..6usize,
    ) {
        no_bytes_confuse_an_agent(&bytes, cut, max_in_flight);
    }

    #[test]
    fn haproxys_side_stands_frames_that_are_nearly_good(
        bytes in stream(Just(agent_hello())),
        cut in 1..300usize,
        mux in any::<bool>(),
    ) {
        no_bytes_confuse_haproxys_side(if mux { Engine::Mux } else { Engine::Applet }, &bytes, cut);
    }

    #[test]
    fn a_list_of_capabilities_is_any_bytes(list in vec(any::<u8>(), 0..60)) {
        let set = Capabilities::parse(&list);
        prop_assert_eq!(Capabilities::parse(set.to_string().as_bytes()), set);
    }
}
