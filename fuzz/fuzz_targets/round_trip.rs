//! Anything that can be written is read back as it was.

#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use spop::{
    Ack, AckWriter, Action, Actions, AgentHello, Capabilities, Disconnect, EncodeError, Frame, HaproxyHello,
    LENGTH_PREFIX, Notify, NotifyId, NotifyWriter, Status, Text, TypedData, Version, varint,
};
use spop_fuzz::{SCOPES, Value};

type Messages<'a> = Vec<(&'a str, Vec<(&'a str, Value<'a>)>)>;
type Variables<'a> = Vec<(u8, &'a str, Option<Value<'a>>)>;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    Varint(u64),
    Notify {
        id: (u64, u64),
        max: u16,
        messages: Messages<'a>,
    },
    Ack {
        id: (u64, u64),
        max: u16,
        variables: Variables<'a>,
    },
    HaproxyHello {
        versions: Vec<(u16, u16)>,
        size: u32,
        capabilities: u8,
        engine_id: Option<&'a [u8]>,
        check: bool,
    },
    AgentHello {
        version: (u16, u16),
        size: Option<u32>,
        capabilities: Option<u8>,
    },
    Disconnect {
        code: u32,
        message: &'a [u8],
    },
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Varint(value) => round_trip_varint(value),
    Input::Notify { id, max, messages } => notify(notify_id(id), max.into(), &messages),
    Input::Ack { id, max, variables } => ack(notify_id(id), max.into(), &variables),
    Input::HaproxyHello { versions, size, capabilities: set, engine_id, check } =>
        haproxy_hello(HaproxyHello {
            supported_versions: versions.into_iter().map(version).collect(),
            max_frame_size: size,
            capabilities: capabilities(set),
            engine_id: engine_id.map(<[u8]>::to_vec),
            healthcheck: check,
        }),
    Input::AgentHello { version: number, size, capabilities: set } => agent_hello(AgentHello {
        version: version(number),
        max_frame_size: size,
        capabilities: set.map(capabilities),
    }),
    Input::Disconnect { code, message } => disconnect(code, message),
});

fn notify_id((stream_id, frame_id): (u64, u64)) -> NotifyId {
    NotifyId { stream_id, frame_id }
}

fn version((major, minor): (u16, u16)) -> Version {
    Version { major, minor }
}

fn capabilities(bits: u8) -> Capabilities {
    let all = [Capabilities::PIPELINING, Capabilities::ASYNC, Capabilities::FRAGMENTATION];
    let chosen = all.into_iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    chosen.fold(Capabilities::NONE, |set, (_, capability)| set | capability)
}

fn round_trip_varint(value: u64) {
    let mut buffer = [0; varint::MAX_LEN];
    let encoded = varint::encode(value, &mut buffer);
    assert_eq!(encoded.len(), varint::encoded_len(value));
    assert_eq!(varint::parse(encoded), Ok((value, &[][..])));
}

/// What does not fit leaves the frame as it was.
fn notify(id: NotifyId, max: usize, messages: &Messages<'_>) {
    let mut out = BytesMut::from(&b"before"[..]);
    let mut writer = NotifyWriter::new(id, max, &mut out);
    let mut written: Vec<(&str, Vec<(&str, TypedData<'_>)>)> = Vec::new();
    for (name, args) in messages {
        match writer.message(name) {
            Ok(_) => written.push((name, Vec::new())),
            Err(EncodeError::EmptyMessageName) => assert!(name.is_empty()),
            Err(error) => assert_eq!(error, EncodeError::FrameTooBig { max }),
        }
        for &(name, value) in args {
            let result = writer.arg(name, TypedData::from(value)).map(|_| ());
            match (written.last_mut(), result) {
                (Some((_, args)), Ok(())) => args.push((name, value.into())),
                (Some((_, args)), Err(EncodeError::TooManyArgs)) => assert_eq!(args.len(), 255),
                (Some(_), Err(error)) => assert_eq!(error, EncodeError::FrameTooBig { max }),
                (None, result) => assert_eq!(result, Err(EncodeError::ArgWithoutMessage)),
            }
        }
    }
    assert_eq!(writer.finish(), id);
    let frame = &out[b"before".len() + LENGTH_PREFIX..];
    let read = Notify::parse(frame).expect("what was written can be read");
    assert!(frame.len() <= max || written.is_empty(), "at most {max} bytes");
    assert_eq!(read.id(), id);
    assert_eq!(read.messages().len(), written.len());
    for (read, (name, args)) in read.messages().zip(&written) {
        assert_eq!(read.name(), *name);
        assert!(
            read.args().map(|arg| (arg.name, arg.value)).eq(args.iter().map(|&(n, v)| (Text::from(n), v)))
        );
    }
}

/// Both ways to write actions agree, and names that HAProxy would drop are refused.
fn ack(id: NotifyId, max: usize, variables: &Variables<'_>) {
    let (mut out, mut actions) = (BytesMut::new(), Actions::new());
    let mut writer = AckWriter::new(id, max, &mut out);
    let mut written = Vec::new();
    for &(scope, name, value) in variables {
        let (scope, value) = (SCOPES[usize::from(scope) % SCOPES.len()], value.map(TypedData::from));
        let (in_place, apart) = match value {
            Some(value) => (
                writer.set_var(scope, name, value).map(|_| ()),
                actions.clone().set_var(scope, name, value).map(|_| ()).map_err(EncodeError::from),
            ),
            None => (
                writer.unset_var(scope, name).map(|_| ()),
                actions.clone().unset_var(scope, name).map(|_| ()).map_err(EncodeError::from),
            ),
        };
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
        let fits = scope.keyword().len() + 1 + name.len() + 2 <= 63;
        assert_eq!(apart.is_ok(), is_name && fits);
        match in_place {
            Err(EncodeError::FrameTooBig { .. }) => assert!(apart.is_ok()),
            result => assert_eq!(result, apart),
        }
        if in_place.is_err() {
            continue;
        }
        let text = Text::from(name);
        match value {
            Some(value) => {
                actions.set_var(scope, name, value).expect("as before");
                written.push(Action::SetVar { scope, name: text, value });
            }
            None => {
                actions.unset_var(scope, name).expect("as before");
                written.push(Action::UnsetVar { scope, name: text });
            }
        }
    }
    writer.finish();
    let frame = &out[LENGTH_PREFIX..];
    let read = Ack::parse(frame).expect("what was written can be read");
    assert!(frame.len() <= max || written.is_empty(), "at most {max} bytes");
    assert_eq!(read.id(), id);
    assert!(read.actions().eq(written));
    assert!(frame.ends_with(actions.as_bytes()));
}

fn written(frame: &Frame<&[u8]>) -> BytesMut {
    let mut out = BytesMut::new();
    frame.encode(&mut out).expect("short enough");
    out.split_off(LENGTH_PREFIX)
}

fn haproxy_hello(hello: HaproxyHello) {
    let mut out = BytesMut::new();
    if hello.encode(&mut out).is_err() {
        return assert!(out.is_empty());
    }
    assert!(out.len() - LENGTH_PREFIX <= hello.max_frame_size as usize);
    assert_eq!(HaproxyHello::parse(&out[LENGTH_PREFIX..]), Ok(hello));
}

fn agent_hello(hello: AgentHello) {
    let frame = written(&Frame::AgentHello(hello.clone()));
    assert_eq!(AgentHello::parse(&frame), Ok(hello));
}

/// A code that crashes some HAProxys, or a message that is too long for them, is not written as it is.
fn disconnect(code: u32, message: &[u8]) {
    let disconnect = Disconnect { status: Status(code), message: message.to_vec() };
    for frame in [Frame::HaproxyDisconnect(disconnect.clone()), Frame::AgentDisconnect(disconnect.clone())] {
        let read = Disconnect::parse(&written(&frame)).expect("what was written can be read");
        let sendable: BTreeSet<u32> = (0..=13).chain([99]).collect();
        assert_eq!(read.status.0, if sendable.contains(&code) { code } else { 99 });
        assert_eq!(read.message, message[..message.len().min(255)]);
    }
}
