mod typed_data;

use super::*;
use crate::wire::LENGTH_PREFIX;

/// A frame without its length prefix; ids are bytes, as they are below 240.
pub(super) fn frame(frame_type: FrameType, flags: u32, ids: [u8; 2], payload: &[u8]) -> Vec<u8> {
    [&[frame_type.0][..], &flags.to_be_bytes(), &ids, payload].concat()
}

/// A HELLO or DISCONNECT of these items, without its length prefix.
pub(super) fn control(frame_type: FrameType, items: &[(&str, TypedData<'_>)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for &(name, value) in items {
        payload.push(name.len() as u8);
        payload.extend_from_slice(name.as_bytes());
        // The value as an action carries it, behind four bytes.
        let mut action = Actions::new();
        action.set_var(Scope::Session, "", value).unwrap();
        payload.extend_from_slice(&action.as_bytes()[4..]);
    }
    frame(frame_type, 1, [0, 0], &payload)
}

#[track_caller]
fn encoded<B: AsRef<[u8]>>(frame: &Frame<B>) -> Vec<u8> {
    let mut out = BytesMut::new();
    frame.encode(&mut out).unwrap();
    let bytes = out.split_off(LENGTH_PREFIX);
    assert_eq!(out[..], (bytes.len() as u32).to_be_bytes(), "length prefix");
    bytes.to_vec()
}

/// The shortest frame of every type, and one of a type that does not exist.
fn table() -> Vec<(FrameType, &'static str, Vec<u8>)> {
    let hello =
        b"\x12supported-versions\x08\x032.0\x0emax-frame-size\x03\xfc\xf0\x06\x0ccapabilities\x08\x00";
    let agent_hello = b"\x07version\x08\x032.0";
    let disconnect = b"\x0bstatus-code\x03\x00\x07message\x08\x06normal";
    vec![
        (FrameType::UNSET, "UNSET", frame(FrameType::UNSET, 1, [1, 1], b"rest")),
        (FrameType::HAPROXY_HELLO, "HAPROXY-HELLO", frame(FrameType::HAPROXY_HELLO, 1, [0, 0], hello)),
        (
            FrameType::HAPROXY_DISCONNECT,
            "HAPROXY-DISCONNECT",
            frame(FrameType::HAPROXY_DISCONNECT, 1, [0, 0], disconnect),
        ),
        (FrameType::NOTIFY, "NOTIFY", frame(FrameType::NOTIFY, 1, [1, 1], b"\x01m\x00")),
        (FrameType::NOTIFY, "NOTIFY", frame(FrameType::NOTIFY, 0, [1, 1], b"\x01")),
        (FrameType::AGENT_HELLO, "AGENT-HELLO", frame(FrameType::AGENT_HELLO, 1, [0, 0], agent_hello)),
        (
            FrameType::AGENT_DISCONNECT,
            "AGENT-DISCONNECT",
            frame(FrameType::AGENT_DISCONNECT, 1, [0, 0], disconnect),
        ),
        (FrameType::ACK, "ACK", frame(FrameType::ACK, 1, [1, 1], b"\x01\x03\x02\x01v\x00")),
        (FrameType(104), "unknown (104)", frame(FrameType(104), 1, [1, 1], b"anything")),
    ]
}

#[test]
fn every_type_is_read() {
    for (frame_type, name, bytes) in table() {
        let parsed = Frame::parse(&bytes).unwrap();
        assert_eq!(parsed.frame_type(), frame_type);
        assert_eq!(frame_type.to_string(), name);
    }
}

#[test]
fn every_type_is_written_as_it_was_read() {
    for (_, name, bytes) in table() {
        assert_eq!(encoded(&Frame::parse(&bytes).unwrap()), bytes, "{name}");
    }
}

#[test]
fn every_type_gets_its_variant() {
    let parsed: Vec<_> = table().into_iter().map(|(_, _, bytes)| Frame::parse(bytes).unwrap()).collect();
    assert!(matches!(
        &parsed[..],
        [
            Frame::Unset(_),
            Frame::HaproxyHello(_),
            Frame::HaproxyDisconnect(_),
            Frame::Notify(_),
            Frame::NotifyFragment(_),
            Frame::AgentHello(_),
            Frame::AgentDisconnect(_),
            Frame::Ack(_),
            Frame::Unknown(_),
        ]
    ));
}

#[test]
fn reserved_flags_are_ignored_on_input() {
    for (_, name, mut bytes) in table() {
        for byte in &mut bytes[1..4] {
            *byte = 0xff;
        }
        bytes[4] |= 0xfc;
        let parsed = Frame::parse(&bytes);
        assert!(parsed.is_ok(), "{name}: {parsed:?}");
    }
}

#[test]
fn reserved_flags_never_leave() {
    for (_, name, mut bytes) in table() {
        let flags = bytes[4];
        for byte in &mut bytes[1..4] {
            *byte = 0xff;
        }
        bytes[4] |= 0xfc;
        assert_eq!(encoded(&Frame::parse(&bytes).unwrap())[1..5], [0, 0, 0, flags], "{name}");
    }
}

#[test]
fn a_frame_without_fin_is_fragmented() {
    for (frame_type, name, mut bytes) in table() {
        bytes[4] &= !1;
        let kind = Frame::parse(&bytes).map(|frame| frame.frame_type()).map_err(|error| error.kind());
        match frame_type {
            FrameType::UNSET | FrameType::NOTIFY | FrameType(104) => assert_eq!(kind, Ok(frame_type)),
            _ => assert_eq!(kind, Err(DecodeErrorKind::Fragmented), "{name}"),
        }
    }
}

#[test]
fn hello_and_disconnect_have_ids_of_zero() {
    for (_, name, mut bytes) in table().into_iter().filter(|(.., bytes)| bytes[5] == 0) {
        for ids in [[0, 1], [1, 0], [1, 1]] {
            bytes[5..7].copy_from_slice(&ids);
            let error = Frame::parse(&bytes).unwrap_err();
            assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::IdsNotZero, 0), "{name} {ids:?}");
        }
    }
}

#[test]
fn a_frame_that_ends_in_its_header_is_an_error() {
    for (_, name, bytes) in table() {
        for end in 0..7 {
            let error = Frame::parse(&bytes[..end]).unwrap_err();
            assert_eq!(error.kind(), DecodeErrorKind::Truncated, "{name} cut at {end}");
        }
    }
}

#[test]
fn another_type_is_refused_where_one_is_expected() {
    for (frame_type, name, bytes) in table() {
        let wrong = Err(DecodeErrorKind::WrongType(frame_type));
        let expect = |wanted: &[FrameType], result: Result<(), DecodeError>| {
            if !wanted.contains(&frame_type) {
                assert_eq!(result.map_err(|error| error.kind()), wrong, "{name}");
            }
        };
        let disconnects = [FrameType::HAPROXY_DISCONNECT, FrameType::AGENT_DISCONNECT];
        expect(&[FrameType::HAPROXY_HELLO], HaproxyHello::parse(&bytes).map(drop));
        expect(&[FrameType::AGENT_HELLO], AgentHello::parse(&bytes).map(drop));
        expect(&disconnects, Disconnect::parse(&bytes).map(drop));
        expect(&[FrameType::NOTIFY], Notify::parse(&bytes).map(drop));
        expect(&[FrameType::ACK], Ack::parse(&bytes).map(drop));
    }
}

#[test]
fn the_offset_of_an_error_counts_from_the_type_byte() {
    // 7 bytes of header, message "m" of one argument "a", then the reserved type.
    let error = Frame::parse(frame(FrameType::NOTIFY, 1, [1, 1], b"\x01m\x01\x01a\x0f")).unwrap_err();
    assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::ReservedType(15), 12));
    assert_eq!(error.to_string(), "value of reserved type 15 (at byte 12 of the frame)");
}
