//! Any order of input and calls on HAProxy's side of a connection.

#![no_main]

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use spop::haproxy::{Config, Connection, Engine, Event};
use spop::{
    AgentHello, Capabilities, Disconnect, EncodeError, Flags, Frame, LENGTH_PREFIX, NotifyId, State, Status,
    UsageError, Version,
};
use spop_fuzz::{raw_frame, show, take_frames, walk_ack};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    config: Knobs,
    operations: Vec<Operation<'a>>,
}

#[derive(Arbitrary, Debug)]
struct Knobs {
    is_applet: bool,
    max_frame_size: u16,
    pipelining: bool,
    max_waiting_frames: u8,
    healthcheck: bool,
}

#[derive(Arbitrary, Debug)]
enum Operation<'a> {
    Bytes(&'a [u8]),
    AgentHello {
        max_frame_size: Option<u16>,
        fragmentation: bool,
        is_sync: bool,
    },
    AgentDisconnect {
        code: u32,
    },
    /// The answer to a NOTIFY that waits.
    Ack {
        which: u8,
        payload: &'a [u8],
    },
    AckAny {
        flags: u8,
        stream_id: u8,
        frame_id: u8,
    },
    Notify {
        len: u16,
        finish: bool,
    },
    Abandon {
        which: u8,
    },
    Disconnect {
        code: u32,
    },
    Eof,
}

fuzz_target!(|input: Input<'_>| {
    let mut haproxy = Haproxy::new(&input.config);
    haproxy.check();
    for operation in &input.operations {
        let closed = haproxy.connection.state() == State::Closed;
        haproxy.run(operation);
        assert!(!closed || haproxy.out.is_empty(), "written after the end");
        haproxy.check();
    }
});

struct Haproxy {
    connection: Connection,
    input: BytesMut,
    out: BytesMut,
    waiting: Vec<NotifyId>,
    /// The NOTIFYs whose last part must come out, in order.
    sent: Vec<NotifyId>,
    /// The first part came out, and the last one did not.
    in_parts: Option<NotifyId>,
    said_disconnect: bool,
    /// What the DISCONNECT must say.
    failed: Option<Status>,
}

impl Haproxy {
    fn new(knobs: &Knobs) -> Self {
        let config = Config::new(if knobs.is_applet { Engine::Applet } else { Engine::Mux })
            .max_frame_size(knobs.max_frame_size.into())
            .pipelining(knobs.pipelining)
            .max_waiting_frames(knobs.max_waiting_frames.into())
            .healthcheck(knobs.healthcheck);
        let connection = Connection::new(config);
        let mut out = BytesMut::new();
        connection.hello(&mut out).expect("a HELLO");
        Self {
            connection,
            input: BytesMut::new(),
            out,
            waiting: Vec::new(),
            sent: Vec::new(),
            in_parts: None,
            said_disconnect: false,
            failed: None,
        }
    }

    fn run(&mut self, operation: &Operation<'_>) {
        match *operation {
            Operation::Bytes(bytes) => self.receive(bytes),
            Operation::AgentHello { max_frame_size, fragmentation, is_sync } => {
                let flag = |on, flag| if on { flag } else { Capabilities::NONE };
                let capabilities = flag(fragmentation, Capabilities::FRAGMENTATION)
                    | flag(!is_sync, Capabilities::PIPELINING | Capabilities::ASYNC);
                self.receive_frame(&Frame::AgentHello(AgentHello {
                    version: Version::V2_0,
                    max_frame_size: max_frame_size.map(u32::from),
                    capabilities: Some(capabilities),
                }));
            }
            Operation::AgentDisconnect { code } => {
                self.receive_frame(&Frame::AgentDisconnect(Disconnect::new(Status(code))));
            }
            Operation::Ack { which, payload } => {
                if let Some(NotifyId { stream_id, frame_id }) = self.pick(which) {
                    self.receive(&raw_frame(103, 1, stream_id, frame_id, payload));
                }
            }
            Operation::AckAny { flags, stream_id, frame_id } => {
                self.receive(&raw_frame(103, flags.into(), stream_id.into(), frame_id.into(), &[]));
            }
            Operation::Notify { len, finish } => self.notify(len.into(), finish),
            Operation::Abandon { which } => {
                if let Some(id) = self.pick(which) {
                    assert!(self.connection.abandon(id));
                    assert!(!self.connection.abandon(id));
                    self.waiting.retain(|&waiting| waiting != id);
                }
            }
            Operation::Disconnect { code } => self.connection.disconnect(Status(code), &mut self.out),
            Operation::Eof => {
                let _ = self.connection.handle_eof(&self.input);
                assert_eq!(self.connection.state(), State::Closed);
            }
        }
    }

    fn pick(&self, which: u8) -> Option<NotifyId> {
        self.waiting.get(usize::from(which) % self.waiting.len().max(1)).copied()
    }

    fn receive_frame(&mut self, frame: &Frame<&[u8]>) {
        let mut wire = BytesMut::new();
        frame.encode(&mut wire).expect("a short frame");
        self.receive(&wire);
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        for _ in 0..=self.input.len() / 11 + 2 {
            let closed = self.connection.state() == State::Closed;
            match self.connection.handle_input(&mut self.input, &mut self.out) {
                Ok(Some(event)) => {
                    assert!(!closed, "{event:?} after the end");
                    self.take(event);
                }
                Ok(None) => return,
                Err(error) => {
                    assert!(!closed, "{error} after the end");
                    show(format_args!("{error} {error:?} {}", error.status()));
                    assert_eq!(self.connection.state(), State::Closed);
                    self.failed = Some(error.status());
                }
            }
        }
        panic!("more events than frames");
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Ack(ack) => {
                walk_ack(&ack);
                let at = self.waiting.iter().position(|&id| id == ack.id()).expect("a NOTIFY that waits");
                self.waiting.swap_remove(at);
            }
            Event::LateAck(ack) => {
                walk_ack(&ack);
                assert!(!self.waiting.contains(&ack.id()));
            }
            Event::HealthCheckPassed(_) | Event::Disconnected(_) => {
                assert_eq!(self.connection.state(), State::Closed);
            }
            other => show(format_args!("{other:?}")),
        }
    }

    fn notify(&mut self, len: usize, finish: bool) {
        let (before, window, state) = (self.out.clone(), self.connection.window(), self.connection.state());
        let mut writer = match self.connection.notify(&mut self.out) {
            Ok(writer) => writer,
            Err(UsageError::WindowFull) => return assert_eq!((window, state), (0, State::Running)),
            Err(error) => {
                assert_ne!(state, State::Running, "{error}");
                return assert_eq!(error, UsageError::WrongState(state));
            }
        };
        writer.message("m").expect("it fits");
        let body = vec![b'x'; len];
        match writer.arg("a", &body[..]) {
            Ok(_) => {}
            Err(error) => assert!(matches!(error, EncodeError::FrameTooBig { .. }), "{error}"),
        }
        if !finish {
            drop(writer);
            return assert_eq!(self.out, before, "what is not finished was never there");
        }
        let id = writer.finish();
        assert!(!self.waiting.contains(&id), "{id} is given out twice");
        self.waiting.push(id);
        self.sent.push(id);
    }

    /// What must hold after every call.
    fn check(&mut self) {
        assert_eq!(self.connection.in_flight(), self.waiting.len());
        let negotiated = self.connection.negotiated().map(|negotiated| negotiated.max_frame_size as usize);
        for frame in take_frames(&mut self.out) {
            assert!(!self.said_disconnect, "{frame:?} after the DISCONNECT");
            self.came_out(&frame, negotiated);
        }
        assert!(self.failed.is_none() || self.said_disconnect, "an error that the agent is not told");
        assert!(self.sent.is_empty() && self.in_parts.is_none(), "a NOTIFY that did not come out whole");
    }

    fn came_out(&mut self, frame: &Frame<bytes::Bytes>, negotiated: Option<usize>) {
        match frame {
            Frame::HaproxyHello(_) => return,
            Frame::HaproxyDisconnect(disconnect) => {
                self.said_disconnect = true;
                return assert!(
                    self.failed.is_none_or(|status| status == disconnect.status),
                    "{disconnect:?}"
                );
            }
            Frame::Notify(notify) => assert_eq!(notify.id(), self.sent.remove(0)),
            Frame::NotifyFragment(raw) => {
                assert_eq!(self.in_parts.replace(raw.header().id), None);
                assert_eq!(self.sent.first(), self.in_parts.as_ref());
            }
            Frame::Unset(raw) => {
                assert_eq!(self.in_parts, Some(raw.header().id), "fragments of one NOTIFY follow each other");
                if raw.header().flags == Flags::FIN {
                    self.in_parts = None;
                    self.sent.remove(0);
                }
            }
            other => panic!("{other:?} from HAProxy"),
        }
        let mut wire = BytesMut::new();
        frame.encode(&mut wire).expect("it came out");
        assert!(wire.len() - LENGTH_PREFIX <= negotiated.expect("only after the HELLO"));
    }
}
