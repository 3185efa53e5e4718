use super::super::tests::control;
use super::*;
use crate::{DataType, Frame, LENGTH_PREFIX, Status, Text};

type Item<'a> = (&'a str, TypedData<'a>);

fn haproxy(items: &[Item<'_>]) -> Result<HaproxyHello, DecodeError> {
    HaproxyHello::parse(&control(FrameType::HAPROXY_HELLO, items))
}

fn agent(items: &[Item<'_>]) -> Result<AgentHello, DecodeError> {
    AgentHello::parse(&control(FrameType::AGENT_HELLO, items))
}

fn mandatory() -> Vec<Item<'static>> {
    vec![
        (SUPPORTED_VERSIONS, "2.0".into()),
        (MAX_FRAME_SIZE, 16_380u32.into()),
        (CAPABILITIES, "pipelining,async".into()),
    ]
}

fn agents() -> Vec<Item<'static>> {
    vec![(VERSION, "2.0".into()), (MAX_FRAME_SIZE, 16_380u32.into()), (CAPABILITIES, "pipelining".into())]
}

fn values_of_every_type() -> Vec<TypedData<'static>> {
    vec![
        TypedData::Null,
        TypedData::Bool(true),
        TypedData::Int32(1),
        TypedData::Uint32(1),
        TypedData::Int64(1),
        TypedData::Uint64(1),
        TypedData::Ipv4([127, 0, 0, 1].into()),
        TypedData::Ipv6([1; 16].into()),
        TypedData::String("x".into()),
        TypedData::Binary(b"x"),
    ]
}

#[track_caller]
fn assert_fails<T: core::fmt::Debug>(result: Result<T, DecodeError>, kind: DecodeErrorKind, status: Status) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.status()), (kind, status));
}

const ENGINE_ID_VALUE: &[u8; 36] = b"b0a1c3a5-5d0d-4d1a-8c8e-0f1e2d3c4b5a";

fn hello(capabilities: Capabilities, engine_id: Option<&[u8]>) -> HaproxyHello {
    HaproxyHello {
        supported_versions: vec![Version::V2_0],
        max_frame_size: 16_380,
        capabilities,
        engine_id: engine_id.map(Into::into),
        healthcheck: engine_id.is_none(),
    }
}

/// The HELLOs that HAProxy 2.6 to 3.5 sends, as captured; UUIDs differ.
fn captured() -> Vec<(HaproxyHello, Vec<u8>)> {
    let start: &[u8] =
        b"\x01\0\0\0\x01\0\0\x12supported-versions\x08\x032.0\x0emax-frame-size\x03\xfc\xf0\x06";
    let engine_id = [&b"\x09engine-id\x08\x24"[..], ENGINE_ID_VALUE].concat();
    let with_capabilities = |length: u8, item: &[u8], tail: &[u8]| {
        [&[0, 0, 0, length][..], start, b"\x0ccapabilities\x08", item, tail].concat()
    };
    let id = Some(&ENGINE_ID_VALUE[..]);
    let both = Capabilities::PIPELINING | Capabilities::ASYNC;
    vec![
        (hello(both, id), with_capabilities(0x81, b"\x10pipelining,async", &engine_id)),
        (hello(Capabilities::PIPELINING, id), with_capabilities(0x7b, b"\x0apipelining", &engine_id)),
        (hello(Capabilities::NONE, id), with_capabilities(0x71, b"\0", &engine_id)),
        (hello(Capabilities::NONE, None), with_capabilities(0x4e, b"\0", b"\x0bhealthcheck\x11")),
    ]
}

#[test]
fn hellos_are_written_byte_for_byte_as_haproxys() {
    for (hello, bytes) in captured() {
        let mut out = BytesMut::new();
        hello.encode(&mut out).unwrap();
        assert_eq!(out[..], bytes, "{hello:?}");
    }
}

#[test]
fn haproxys_hellos_are_read() {
    for (hello, bytes) in captured() {
        assert_eq!(HaproxyHello::parse(&bytes[LENGTH_PREFIX..]).unwrap(), hello);
    }
}

#[test]
fn the_health_check_is_82_bytes() {
    let (_, bytes) = captured().pop().unwrap();
    assert_eq!(bytes.len(), 82);
}

#[test]
fn an_agent_hello_has_its_items_in_the_order_of_the_spec() {
    let hello = AgentHello {
        version: Version::V2_0,
        max_frame_size: Some(16_380),
        capabilities: Some(Capabilities::PIPELINING),
    };
    let mut out = BytesMut::new();
    hello.encode(&mut out);
    let items = b"\x07version\x08\x032.0\x0emax-frame-size\x03\xfc\xf0\x06\x0ccapabilities\x08\x0apipelining";
    assert_eq!(out[..], [&b"\0\0\0\x40\x65\0\0\0\x01\0\0"[..], items].concat());
}

#[test]
fn a_hello_of_haproxy_without_a_mandatory_item_is_refused_with_its_status() {
    for (index, kind, status) in [
        (0, DecodeErrorKind::NoVersion, Status(5)),
        (1, DecodeErrorKind::NoMaxFrameSize, Status(6)),
        (2, DecodeErrorKind::NoCapabilities, Status(7)),
    ] {
        let mut items = mandatory();
        items.remove(index);
        assert_fails(haproxy(&items), kind, status);
    }
}

#[test]
fn a_hello_of_an_agent_needs_its_version_only() {
    assert_fails(agent(&agents()[1..]), DecodeErrorKind::NoVersion, Status(5));
    let hello = agent(&agents()[..1]).unwrap();
    assert_eq!((hello.max_frame_size, hello.capabilities), (None, None));
}

#[test]
fn items_may_come_in_any_order() {
    let (mut items, mut agent_items) = (mandatory(), agents());
    let (in_order, agent_in_order) = (haproxy(&items).unwrap(), agent(&agent_items).unwrap());
    items.reverse();
    agent_items.reverse();
    assert_eq!(haproxy(&items).unwrap(), in_order);
    assert_eq!(agent(&agent_items).unwrap(), agent_in_order);
}

#[test]
fn unknown_items_of_every_type_are_skipped() {
    let (mut items, mut agent_items) = (mandatory(), agents());
    let (plain, agent_plain) = (haproxy(&items).unwrap(), agent(&agent_items).unwrap());
    for value in values_of_every_type() {
        items.insert(1, ("x-unknown", value));
        agent_items.insert(1, ("x-unknown", value));
    }
    assert_eq!(haproxy(&items).unwrap(), plain);
    assert_eq!(agent(&agent_items).unwrap(), agent_plain);
}

#[test]
fn unknown_items_of_reserved_types_are_skipped() {
    for code in 10..16u8 {
        let mut bytes = control(FrameType::HAPROXY_HELLO, &mandatory()[..1]);
        bytes.extend_from_slice(&[1, b'x', code]);
        bytes.extend_from_slice(&control(FrameType::HAPROXY_HELLO, &mandatory()[1..])[7..]);
        assert_eq!(HaproxyHello::parse(&bytes).unwrap(), haproxy(&mandatory()).unwrap());
    }
}

#[test]
fn an_item_that_begins_like_a_known_one_is_not_that_one() {
    let mut items = mandatory();
    items.push(("max-frame-size-of-agent", 1u32.into()));
    items.push(("capabilities2", TypedData::Null));
    assert_eq!(haproxy(&items).unwrap(), haproxy(&mandatory()).unwrap());
}

#[test]
fn of_two_items_the_last_one_counts() {
    let mut items = mandatory();
    items.insert(0, (SUPPORTED_VERSIONS, "1.0".into()));
    items.insert(0, (MAX_FRAME_SIZE, 300u32.into()));
    items.insert(0, (CAPABILITIES, "".into()));
    assert_eq!(haproxy(&items).unwrap(), haproxy(&mandatory()).unwrap());
    let mut items = agents();
    items.insert(0, (VERSION, "1.0".into()));
    items.insert(0, (MAX_FRAME_SIZE, 300u32.into()));
    assert_eq!(agent(&items).unwrap(), agent(&agents()).unwrap());
}

#[test]
fn every_occurrence_of_an_item_is_checked() {
    let mut items = mandatory();
    items.insert(0, (MAX_FRAME_SIZE, "300".into()));
    assert_fails(haproxy(&items), DecodeErrorKind::ItemType(MAX_FRAME_SIZE), Status(4));
}

#[test]
fn an_item_without_a_name_is_an_error() {
    let mut items = mandatory();
    items.push(("", true.into()));
    assert_fails(haproxy(&items), DecodeErrorKind::EmptyItemName, Status(4));
    items = agents();
    items.push(("", true.into()));
    assert_fails(agent(&items), DecodeErrorKind::EmptyItemName, Status(4));
}

#[test]
fn a_known_item_of_another_type_is_an_error() {
    let integer = [DataType::Int32, DataType::Uint32, DataType::Int64, DataType::Uint64];
    for (name, taken) in [
        (SUPPORTED_VERSIONS, &[DataType::String][..]),
        (MAX_FRAME_SIZE, &integer),
        (CAPABILITIES, &[DataType::String]),
        (ENGINE_ID, &[DataType::String]),
        (HEALTHCHECK, &[DataType::Bool]),
    ] {
        for value in values_of_every_type() {
            let mut items = mandatory();
            items.push((name, value));
            let result = haproxy(&items);
            if taken.contains(&value.data_type()) {
                assert!(result.is_ok(), "{name} = {value:?}: {result:?}");
            } else {
                assert_fails(result, DecodeErrorKind::ItemType(name), Status(4));
            }
        }
    }
}

#[test]
fn the_error_of_an_item_is_at_its_start() {
    let mut items = mandatory();
    items.push((HEALTHCHECK, 1.into()));
    let start = control(FrameType::HAPROXY_HELLO, &mandatory()).len();
    assert_eq!(haproxy(&items).unwrap_err().offset(), start);
    let end = control(FrameType::HAPROXY_HELLO, &mandatory()[..2]).len();
    assert_eq!(haproxy(&mandatory()[..2]).unwrap_err().offset(), end, "what is missing is so at the end");
}

#[test]
fn a_known_item_of_a_reserved_type_is_an_error() {
    let mut bytes = control(FrameType::HAPROXY_HELLO, &mandatory());
    bytes.extend_from_slice(b"\x0ccapabilities\x0c");
    assert_fails(HaproxyHello::parse(&bytes), DecodeErrorKind::ItemType(CAPABILITIES), Status(4));
}

#[test]
fn a_cut_item_is_an_error() {
    let bytes = control(FrameType::HAPROXY_HELLO, &mandatory());
    let ends: Vec<_> =
        (1..4).map(|items| control(FrameType::HAPROXY_HELLO, &mandatory()[..items]).len()).collect();
    for end in (8..bytes.len()).filter(|end| !ends.contains(end)) {
        let error = HaproxyHello::parse(&bytes[..end]).unwrap_err();
        assert_eq!((error.kind(), error.offset() <= end), (DecodeErrorKind::Truncated, true), "cut at {end}");
    }
}

#[test]
fn max_frame_size_may_have_any_integer_type() {
    for value in [
        TypedData::Int32(16_380),
        TypedData::Uint32(16_380),
        TypedData::Int64(16_380),
        TypedData::Uint64(16_380),
    ] {
        let mut items = mandatory();
        items[1].1 = value;
        assert_eq!(haproxy(&items).unwrap().max_frame_size, 16_380, "{value:?}");
        items = agents();
        items[1].1 = value;
        assert_eq!(agent(&items).unwrap().max_frame_size, Some(16_380), "{value:?}");
    }
}

#[test]
fn a_max_frame_size_past_32_bits_is_not_cut() {
    for value in [
        // 2^32 + 256, whose low 32 bits would pass.
        TypedData::Uint64((1 << 32) + 256),
        TypedData::Int64((1 << 32) + 256),
        TypedData::Int32(-1),
        TypedData::Int64(i64::MIN),
        TypedData::Uint64(u64::MAX),
    ] {
        let mut items = mandatory();
        items[1].1 = value;
        assert_fails(haproxy(&items), DecodeErrorKind::MaxFrameSizeRange, Status(9));
        items = agents();
        items[1].1 = value;
        assert_fails(agent(&items), DecodeErrorKind::MaxFrameSizeRange, Status(9));
    }
}

#[test]
fn an_agents_version_must_be_one() {
    for text in ["", "2", "2.0.1", "2.0,1.0", "abc"] {
        let items = [(VERSION, text.into())];
        assert_fails(agent(&items), DecodeErrorKind::BadVersion, Status(8));
    }
}

#[test]
fn supported_versions_is_a_list() {
    let mut items = mandatory();
    items[0].1 = "1.0, 2.0,nonsense".into();
    let one = Version { major: 1, minor: 0 };
    assert_eq!(haproxy(&items).unwrap().supported_versions, [one, Version::V2_0]);
}

#[test]
fn an_engine_id_is_opaque() {
    let mut items = mandatory();
    items.push((ENGINE_ID, Text::new(b"\xff not a UUID \0").into()));
    assert_eq!(haproxy(&items).unwrap().engine_id.as_deref(), Some(&b"\xff not a UUID \0"[..]));
}

#[test]
fn a_healthcheck_of_false_is_none() {
    let mut items = mandatory();
    items.push((HEALTHCHECK, false.into()));
    assert!(!haproxy(&items).unwrap().healthcheck);
}

#[test]
fn a_hello_longer_than_its_own_limit_is_not_written() {
    let mut hello = hello(Capabilities::NONE, Some(&[b'x'; 300]));
    hello.max_frame_size = 256;
    let mut out = BytesMut::from(&b"before"[..]);
    assert_eq!(hello.encode(&mut out), Err(EncodeError::FrameTooBig { max: 256 }));
    assert_eq!(out[..], *b"before");
    assert!(Frame::<&[u8]>::HaproxyHello(hello).encode(&mut out).is_err());
}
