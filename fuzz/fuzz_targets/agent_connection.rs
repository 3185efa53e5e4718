//! Any order of input, calls, time and sending on the agent's side of a connection.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use spop::agent::{Config, Connection, Event, Ticket, Timeout};
use spop::{
    Ack, Actions, Capabilities, Disconnect, EncodeError, Frame, FrameDecoder, HaproxyHello, Instant,
    LENGTH_PREFIX, NotifyId, Scope, State, Status, Version,
};
use spop_fuzz::{raw_frame, show, take_frames, walk_notify};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    config: Knobs,
    operations: Vec<Operation<'a>>,
}

#[derive(Arbitrary, Debug)]
struct Knobs {
    max_frame_size: u16,
    max_in_flight: u8,
    fragment_bytes: u16,
    fragment_frames: u8,
    pipelining: bool,
    /// In seconds.
    idle_timeout: Option<u8>,
    max_connection_age: Option<u8>,
}

#[derive(Arbitrary, Debug)]
enum Operation<'a> {
    Bytes(&'a [u8]),
    Hello {
        max_frame_size: u16,
        is_async: bool,
        healthcheck: bool,
    },
    /// One message with one argument of so many bytes.
    Notify {
        id: u8,
        len: u8,
    },
    /// A NOTIFY or UNSET with any flags and payload.
    Part {
        first: bool,
        flags: u8,
        id: u8,
        payload: &'a [u8],
    },
    HaproxyDisconnect {
        code: u32,
    },
    Poll,
    Ack {
        which: u8,
        len: u16,
    },
    /// An ACK of which nothing may stay.
    FailAck {
        which: u8,
    },
    /// An ACK to what was given up.
    AckGivenUp,
    /// The socket takes so many bytes.
    Transmit {
        len: u16,
    },
    InputDrained,
    Wait {
        milliseconds: u16,
    },
    StopPipelining,
    Drain {
        milliseconds: u16,
    },
    Disconnect {
        code: u32,
        why: &'a str,
    },
    Eof,
}

fuzz_target!(|input: Input<'_>| {
    let mut agent = Agent::new(&input.config);
    for operation in &input.operations {
        agent.run(operation);
        agent.check();
    }
    agent.finish();
});

struct Agent {
    connection: Connection,
    now: Instant,
    input: BytesMut,
    /// What was sent, from the start of a frame.
    sent: BytesMut,
    max_in_flight: usize,
    max_frame: usize,
    pipelining: bool,
    /// Whether HAProxy may be one from 3.1.
    may_be_mux: bool,
    /// The NOTIFYs that were given out and not answered, given up or closed away.
    waiting: Vec<Ticket>,
    given_up: Vec<Ticket>,
    /// The ids that must come out in ACKs, in order.
    acked: Vec<NotifyId>,
    hellos: usize,
    said_disconnect: bool,
    /// What the DISCONNECT must say.
    failed: Option<Status>,
    /// The connection ended before all was sent.
    cut: bool,
}

impl Agent {
    fn new(knobs: &Knobs) -> Self {
        let max_in_flight = usize::from(knobs.max_in_flight % 8);
        let max_frame_size = u32::from(knobs.max_frame_size);
        let fragment_bytes = usize::from(knobs.fragment_bytes);
        let seconds = |seconds: Option<u8>| seconds.map(|seconds| Duration::from_secs(seconds.into()));
        let config = Config::new()
            .max_frame_size(max_frame_size)
            .max_in_flight(max_in_flight)
            .fragments(fragment_bytes, knobs.fragment_frames.into())
            .pipelining(knobs.pipelining)
            .idle_timeout(seconds(knobs.idle_timeout))
            .max_connection_age(seconds(knobs.max_connection_age));
        let now = Instant::default();
        Self {
            connection: Connection::new(config, now),
            now,
            input: BytesMut::new(),
            sent: BytesMut::new(),
            max_in_flight: max_in_flight.max(1),
            max_frame: fragment_bytes.max(max_frame_size.max(256) as usize),
            pipelining: knobs.pipelining,
            may_be_mux: false,
            waiting: Vec::new(),
            given_up: Vec::new(),
            acked: Vec::new(),
            hellos: 0,
            said_disconnect: false,
            failed: None,
            cut: false,
        }
    }

    fn run(&mut self, operation: &Operation<'_>) {
        match *operation {
            Operation::Bytes(bytes) => self.receive(bytes),
            Operation::Hello { max_frame_size, is_async, healthcheck } => {
                let capabilities = if is_async { Capabilities::ASYNC } else { Capabilities::NONE };
                self.receive_frame(&Frame::HaproxyHello(HaproxyHello {
                    supported_versions: vec![Version::V2_0],
                    max_frame_size: max_frame_size.max(200).into(),
                    capabilities: capabilities | Capabilities::PIPELINING,
                    engine_id: (!healthcheck).then(|| b"engine".to_vec()),
                    healthcheck,
                }));
            }
            Operation::Notify { id, len } => {
                let mut payload = b"\x01m\x01\x01a\x09".to_vec();
                payload.extend_from_slice(spop::varint::encode(len.into(), &mut [0; spop::varint::MAX_LEN]));
                payload.resize(payload.len() + usize::from(len), b'x');
                self.receive(&raw_frame(3, 1, id.into(), 1, &payload));
            }
            Operation::Part { first, flags, id, payload } => {
                self.receive(&raw_frame(if first { 3 } else { 0 }, flags.into(), id.into(), 1, payload));
            }
            Operation::HaproxyDisconnect { code } => {
                self.receive_frame(&Frame::HaproxyDisconnect(Disconnect::new(Status(code))));
            }
            Operation::Poll => self.poll(),
            Operation::Ack { which, len } => self.ack(which, len),
            Operation::FailAck { which } => self.fail_ack(which),
            Operation::AckGivenUp => self.ack_given_up(),
            Operation::Transmit { len } => self.transmit(len.into()),
            Operation::InputDrained => self.connection.input_drained(),
            Operation::Wait { milliseconds } => self.wait_until(self.after(milliseconds)),
            Operation::StopPipelining => self.connection.stop_pipelining(),
            Operation::Drain { milliseconds } => {
                self.connection.start_drain(self.now, self.after(milliseconds));
            }
            Operation::Disconnect { code, why } => self.connection.disconnect(Status(code), why),
            Operation::Eof => {
                self.cut |= !matches!(self.connection.state(), State::Lingering | State::Closed);
                let _ = self.connection.handle_eof(&self.input);
                assert_eq!(self.connection.state(), State::Closed);
            }
        }
    }

    fn after(&self, milliseconds: u16) -> Instant {
        self.now + Duration::from_millis(milliseconds.into())
    }

    fn has_ended(&self) -> bool {
        matches!(self.connection.state(), State::Closing | State::Lingering | State::Closed)
    }

    fn receive_frame(&mut self, frame: &Frame<&[u8]>) {
        let mut wire = BytesMut::new();
        frame.encode(&mut wire).expect("a short frame");
        self.receive(&wire);
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.poll();
    }

    /// Takes all events there are: no more than two for each frame, which has 11 bytes at least, and an error.
    fn poll(&mut self) {
        for _ in 0..=self.input.len() / 5 + 2 {
            let ended = self.has_ended();
            match self.connection.handle_input(&mut self.input, self.now) {
                Some(Event::Failed(error)) => {
                    assert!(!ended, "{error} after the end");
                    show(format_args!("{error} {error:?} {}", error.status()));
                    assert_eq!(self.connection.state(), State::Closing);
                    self.failed = Some(error.status());
                }
                Some(event) => {
                    assert!(!ended, "{event:?} after the end");
                    self.take(event);
                }
                None => {
                    assert!(!ended || self.input.is_empty(), "input is kept after the end");
                    return;
                }
            }
        }
        panic!("more events than frames");
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Notify(notify, ticket) => {
                walk_notify(&notify);
                assert_eq!(notify.id(), ticket.id());
                let mut wire = BytesMut::new();
                Frame::Notify(notify).encode(&mut wire).expect("it came in");
                assert!(wire.len() - LENGTH_PREFIX <= self.max_frame, "longer than any bound");
                self.arrived(ticket);
            }
            Event::Malformed(error, ticket) => {
                show(format_args!("{error} {error:?}"));
                self.arrived(ticket);
            }
            Event::GivenUp(id) => {
                let at = self.waiting.iter().position(|ticket| ticket.id() == id).expect("one in flight");
                self.given_up.push(self.waiting.swap_remove(at));
            }
            Event::Connected(negotiated) => {
                assert_eq!(Some(&negotiated), self.connection.negotiated());
                // Of what HAProxy offered no more is known.
                self.may_be_mux = true;
                self.pipelining = negotiated.capabilities.contains(Capabilities::PIPELINING);
            }
            Event::HealthCheck { .. } | Event::Disconnected(_) => {
                assert_eq!(self.connection.state(), State::Closing);
            }
            other => show(format_args!("{other:?}")),
        }
    }

    fn arrived(&mut self, ticket: Ticket) {
        assert!(self.waiting.iter().all(|waiting| waiting.id() != ticket.id()), "in flight twice");
        self.waiting.push(ticket);
    }

    fn pick(&mut self, which: u8) -> Option<Ticket> {
        let len = self.waiting.len();
        (len > 0).then(|| self.waiting.swap_remove(usize::from(which) % len))
    }

    /// One that is too long changes nothing.
    fn ack(&mut self, which: u8, len: u16) {
        let Some(ticket) = self.pick(which) else { return };
        let mut actions = Actions::new();
        let body = vec![b'x'; len.into()];
        actions.set_var(Scope::Transaction, "v", &body[..]).expect("a good name");
        let (id, ended) = (ticket.id(), self.has_ended());
        match self.connection.ack(ticket, &actions) {
            Ok(size) if ended => assert_eq!(size, 0, "{id} is answered after the end"),
            Ok(_) => self.acked.push(id),
            Err(error) => {
                assert!(len > 200 && !ended, "{error}");
                self.waiting.push(error.into_ticket());
            }
        }
    }

    /// What fails was never there.
    fn fail_ack(&mut self, which: u8) {
        let Some(ticket) = self.pick(which) else { return };
        let (id, ended) = (ticket.id(), self.has_ended());
        let result = self.connection.ack_with(ticket, |ack| {
            ack.set_var(Scope::Transaction, "v", true).expect("it fits");
            Err(EncodeError::EmptyMessageName)
        });
        match result {
            Ok(size) => assert!(ended && size == 0, "{id} is not answered"),
            Err(error) => self.waiting.push(error.into_ticket()),
        }
    }

    fn ack_given_up(&mut self) {
        if let Some(ticket) = self.given_up.pop() {
            self.connection.ack_with(ticket, |_| panic!("an ACK for nobody")).expect("nothing to write");
        }
    }

    fn transmit(&mut self, mut len: usize) {
        loop {
            let part = self.connection.poll_transmit(self.now);
            let taken = part.len().min(len);
            if taken == 0 {
                return;
            }
            self.sent.extend_from_slice(&part[..taken]);
            self.connection.transmitted(taken);
            len -= taken;
        }
    }

    fn wait_until(&mut self, time: Instant) {
        self.now = time;
        // Each comes once in a state at most.
        for _ in 0..12 {
            let state = self.connection.state();
            match self.connection.handle_timeout(time) {
                None => return,
                Some(Timeout::Hello) => self.failed = Some(Status::TIMEOUT),
                Some(Timeout::Write) => self.cut = true,
                Some(Timeout::Linger) => self.cut |= state != State::Lingering,
                Some(other) => show(format_args!("{other:?}")),
            }
        }
        panic!("timeouts without end");
    }

    /// What must hold after every call.
    fn check(&mut self) {
        assert!(self.has_ended() || self.connection.in_flight() == self.waiting.len());
        assert!(self.connection.in_flight() <= self.max_in_flight);
        let whole = whole_frames(&self.sent);
        for frame in take_frames(&mut self.sent.split_to(whole)) {
            assert!(!self.said_disconnect, "{frame:?} after the DISCONNECT");
            match frame {
                Frame::AgentHello(_) => self.hello_came_out(),
                Frame::AgentDisconnect(disconnect) => {
                    self.said_disconnect = true;
                    assert!(self.failed.is_none_or(|status| status == disconnect.status), "{disconnect:?}");
                    assert!(self.has_ended());
                }
                Frame::Ack(ack) => self.ack_came_out(ack),
                other => panic!("{other:?} from an agent"),
            }
        }
    }

    /// A second one ends pipelining.
    fn hello_came_out(&mut self) {
        self.hellos += 1;
        assert!(
            self.hellos == 1 || self.hellos == 2 && self.may_be_mux && self.pipelining,
            "a HELLO too many"
        );
    }

    /// Whether a NOTIFY of a HAProxy from 3.1 shows that those before were given up.
    fn is_one_at_a_time(&self) -> bool {
        self.may_be_mux && (!self.pipelining || self.hellos == 2)
    }

    fn ack_came_out(&mut self, ack: Ack<Bytes>) {
        let at = self.acked.iter().position(|&id| id == ack.id()).expect("an ACK that was written");
        // Those before were given up.
        assert!(at == 0 || self.is_one_at_a_time(), "an ACK was lost");
        self.acked.drain(..=at);
        assert!(!ack.flags().is_abort());
        let mut wire = BytesMut::new();
        Frame::Ack(ack).encode(&mut wire).expect("it came out");
        let negotiated = self.connection.negotiated().expect("only after the HELLO").max_frame_size as usize;
        assert!(wire.len() - LENGTH_PREFIX < negotiated, "an ACK that fills HAProxy's buffer");
    }

    /// A drain ends, and all that was written before comes out.
    fn finish(mut self) {
        self.poll();
        self.connection.start_drain(self.now, self.after(3000));
        self.wait_until(self.now);
        // Each part of what is to be sent waits once at most.
        for _ in 0..5000 {
            self.transmit(usize::MAX);
            self.check();
            let Some(time) = self.connection.poll_timeout() else { break };
            assert!(time > self.now, "nothing comes of {time:?}");
            self.wait_until(time);
        }
        assert_eq!(self.connection.state(), State::Closed);
        if !self.cut {
            assert!(self.sent.is_empty(), "a frame that is not whole");
            assert!(self.acked.is_empty() || self.is_one_at_a_time(), "an ACK was lost");
            assert!(self.failed.is_none() || self.said_disconnect, "an error that HAProxy is not told");
        }
    }
}

/// How long the whole frames are that `sent` starts with.
fn whole_frames(sent: &[u8]) -> usize {
    let mut len = 0;
    while let Ok(Some(frame)) = FrameDecoder::new(u32::MAX).peek(&sent[len..]) {
        len += LENGTH_PREFIX + frame.len();
    }
    len
}
