//! What is written is read as it was, for every frame and every value.

use bytes::{BufMut, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use spop::{
    Ack, AckWriter, Action, Actions, AgentHello, Capabilities, Disconnect, Frame, HaproxyHello,
    LENGTH_PREFIX, Notify, NotifyId, NotifyWriter, OwnedTypedData, Scope, Status, TypedData, Version, varint,
};

/// No limit on the length of a frame.
const ANY_SIZE: usize = u32::MAX as usize;

fn number() -> impl Strategy<Value = u64> {
    // As many short encodings as long ones.
    (any::<u64>(), 0..64u32).prop_map(|(bits, shift)| bits >> shift)
}

fn id() -> impl Strategy<Value = NotifyId> {
    (number(), number()).prop_map(|(stream_id, frame_id)| NotifyId { stream_id, frame_id })
}

fn value() -> impl Strategy<Value = OwnedTypedData> {
    prop_oneof![
        Just(OwnedTypedData::Null),
        any::<bool>().prop_map(OwnedTypedData::Bool),
        any::<i32>().prop_map(OwnedTypedData::Int32),
        any::<u32>().prop_map(OwnedTypedData::Uint32),
        number().prop_map(|bits| OwnedTypedData::Int64(bits as i64)),
        any::<i64>().prop_map(OwnedTypedData::Int64),
        number().prop_map(OwnedTypedData::Uint64),
        any::<[u8; 4]>().prop_map(|octets| OwnedTypedData::Ipv4(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| OwnedTypedData::Ipv6(octets.into())),
        vec(any::<u8>(), 0..300).prop_map(OwnedTypedData::String),
        vec(any::<u8>(), 0..300).prop_map(OwnedTypedData::Binary),
    ]
}

type Question = Vec<(String, Vec<(String, OwnedTypedData)>)>;

fn question() -> impl Strategy<Value = Question> {
    vec(("\\PC{1,20}", vec(("\\PC{0,10}", value()), 0..6)), 0..4)
}

fn notify(id: NotifyId, question: &Question) -> Vec<u8> {
    let mut out = BytesMut::new();
    let mut writer = NotifyWriter::new(id, ANY_SIZE, &mut out);
    for (name, args) in question {
        writer.message(name).unwrap();
        for (name, value) in args {
            writer.arg(name, value).unwrap();
        }
    }
    assert_eq!(writer.finish(), id);
    unprefixed(out)
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Process),
        Just(Scope::Session),
        Just(Scope::Transaction),
        Just(Scope::Request),
        Just(Scope::Response),
    ]
}

/// Scope and name of a variable, and its value if it is to be set.
fn actions() -> impl Strategy<Value = Vec<(Scope, String, Option<OwnedTypedData>)>> {
    vec((scope(), "[A-Za-z0-9_.]{0,56}", proptest::option::of(value())), 0..8)
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    let one = |on, capability| if on { capability } else { Capabilities::NONE };
    any::<[bool; 3]>().prop_map(move |[pipelining, asynchronous, fragmentation]| {
        one(pipelining, Capabilities::PIPELINING)
            | one(asynchronous, Capabilities::ASYNC)
            | one(fragmentation, Capabilities::FRAGMENTATION)
    })
}

fn version() -> impl Strategy<Value = Version> {
    any::<(u16, u16)>().prop_map(|(major, minor)| Version { major, minor })
}

prop_compose! {
    fn haproxy_hello()(
        supported_versions in vec(version(), 0..4),
        max_frame_size in prop_oneof![256..2000u32, any::<u32>()],
        capabilities in capabilities(),
        engine_id in proptest::option::of(vec(any::<u8>(), 0..300)),
        healthcheck in any::<bool>(),
    ) -> HaproxyHello {
        HaproxyHello { supported_versions, max_frame_size, capabilities, engine_id, healthcheck }
    }
}

prop_compose! {
    fn agent_hello()(
        version in version(),
        max_frame_size in proptest::option::of(any::<u32>()),
        capabilities in proptest::option::of(capabilities()),
    ) -> AgentHello {
        AgentHello { version, max_frame_size, capabilities }
    }
}

/// A frame without its length prefix, which is checked.
fn unprefixed(mut out: BytesMut) -> Vec<u8> {
    let frame = out.split_off(LENGTH_PREFIX);
    assert_eq!(out[..], (frame.len() as u32).to_be_bytes());
    frame.to_vec()
}

fn encoded<B: AsRef<[u8]>>(frame: &Frame<B>) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame.encode(&mut out).unwrap();
    unprefixed(out)
}

proptest! {
    #[test]
    fn a_varint_is_read_as_it_was_written(value in number(), behind in any::<[u8; 2]>()) {
        let mut buffer = [0; varint::MAX_LEN];
        let bytes = varint::encode(value, &mut buffer);
        prop_assert_eq!(bytes.len(), varint::encoded_len(value));
        let input = [bytes, &behind].concat();
        prop_assert_eq!(varint::parse(&input), Ok((value, &behind[..])));
    }

    #[test]
    fn no_two_varints_mean_the_same(first in any::<u8>(), rest in vec(128..=255u8, 0..10), last in any::<u8>()) {
        let input = [&[first][..], &rest, &[last]].concat();
        if let Ok((value, left)) = varint::parse(&input) {
            let read = &input[..input.len() - left.len()];
            let mut buffer = [0; varint::MAX_LEN];
            prop_assert_eq!(varint::encode(value, &mut buffer), read);
        }
    }

    #[test]
    fn a_notify_is_read_as_it_was_written(id in id(), question in question()) {
        let bytes = notify(id, &question);
        let notify = Notify::parse(&bytes).unwrap();
        prop_assert_eq!(notify.id(), id);
        prop_assert_eq!(notify.messages().len(), question.len());
        for (message, (name, args)) in notify.messages().zip(&question) {
            prop_assert_eq!(message.name(), &**name);
            prop_assert_eq!(message.args().len(), args.len());
            for (arg, (name, value)) in message.args().zip(args) {
                prop_assert_eq!(arg.name, &**name);
                prop_assert_eq!(arg.value, TypedData::from(value));
            }
        }
        prop_assert_eq!(encoded(&Frame::parse(&bytes).unwrap()), bytes);
    }

    #[test]
    fn an_ack_is_read_as_it_was_written(id in id(), actions in actions()) {
        let mut out = BytesMut::new();
        let mut writer = AckWriter::new(id, ANY_SIZE, &mut out);
        let mut prepared = Actions::new();
        for (scope, name, value) in &actions {
            match value {
                Some(value) => {
                    writer.set_var(*scope, name, value).unwrap();
                    prepared.set_var(*scope, name, value).unwrap();
                }
                None => {
                    writer.unset_var(*scope, name).unwrap();
                    prepared.unset_var(*scope, name).unwrap();
                }
            }
        }
        writer.finish();
        let bytes = unprefixed(out);
        prop_assert!(bytes.ends_with(prepared.as_bytes()));

        let ack = Ack::parse(&bytes).unwrap();
        prop_assert_eq!(ack.id(), id);
        let expected: Vec<_> = actions.iter().map(|(scope, name, value)| {
            let (scope, name) = (*scope, name.as_str().into());
            match value {
                Some(value) => Action::SetVar { scope, name, value: value.into() },
                None => Action::UnsetVar { scope, name },
            }
        }).collect();
        prop_assert_eq!(ack.actions().collect::<Vec<_>>(), expected);
        prop_assert_eq!(encoded(&Frame::parse(&bytes).unwrap()), bytes);
    }

    #[test]
    fn a_haproxy_hello_is_read_as_it_was_written(hello in haproxy_hello()) {
        let mut out = BytesMut::new();
        if hello.encode(&mut out).is_ok() {
            let bytes = unprefixed(out);
            prop_assert!(bytes.len() <= hello.max_frame_size as usize);
            prop_assert_eq!(HaproxyHello::parse(&bytes).unwrap(), hello);
            prop_assert_eq!(encoded(&Frame::parse(&bytes).unwrap()), bytes);
        } else {
            prop_assert!(out.is_empty());
            let roomy = HaproxyHello { max_frame_size: u32::MAX, ..hello.clone() };
            roomy.encode(&mut out).unwrap();
            prop_assert!(unprefixed(out).len() > hello.max_frame_size as usize);
        }
    }

    #[test]
    fn an_agent_hello_is_read_as_it_was_written(hello in agent_hello()) {
        let mut out = BytesMut::new();
        hello.encode(&mut out);
        let bytes = unprefixed(out);
        prop_assert_eq!(AgentHello::parse(&bytes).unwrap(), hello);
        prop_assert_eq!(encoded(&Frame::parse(&bytes).unwrap()), bytes);
    }

    #[test]
    fn a_disconnect_is_read_as_it_was_written_within_what_haproxy_takes(
        code in prop_oneof![0..=120u32, any::<u32>()],
        message in vec(any::<u8>(), 0..400),
        from_agent in any::<bool>(),
    ) {
        let written = Disconnect { status: Status(code), message };
        let frame = match from_agent {
            true => Frame::<&[u8]>::AgentDisconnect(written.clone()),
            false => Frame::HaproxyDisconnect(written.clone()),
        };
        let bytes = encoded(&frame);
        let read = Disconnect::parse(&bytes).unwrap();
        prop_assert_eq!(read.status, written.status.sendable());
        prop_assert!(matches!(read.status.0, 0..=13 | 99));
        prop_assert_eq!(&read.message[..], &written.message[..written.message.len().min(255)]);
        prop_assert_eq!(Frame::parse(&bytes).unwrap().frame_type(), frame.frame_type());
    }

    /// First fragments, later ones, and frames of unknown type: header and payload as they came.
    #[test]
    fn a_frame_that_is_not_looked_into_is_written_as_it_was_read_but_for_reserved_flags(
        frame_type in prop_oneof![Just(0u8), Just(3), 4..=100u8, 104..=255u8],
        flags in any::<u32>(),
        id in id(),
        payload in vec(any::<u8>(), 0..100),
    ) {
        // A NOTIFY that is whole is looked into.
        let flags = if frame_type == 3 { flags & !1 } else { flags };
        let with_flags = |flags: u32| {
            let mut bytes = BytesMut::new();
            bytes.put_u8(frame_type);
            bytes.put_u32(flags);
            for id in [id.stream_id, id.frame_id] {
                bytes.put_slice(varint::encode(id, &mut [0; varint::MAX_LEN]));
            }
            bytes.put_slice(&payload);
            bytes
        };
        let bytes = with_flags(flags);
        let frame = Frame::parse(&bytes).unwrap();
        let (Frame::Unset(raw) | Frame::NotifyFragment(raw) | Frame::Unknown(raw)) = &frame else {
            panic!("{frame:?}")
        };
        prop_assert_eq!((raw.header().flags.0, raw.header().id), (flags, id));
        prop_assert_eq!(raw.payload(), &payload[..]);
        prop_assert_eq!(encoded(&frame), with_flags(flags & 3));
    }

    /// Whatever is read at all is written so that it is read as the same again.
    #[test]
    fn writing_what_was_read_is_stable(
        frame_type in prop_oneof![0..=3u8, 101..=103u8, any::<u8>()],
        flags in any::<u32>(),
        tail in vec(any::<u8>(), 2..60),
        fin in any::<bool>(),
    ) {
        let flags = if fin { flags | 1 } else { flags };
        let bytes = [&[frame_type][..], &flags.to_be_bytes(), &tail].concat();
        if let Ok(frame) = Frame::parse(&bytes) {
            let mut once = BytesMut::new();
            if frame.encode(&mut once).is_ok() {
                let once = unprefixed(once);
                prop_assert_eq!(encoded(&Frame::parse(&once).unwrap()), once);
            }
        }
    }
}
