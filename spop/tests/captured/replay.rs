//! Every connection of every scenario again, with this crate as the agent.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;
use spop::agent::{Config, Connection, Event, Ticket};
use spop::{
    Ack, Actions, AgentHello, DecodeErrorKind, Disconnect, Frame, FrameDecoder, FrameType, Instant, Notify,
    NotifyId, OwnedTypedData, State, Status,
};

use crate::corpus::{Captured, Content, SCENARIOS, Scenario};
use crate::value::{Message, messages_of};

/// What the agent must notice, from the manifest; or what it noticed.
#[derive(Debug, PartialEq)]
enum Noticed {
    Connected {
        max_frame_size: u32,
        engine_id: Option<Vec<u8>>,
    },
    HealthCheck,
    /// Id, length of the payload, and the messages.
    Notify(NotifyId, usize, Vec<Message>),
    Malformed(NotifyId, DecodeErrorKind),
    GivenUp(NotifyId),
    Disconnected(Status),
    Other(String),
}

impl Noticed {
    /// What `event` is, and the right to answer it if it is a NOTIFY.
    fn new(event: Event) -> (Self, Option<Ticket>) {
        match event {
            Event::Connected(negotiated) => {
                let (max_frame_size, engine_id) = (negotiated.max_frame_size, negotiated.engine_id);
                (Self::Connected { max_frame_size, engine_id }, None)
            }
            Event::HealthCheck { passed: true } => (Self::HealthCheck, None),
            Event::Notify(notify, ticket) => {
                (Self::Notify(notify.id(), payload_len(&notify), messages_of(&notify)), Some(ticket))
            }
            Event::Malformed(error, ticket) => (Self::Malformed(ticket.id(), error.kind()), Some(ticket)),
            Event::GivenUp(id) => (Self::GivenUp(id), None),
            Event::Disconnected(disconnect) => (Self::Disconnected(disconnect.status), None),
            other => (Self::Other(format!("{other:?}")), None),
        }
    }

    /// The NOTIFY that is due an ACK.
    fn waits(&self) -> Option<NotifyId> {
        match self {
            Self::Notify(id, ..) | Self::Malformed(id, _) => Some(*id),
            _ => None,
        }
    }
}

fn payload_len(notify: &Notify<bytes::Bytes>) -> usize {
    let mut out = BytesMut::new();
    Frame::Notify(notify.clone()).encode(&mut out).unwrap();
    spop::RawFrame::parse(&out[spop::LENGTH_PREFIX..]).unwrap().payload().len()
}

/// What HAProxy sent on one connection.
struct Replay {
    at: String,
    wire: Vec<u8>,
    expected: Vec<Noticed>,
}

fn replays() -> impl Iterator<Item = Replay> {
    SCENARIOS.iter().flat_map(|scenario| {
        let mut connections: BTreeMap<u64, Replay> = BTreeMap::new();
        for captured in scenario.frames.iter().filter(|captured| captured.from_haproxy) {
            let replay = connections.entry(captured.conn).or_insert_with(|| Replay {
                at: format!("{}/{} connection {}", scenario.version, scenario.name, captured.conn),
                wire: Vec::new(),
                expected: Vec::new(),
            });
            replay.wire.extend_from_slice(&captured.wire);
            replay.expected.extend(expected(scenario, captured));
        }
        connections.into_values()
    })
}

/// What a frame of HAProxy's leads to; nothing for a fragment but the last one.
fn expected(scenario: &Scenario, captured: &Captured) -> Option<Noticed> {
    let id = captured.header.id;
    Some(match &captured.content {
        Content::Items(items) => match captured.header.frame_type {
            FrameType::HAPROXY_HELLO => hello(items),
            _ => Noticed::Disconnected(Status(uint32(items, "status-code")?)),
        },
        Content::Messages(messages) => {
            Noticed::Notify(id, captured.frame().len() - header_len(captured), messages.clone())
        }
        Content::Undecodable(_) => Noticed::Malformed(id, captured.refused?),
        Content::Fragment(_) => {
            let whole =
                scenario.reassembled.iter().find(|whole| whole.files.last() == Some(&captured.file))?;
            assert_eq!((whole.conn, whole.id), (captured.conn, id), "{}", captured.at);
            // Of one that HAProxy gives up before its last fragment nothing is told.
            let messages = whole.messages.as_ref()?;
            Noticed::Notify(id, whole.payload_len, messages.clone())
        }
        Content::Actions(_) => panic!("{}: an ACK from HAProxy", captured.at),
    })
}

/// Type, flags and both ids.
fn header_len(captured: &Captured) -> usize {
    let NotifyId { stream_id, frame_id } = captured.header.id;
    5 + spop::varint::encoded_len(stream_id) + spop::varint::encoded_len(frame_id)
}

fn hello(items: &[(String, OwnedTypedData)]) -> Noticed {
    let value = |name: &str| items.iter().find(|item| item.0 == name).map(|item| item.1.clone());
    if value("healthcheck") == Some(OwnedTypedData::Bool(true)) {
        return Noticed::HealthCheck;
    }
    let engine_id = match value("engine-id") {
        Some(OwnedTypedData::String(id)) => Some(id),
        _ => None,
    };
    // The agent's own limit is 16380.
    let max_frame_size = uint32(items, "max-frame-size").expect("a HELLO of HAProxy has it").min(16_380);
    Noticed::Connected { max_frame_size, engine_id }
}

fn uint32(items: &[(String, OwnedTypedData)], name: &str) -> Option<u32> {
    match items.iter().find(|item| item.0 == name)?.1 {
        OwnedTypedData::Uint32(value) => Some(value),
        _ => None,
    }
}

/// An agent that answers every NOTIFY at once, with nothing to say.
struct Agent {
    connection: Connection,
    input: BytesMut,
    /// What it sent.
    out: BytesMut,
    noticed: Vec<Noticed>,
}

/// No time passes.
const NOW: Instant = Instant::from_origin(Duration::ZERO);

impl Agent {
    fn new() -> Self {
        let connection = Connection::new(Config::new(), NOW);
        Self { connection, input: BytesMut::new(), out: BytesMut::new(), noticed: Vec::new() }
    }

    fn receive(&mut self, bytes: &[u8], at: &str) {
        self.input.extend_from_slice(bytes);
        loop {
            let Some(event) = self.connection.handle_input(&mut self.input, NOW) else { break };
            if let Event::Failed(error) = event {
                panic!("{at}: {error}");
            }
            let (noticed, ticket) = Noticed::new(event);
            if let Some(ticket) = ticket {
                let acked = self.connection.ack(ticket, &Actions::new());
                acked.unwrap_or_else(|error| panic!("{at}: {error}"));
            }
            self.noticed.push(noticed);
            transmit(&mut self.connection, &mut self.out);
        }
    }
}

/// The socket takes all that may be sent.
fn transmit(connection: &mut Connection, out: &mut BytesMut) {
    loop {
        let part = connection.poll_transmit(NOW);
        if part.is_empty() {
            return;
        }
        out.extend_from_slice(part);
        let len = part.len();
        connection.transmitted(len);
    }
}

/// Cuts what an agent sent into its frames.
fn sent(mut out: BytesMut) -> Vec<Frame<bytes::Bytes>> {
    let mut frames = Vec::new();
    while let Some(frame) = FrameDecoder::new(16_380).decode(&mut out).expect("whole frames") {
        frames.push(Frame::parse(frame).expect("valid frames"));
    }
    assert!(out.is_empty(), "nothing but whole frames");
    frames
}

#[test]
fn one_chunk_gives_the_events_of_the_manifest() {
    let mut count = 0;
    for replay in replays() {
        let mut agent = Agent::new();
        agent.receive(&replay.wire, &replay.at);
        assert_eq!(agent.noticed, replay.expected, "{}", replay.at);
        assert!(agent.input.is_empty(), "{}", replay.at);
        count += 1;
    }
    assert_eq!(count, 313);
}

#[test]
fn single_bytes_give_the_same_events_and_answers_as_one_chunk() {
    for replay in replays() {
        let (mut chunk, mut bytewise) = (Agent::new(), Agent::new());
        chunk.receive(&replay.wire, &replay.at);
        for byte in replay.wire.chunks(1) {
            bytewise.receive(byte, &replay.at);
        }
        assert_eq!(bytewise.noticed, replay.expected, "{}", replay.at);
        assert_eq!(bytewise.out, chunk.out, "{}", replay.at);
    }
}

#[test]
fn fragments_come_out_as_one_notify_or_are_given_up() {
    let whole = || SCENARIOS.iter().flat_map(|scenario| &scenario.reassembled);
    let in_parts = |noticed: &&Noticed| match noticed {
        Noticed::Notify(id, len, messages) => whole().any(|whole| {
            (whole.id, whole.payload_len, whole.messages.as_ref()) == (*id, *len, Some(messages))
        }),
        _ => false,
    };
    let given_up = whole().filter(|whole| whole.messages.is_none()).count();
    let mut count = 0;
    for replay in replays() {
        let mut agent = Agent::new();
        agent.receive(&replay.wire, &replay.at);
        count += agent.noticed.iter().filter(in_parts).count();
    }
    assert_eq!((count + given_up, whole().count()), (13, 13));
    assert!(given_up > 0);
}

#[test]
fn every_notify_is_answered_once_and_every_hello_and_disconnect_too() {
    for replay in replays() {
        let mut agent = Agent::new();
        agent.receive(&replay.wire, &replay.at);
        let mut answers = without_second_hello(sent(agent.out));
        for noticed in &replay.expected {
            let answer = match noticed {
                Noticed::GivenUp(_) => continue,
                _ => answers.next().unwrap_or_else(|| panic!("{}: no answer to {noticed:?}", replay.at)),
            };
            match (noticed, answer) {
                (Noticed::Connected { max_frame_size, .. }, Frame::AgentHello(hello)) => {
                    assert_eq!(hello.max_frame_size, Some(*max_frame_size), "{}", replay.at);
                }
                (Noticed::HealthCheck, Frame::AgentHello(AgentHello { max_frame_size: Some(256), .. })) => {}
                (_, Frame::Ack(ack)) => assert_eq!(Some(ack.id()), noticed.waits(), "{}", replay.at),
                (
                    Noticed::Disconnected(_),
                    Frame::AgentDisconnect(Disconnect { status: Status::NORMAL, .. }),
                ) => {}
                (noticed, answer) => panic!("{}: {} for {noticed:?}", replay.at, answer.frame_type()),
            }
        }
        assert!(answers.next().is_none(), "{}: more answers than questions", replay.at);
    }
}

/// Leaves out the HELLO that asks for one NOTIFY at a time, as the smallest buffer could not hold the shortest answers
/// to 20.
fn without_second_hello(frames: Vec<Frame<bytes::Bytes>>) -> impl Iterator<Item = Frame<bytes::Bytes>> {
    let is_hello = |frame: &Frame<_>| matches!(frame, Frame::AgentHello(_));
    let frames = frames.into_iter().enumerate();
    frames.filter_map(move |(at, frame)| (at == 0 || !is_hello(&frame)).then_some(frame))
}

#[test]
fn a_health_check_is_answered_with_one_frame_and_ends() {
    let is_check = |replay: &Replay| replay.expected.contains(&Noticed::HealthCheck);
    let mut count = 0;
    for replay in replays().filter(is_check) {
        let mut agent = Agent::new();
        agent.receive(&replay.wire, &replay.at);
        assert_eq!(agent.noticed, [Noticed::HealthCheck], "{}", replay.at);
        assert_eq!(sent(agent.out).len(), 1, "{}", replay.at);
        assert_eq!(agent.connection.state(), State::Lingering, "{}", replay.at);
        count += 1;
    }
    assert_eq!(count, 32);
}

#[test]
fn a_close_after_the_last_frame_is_no_error() {
    for replay in replays() {
        let mut agent = Agent::new();
        agent.receive(&replay.wire, &replay.at);
        assert_eq!(agent.connection.handle_eof(&agent.input), Ok(()), "{}", replay.at);
        assert_eq!(agent.connection.state(), State::Closed, "{}", replay.at);
    }
}

#[test]
fn answers_in_the_reverse_order_are_taken_once_each() {
    for replay in replays().filter(|replay| !replay.expected.iter().any(ends)) {
        let (mut connection, mut out) = (Connection::new(Config::new(), NOW), BytesMut::new());
        let mut input = BytesMut::from(&replay.wire[..]);
        let (mut tickets, mut given_up) = (Vec::new(), Vec::new());
        while let Some(event) = connection.handle_input(&mut input, NOW) {
            let (noticed, ticket) = Noticed::new(event);
            // One at a time, HAProxy had the answer to the one before, which there is none here.
            if let Noticed::GivenUp(id) = noticed {
                let at = tickets.iter().position(|ticket: &Ticket| ticket.id() == id).expect("a ticket");
                given_up.push(tickets.remove(at));
            }
            tickets.extend(ticket);
            transmit(&mut connection, &mut out);
        }
        let waiting: Vec<_> = tickets.iter().map(Ticket::id).collect();
        assert_eq!(connection.in_flight(), waiting.len(), "{}", replay.at);
        out.clear();
        for ticket in given_up {
            connection.ack_with(ticket, |_| panic!("for nobody")).unwrap();
        }
        for (left, ticket) in tickets.into_iter().enumerate().rev() {
            connection.ack_with(ticket, |_| Ok(())).unwrap();
            assert_eq!(connection.in_flight(), left, "{}", replay.at);
        }
        transmit(&mut connection, &mut out);
        let acked = |frame: &Frame<_>| if let Frame::Ack(ack) = frame { Some(Ack::id(ack)) } else { None };
        let acked: Vec<_> = sent(out).iter().filter_map(acked).collect();
        assert!(acked.iter().eq(waiting.iter().rev()), "{}", replay.at);
    }
}

/// Whether nothing can be answered after this.
fn ends(noticed: &Noticed) -> bool {
    matches!(noticed, Noticed::HealthCheck | Noticed::Disconnected(_))
}
