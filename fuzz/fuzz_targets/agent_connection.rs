//! Any order of input and calls on the agent's side of a connection.

#![no_main]

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use spop::agent::{Config, Connection, Event};
use spop::{
    Ack, AckError, Actions, Capabilities, Disconnect, Frame, FrameDecoder, HaproxyHello, LENGTH_PREFIX,
    NotifyId, Phase, Scope, Status, UsageError, Version,
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
    DropWriter {
        which: u8,
    },
    AckUnknown {
        stream_id: u64,
    },
    Drain,
    Disconnect {
        code: u32,
        why: &'a str,
    },
    Eof,
}

fuzz_target!(|input: Input<'_>| {
    let mut agent = Agent::new(&input.config);
    for operation in input.operations.iter().chain([&Operation::Poll]) {
        let closed = agent.connection.phase() == Phase::Closed;
        agent.run(operation);
        assert!(!closed || agent.out.is_empty(), "written after the end");
        agent.check();
    }
});

struct Agent {
    connection: Connection,
    input: BytesMut,
    /// All that was ever appended to `input`.
    received: Vec<u8>,
    out: BytesMut,
    max_in_flight: usize,
    max_frame: usize,
    /// The NOTIFYs that were given out and not answered, given up or closed away.
    waiting: Vec<NotifyId>,
    /// The ids that must come out in ACKs, in order.
    acked: Vec<NotifyId>,
    said_hello: bool,
    said_goodbye: bool,
    /// What the goodbye must say.
    failed: Option<Status>,
}

impl Agent {
    fn new(knobs: &Knobs) -> Self {
        let max_in_flight = usize::from(knobs.max_in_flight % 8);
        let max_frame_size = u32::from(knobs.max_frame_size);
        let fragment_bytes = usize::from(knobs.fragment_bytes);
        let config = Config::new()
            .max_frame_size(max_frame_size)
            .max_in_flight(max_in_flight)
            .fragments(fragment_bytes, knobs.fragment_frames.into())
            .pipelining(knobs.pipelining);
        Self {
            connection: Connection::new(config),
            input: BytesMut::new(),
            received: Vec::new(),
            out: BytesMut::new(),
            max_in_flight: max_in_flight.max(1),
            max_frame: fragment_bytes.max(max_frame_size.max(256) as usize),
            waiting: Vec::new(),
            acked: Vec::new(),
            said_hello: false,
            said_goodbye: false,
            failed: None,
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
            Operation::DropWriter { which } => self.drop_writer(which),
            Operation::AckUnknown { stream_id } => self.ack_unknown(NotifyId { stream_id, frame_id: 2 }),
            Operation::Drain => self.connection.drain(&mut self.out),
            Operation::Disconnect { code, why } => {
                self.connection.disconnect(Status(code), why, &mut self.out)
            }
            Operation::Eof => {
                let _ = self.connection.handle_eof(&self.input);
                assert_eq!(self.connection.phase(), Phase::Closed);
            }
        }
    }

    fn receive_frame(&mut self, frame: &Frame<&[u8]>) {
        let mut wire = BytesMut::new();
        frame.encode(&mut wire).expect("a short frame");
        self.receive(&wire);
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.received.extend_from_slice(bytes);
        self.poll();
    }

    /// Takes all events there are: no more than two for each frame, which has 11 bytes at least, and an error.
    fn poll(&mut self) {
        for _ in 0..=self.input.len() / 5 + 2 {
            let (closed, left) = (self.connection.phase() == Phase::Closed, self.input.len());
            match self.connection.handle_input(&mut self.input, &mut self.out) {
                Ok(Some(event)) => {
                    assert!(!closed, "{event:?} after the end");
                    self.take(event);
                }
                Ok(None) => {
                    assert!(!closed || self.input.len() == left, "input taken after the end");
                    return;
                }
                Err(error) => {
                    assert!(!closed, "{error} after the end");
                    show(format_args!("{error} {error:?} {}", error.status()));
                    assert_eq!(self.connection.phase(), Phase::Closed);
                    self.failed = Some(error.status());
                }
            }
        }
        panic!("more events than frames");
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Notify(notify) => {
                walk_notify(&notify);
                let mut wire = BytesMut::new();
                let id = notify.id();
                Frame::Notify(notify).encode(&mut wire).expect("it came in");
                assert!(wire.len() - LENGTH_PREFIX <= self.max_frame, "longer than any bound");
                self.arrived(id);
            }
            Event::Malformed(id, error) => {
                show(format_args!("{error} {error:?}"));
                self.arrived(id);
            }
            Event::Aborted(id) => self.waiting.retain(|&waiting| waiting != id),
            Event::Connected(negotiated) => assert_eq!(Some(&negotiated), self.connection.negotiated()),
            Event::HealthCheck | Event::Disconnected(_) => {
                assert_eq!(self.connection.phase(), Phase::Closed);
            }
            other => show(format_args!("{other:?}")),
        }
    }

    fn arrived(&mut self, id: NotifyId) {
        assert!(!self.waiting.contains(&id), "{id} is in flight twice");
        self.waiting.push(id);
    }

    fn pick(&self, which: u8) -> Option<NotifyId> {
        self.waiting.get(usize::from(which) % self.waiting.len().max(1)).copied()
    }

    /// One ACK goes through, a second one does not; one that is too long changes nothing.
    fn ack(&mut self, which: u8, len: u16) {
        let Some(id) = self.pick(which) else { return };
        let mut actions = Actions::new();
        let body = vec![b'x'; len.into()];
        actions.set_var(Scope::Transaction, "v", &body[..]).expect("a good name");
        let before = self.out.len();
        match self.connection.ack(id, &actions, &mut self.out) {
            Ok(()) => {
                self.waiting.retain(|&waiting| waiting != id);
                self.acked.push(id);
                self.ack_unknown(id);
            }
            Err(error) => {
                assert_eq!(self.out.len(), before);
                match error {
                    AckError::Encode(_) => assert!(len > 200),
                    error => assert_eq!(error, AckError::Usage(UsageError::WrongPhase(Phase::Closed))),
                }
            }
        }
    }

    /// What is not finished was never there.
    fn drop_writer(&mut self, which: u8) {
        let Some(id) = self.pick(which) else { return };
        let before = self.out.clone();
        if let Ok(mut writer) = self.connection.ack_writer(id, &mut self.out) {
            writer.set_var(Scope::Transaction, "v", true).expect("it fits");
            drop(writer);
        }
        assert_eq!(self.out, before);
    }

    fn ack_unknown(&mut self, id: NotifyId) {
        let before = self.out.len();
        let error = self.connection.ack(id, &Actions::new(), &mut self.out).expect_err("nothing to answer");
        assert!(matches!(error, AckError::Usage(_)), "{error}");
        assert_eq!(self.out.len(), before);
    }

    /// Whether the last part of a NOTIFY that was taken is not the last one there is.
    fn awaits_fragments(&self) -> bool {
        let mut taken = &self.received[..self.received.len() - self.input.len()];
        let mut awaits = false;
        while let Ok(Some(frame)) = FrameDecoder::new(u32::MAX).peek(taken) {
            taken = &taken[LENGTH_PREFIX + frame.len()..];
            if matches!(frame[0], 0 | 3) {
                awaits = frame[4] & 1 == 0;
            }
        }
        awaits
    }

    /// What must hold after every call.
    fn check(&mut self) {
        assert_eq!(self.connection.in_flight(), self.waiting.len());
        assert!(self.connection.in_flight() <= self.max_in_flight);
        // A frame in the input becomes an event at the next call.
        let more = matches!(FrameDecoder::new(u32::MAX).peek(&self.input), Ok(Some(_)));
        let waits = more || !self.waiting.is_empty() || self.awaits_fragments();
        assert!(self.connection.phase() != Phase::Draining || waits, "a drain that never ends");
        for frame in take_frames(&mut self.out) {
            assert!(!self.said_goodbye, "{frame:?} after the DISCONNECT");
            match frame {
                Frame::AgentHello(_) => {
                    assert!(!self.said_hello, "a second HELLO");
                    self.said_hello = true;
                }
                Frame::AgentDisconnect(disconnect) => {
                    self.said_goodbye = true;
                    assert!(self.failed.is_none_or(|status| status == disconnect.status), "{disconnect:?}");
                }
                Frame::Ack(ack) => self.ack_came_out(ack),
                other => panic!("{other:?} from an agent"),
            }
        }
        assert!(self.acked.is_empty(), "an ACK that did not come out");
        assert!(self.failed.is_none() || self.said_goodbye, "an error that HAProxy is not told");
        assert!(!self.said_goodbye || self.connection.phase() == Phase::Closed);
    }

    fn ack_came_out(&mut self, ack: Ack<Bytes>) {
        assert_eq!(ack.id(), self.acked.remove(0));
        assert!(!ack.flags().is_abort());
        let mut wire = BytesMut::new();
        Frame::Ack(ack).encode(&mut wire).expect("it came out");
        let negotiated = self.connection.negotiated().expect("only after the HELLO").max_frame_size as usize;
        assert!(wire.len() - LENGTH_PREFIX < negotiated, "an ACK that fills HAProxy's buffer");
    }
}
