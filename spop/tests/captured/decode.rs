//! Every frame holds what its manifest says.

use bytes::BytesMut;
use spop::{
    Capabilities, DecodeErrorKind, Disconnect, Frame, FrameDecoder, OwnedTypedData, RawFrame, Status, Version,
};

use crate::corpus::{Captured, Content, frames};
use crate::value::{actions_of, messages_of};

/// HAProxy's `tune.bufsize` of the scenario with the biggest frames, less the prefix.
const MAX_FRAME_SIZE: u32 = 65_532;

fn parse(captured: &Captured) -> Frame<&[u8]> {
    Frame::parse(captured.frame()).unwrap_or_else(|error| panic!("{}: {error}", captured.at))
}

#[test]
fn every_file_is_exactly_one_frame() {
    let decoder = FrameDecoder::new(MAX_FRAME_SIZE);
    let mut count = 0;
    for captured in frames() {
        let mut input = BytesMut::from(&captured.wire[..]);
        let frame = decoder.decode(&mut input).unwrap_or_else(|error| panic!("{}: {error}", captured.at));
        assert_eq!(frame.as_deref(), Some(captured.frame()), "{}", captured.at);
        assert!(input.is_empty(), "{}", captured.at);
        count += 1;
    }
    assert_eq!(count, 1589);
}

#[test]
fn type_flags_and_ids() {
    for captured in frames() {
        let raw =
            RawFrame::parse(captured.frame()).unwrap_or_else(|error| panic!("{}: {error}", captured.at));
        assert_eq!(raw.header(), captured.header, "{}", captured.at);
        if captured.refused.is_none() {
            assert_eq!(parse(captured).frame_type(), captured.header.frame_type, "{}", captured.at);
        }
    }
}

/// What a frame says as a KV-LIST, in the order in which HAProxy and the agents wrote it.
fn items(frame: &Frame<&[u8]>) -> Vec<(&'static str, OwnedTypedData)> {
    let string = |text: &[u8]| OwnedTypedData::String(text.into());
    let disconnect = |disconnect: &Disconnect| {
        vec![
            ("status-code", OwnedTypedData::Uint32(disconnect.status.0)),
            ("message", string(disconnect.message().as_bytes())),
        ]
    };
    match frame {
        Frame::HaproxyHello(hello) => {
            let mut items = vec![
                ("supported-versions", string(versions(&hello.supported_versions).as_bytes())),
                ("max-frame-size", OwnedTypedData::Uint32(hello.max_frame_size)),
                ("capabilities", string(hello.capabilities.to_string().as_bytes())),
            ];
            items.extend(hello.engine_id.as_ref().map(|id| ("engine-id", string(id))));
            items.extend(hello.healthcheck.then_some(("healthcheck", OwnedTypedData::Bool(true))));
            items
        }
        Frame::AgentHello(hello) => {
            let mut items = vec![("version", string(hello.version.to_string().as_bytes()))];
            items.extend(hello.max_frame_size.map(|size| ("max-frame-size", OwnedTypedData::Uint32(size))));
            items.extend(hello.capabilities.map(|set| ("capabilities", string(set.to_string().as_bytes()))));
            items
        }
        Frame::HaproxyDisconnect(frame) | Frame::AgentDisconnect(frame) => disconnect(frame),
        other => panic!("no KV-LIST in a {} frame", other.frame_type()),
    }
}

fn versions(versions: &[Version]) -> String {
    versions.iter().map(Version::to_string).collect::<Vec<_>>().join(",")
}

/// The order in an agent's `capabilities` means nothing and is not kept.
fn in_haproxys_order((name, value): &(String, OwnedTypedData)) -> (&str, OwnedTypedData) {
    match value {
        OwnedTypedData::String(list) if name == "capabilities" => {
            (name, OwnedTypedData::String(Capabilities::parse(list).to_string().into_bytes()))
        }
        _ => (name, value.clone()),
    }
}

#[test]
fn items_of_hellos_and_disconnects() {
    let mut count = 0;
    for captured in frames() {
        let Some(expected) = captured.items() else { continue };
        count += 1;
        if captured.refused.is_none() {
            let expected: Vec<_> = expected.iter().map(in_haproxys_order).collect();
            assert_eq!(items(&parse(captured)), expected, "{}", captured.at);
        }
    }
    assert_eq!(count, 706);
}

#[test]
fn capabilities_that_haproxy_announces() {
    for captured in frames() {
        let Ok(Frame::HaproxyHello(hello)) = Frame::parse(captured.frame()) else { continue };
        let async_offered = hello.capabilities.contains(Capabilities::ASYNC);
        assert!(captured.is_applet() || !async_offered, "{}: only HAProxy up to 3.0 has it", captured.at);
        assert!(!hello.capabilities.contains(Capabilities::FRAGMENTATION), "{}", captured.at);
    }
}

#[test]
fn reasons_that_haproxy_gives_in_a_disconnect() {
    for captured in frames().filter(|captured| captured.from_haproxy) {
        let Ok(Frame::HaproxyDisconnect(disconnect)) = Frame::parse(captured.frame()) else { continue };
        assert_eq!(disconnect, Disconnect::new(disconnect.status), "{}", captured.at);
        assert_ne!(disconnect.status, Status::UNKNOWN, "{}", captured.at);
    }
}

#[test]
fn messages_of_notifies() {
    let mut count = 0;
    for captured in frames() {
        let Some(expected) = captured.messages() else { continue };
        let Frame::Notify(notify) = parse(captured) else { panic!("{}: no NOTIFY", captured.at) };
        assert_eq!(messages_of(&notify), expected, "{}", captured.at);
        assert_eq!(notify.id(), captured.header.id, "{}", captured.at);
        count += 1;
    }
    assert_eq!(count, 407);
}

#[test]
fn actions_of_acks() {
    let mut count = 0;
    for captured in frames() {
        let Some(expected) = captured.actions() else { continue };
        count += 1;
        if captured.refused.is_none() {
            let Frame::Ack(ack) = parse(captured) else { panic!("{}: no ACK", captured.at) };
            assert_eq!(actions_of(&ack), expected, "{}", captured.at);
            assert_eq!(
                (ack.id(), ack.flags()),
                (captured.header.id, captured.header.flags),
                "{}",
                captured.at
            );
        }
    }
    assert_eq!(count, 418);
}

#[test]
fn fragments_are_left_as_they_are() {
    let mut count = 0;
    for captured in frames() {
        let Content::Fragment(len) = captured.content else { continue };
        if captured.refused.is_some() {
            continue;
        }
        let raw = match parse(captured) {
            Frame::NotifyFragment(raw) | Frame::Unset(raw) => raw,
            other => panic!("{}: a {} frame", captured.at, other.frame_type()),
        };
        assert_eq!(raw.payload().len(), len, "{}", captured.at);
        count += 1;
    }
    assert_eq!(count, 54);
}

#[test]
fn frames_that_break_the_rules_are_refused() {
    let mut count = 0;
    for captured in frames() {
        let Some(kind) = captured.refused else { continue };
        let error = Frame::parse(captured.frame()).expect_err(&captured.at);
        assert_eq!(error.kind(), kind, "{}", captured.at);
        count += 1;
    }
    assert_eq!(count, 12);
}

#[test]
fn the_error_of_a_wrapped_argument_count_says_what_to_do() {
    let mut count = 0;
    for captured in frames() {
        let Content::Undecodable(payload) = &captured.content else { continue };
        let error = Frame::parse(captured.frame()).expect_err(&captured.at);
        assert_eq!(error.kind(), DecodeErrorKind::ArgCount, "{}", captured.at);
        // Where the second message would start: type, flags, ids, then a name, the count, and two arguments.
        let start = captured.frame().len() - payload.len();
        assert!((start + 3..start + 40).contains(&error.offset()), "{}: {error}", captured.at);
        let text = error.to_string();
        assert!(text.contains("255 arguments") && text.contains("split it"), "{}: {text}", captured.at);
        count += 1;
    }
    assert_eq!(count, 2);
}
