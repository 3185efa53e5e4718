use super::*;

/// In which state HAProxy sends what, the status of the DISCONNECT it gets, and a part of the error's text.
fn faults() -> Vec<(State, Vec<u8>, u32, &'static str)> {
    let control = |flags, ids, payload: &[u8]| frame(FrameType::HAPROXY_HELLO, flags, ids, payload);
    let zero = id(0, 0);
    let overflow = [103, 0, 0, 0, 1, 0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0f];
    let versions = b"\x12supported-versions\x08\x032.0";
    let size = b"\x0emax-frame-size\x03\xfc\xf0\x06";
    let capabilities = b"\x0ccapabilities\x08\0";
    // 2^32 + 256, whose low 32 bits would pass.
    let huge = [&b"\x0emax-frame-size\x05"[..], &[0xf0, 0x81, 0xff, 0xfe, 0x7e]].concat();
    vec![
        (State::Hello, vec![0, 0, 0, 6], 4, "does not speak SPOP"),
        (State::Hello, b"GET / HTTP/1.1\r\n".to_vec(), 3, "16380 allowed"),
        (State::Hello, [&[0, 0, 0, 15][..], &overflow].concat(), 4, "64 bits"),
        (State::Hello, notify(1, 1), 4, "unexpected NOTIFY"),
        (State::Hello, frame(FrameType::UNSET, FIN, id(1, 1), b""), 4, "unexpected UNSET"),
        (State::Hello, frame(FrameType(104), FIN, id(1, 1), b""), 4, "unexpected unknown (104)"),
        (State::Hello, frame(FrameType::AGENT_HELLO, FIN, zero, b""), 4, "unexpected AGENT-HELLO"),
        (State::Hello, frame(FrameType::ACK, FIN, id(1, 1), b""), 4, "unexpected ACK"),
        (State::Hello, control(0, zero, b""), 10, "fragmented"),
        (State::Hello, control(FIN, id(1, 0), b""), 4, "must be 0"),
        (State::Hello, control(FIN, zero, b"\0\x11"), 4, "without a name"),
        (State::Hello, control(FIN, zero, b"\x0ecapa"), 4, "in the middle"),
        (State::Hello, control(FIN, zero, b"\x0ccapabilities\x11"), 4, "wrong type"),
        (State::Hello, control(FIN, zero, &[&size[..], capabilities].concat()), 5, "no version"),
        (State::Hello, control(FIN, zero, &[&versions[..], capabilities].concat()), 6, "no max-frame-size"),
        (State::Hello, control(FIN, zero, &[&versions[..], size].concat()), 7, "no capabilities"),
        (State::Hello, hello("1.0", 16_380, "", b""), 8, "no common version"),
        (State::Hello, hello("2.0", 255, "", b""), 9, "max-frame-size 255"),
        (State::Hello, hello("2.0", 256, "", &huge), 9, "not a 32-bit number"),
        (State::Running, hello("2.0", 16_380, "", b""), 4, "unexpected HAPROXY-HELLO"),
        (State::Running, vec![0, 0, 0, 0], 4, "frame of 0 bytes"),
        (State::Running, vec![0, 0, 0x3f, 0xfd], 3, "frame of 16381 bytes"),
        (State::Running, [&[0, 0, 0, 15][..], &overflow].concat(), 4, "64 bits"),
        (State::Running, frame(FrameType::HAPROXY_DISCONNECT, 0, zero, b""), 10, "fragmented"),
        (State::Running, frame(FrameType::HAPROXY_DISCONNECT, FIN, id(1, 0), b""), 4, "must be 0"),
        (
            State::Running,
            frame(FrameType::HAPROXY_DISCONNECT, FIN, zero, b"\x0bstatus-code\x08\0"),
            4,
            "status-code has the wrong type",
        ),
    ]
}

#[test]
fn every_fault_of_the_peer_is_told_by_a_disconnect_with_its_status() {
    for (state, bytes, status, text) in faults() {
        let mut transcript = match state {
            State::Hello => Transcript::new(Config::new()),
            _ => Transcript::running(Config::new()),
        };
        let event = transcript.haproxy(&bytes).next_event();
        assert!(event.starts_with("ERROR") && event.contains(text), "{text:?}: {event:?}");
        transcript.state(State::Closing).agent(&[&format!("DISCONNECT {status}")]).state(State::Lingering);
        transcript.events(&[]).agent(&[]);
    }
}

#[test]
fn a_fault_while_draining_is_told_too() {
    Transcript::running(Config::new())
        .asked([1])
        .drain()
        .haproxy(&hello("2.0", 16_380, "", b""))
        .events(&["ERROR unexpected HAPROXY-HELLO frame in state Draining"])
        .agent(&["DISCONNECT 4"])
        .state(State::Lingering);
}

#[test]
fn a_fault_while_settling_is_told_too() {
    Transcript::mux(Config::new())
        .asked([1])
        .drain()
        .haproxy(&hello("2.0", 16_380, "", b""))
        .events(&["ERROR unexpected HAPROXY-HELLO frame in state Settling"])
        .agent(&["HELLO 2.0 16380 fragmentation", "DISCONNECT 4"])
        .state(State::Lingering);
}

#[test]
fn answers_before_a_fault_stay_in_front_of_the_disconnect() {
    Transcript::running(Config::new())
        .asked([1])
        .ack(1, 1)
        .haproxy(&[0, 0, 0, 0])
        .events(&["ERROR frame of 0 bytes, a frame has at least 7: the peer does not speak SPOP \
                   (at byte 0 of the frame)"])
        .agent(&["ACK 1/1", "DISCONNECT 4"]);
}

#[test]
fn no_ack_follows_a_disconnect() {
    let mut transcript = Transcript::running(Config::new());
    transcript.asked([1]).haproxy(&[0, 0, 0, 0]);
    assert!(transcript.next_event().starts_with("ERROR"));
    transcript.ack(1, 1).agent(&["DISCONNECT 4"]);
}

#[test]
fn every_protocol_error_has_a_status_that_may_be_sent() {
    let id = id(1, 1);
    let decode = |kind| ProtocolError::Decode(DecodeError::new(kind, 0));
    for (error, status) in [
        (ProtocolError::UnexpectedFrame { frame_type: FrameType::ACK, state: State::Hello }, 4),
        (ProtocolError::UnsupportedVersion, 8),
        (ProtocolError::MaxFrameSize(0), 9),
        (ProtocolError::Interlaced { unfinished: id, found: id }, 11),
        (ProtocolError::UnknownAck(id), 12),
        (ProtocolError::UnexpectedEof, 1),
        (decode(DecodeErrorKind::FrameTooShort { len: 0 }), 4),
        (decode(DecodeErrorKind::FrameTooBig { len: 0, max: 0 }), 3),
        (decode(DecodeErrorKind::Truncated), 4),
        (decode(DecodeErrorKind::VarintTooLong), 4),
        (decode(DecodeErrorKind::VarintOverflow), 4),
        (decode(DecodeErrorKind::ReservedType(10)), 4),
        (decode(DecodeErrorKind::EmptyMessageName), 4),
        (decode(DecodeErrorKind::ArgCount), 4),
        (decode(DecodeErrorKind::WrongType(FrameType::UNSET)), 4),
        (decode(DecodeErrorKind::Fragmented), 10),
        (decode(DecodeErrorKind::IdsNotZero), 4),
        (decode(DecodeErrorKind::EmptyItemName), 4),
        (decode(DecodeErrorKind::ItemType("version")), 4),
        (decode(DecodeErrorKind::NoVersion), 5),
        (decode(DecodeErrorKind::NoMaxFrameSize), 6),
        (decode(DecodeErrorKind::NoCapabilities), 7),
        (decode(DecodeErrorKind::MaxFrameSizeRange), 9),
        (decode(DecodeErrorKind::BadVersion), 8),
        (decode(DecodeErrorKind::UnknownAction(3)), 4),
        (decode(DecodeErrorKind::ActionArgs(4)), 4),
        (decode(DecodeErrorKind::UnknownScope(5)), 4),
        (decode(DecodeErrorKind::FragmentsTooBig), 3),
    ] {
        assert_eq!(error.status(), Status(status), "{error}");
        assert_eq!(error.status().sendable(), error.status(), "{error}");
    }
}

#[test]
fn no_status_leaves_that_haproxy_crashes_on() {
    for code in (0..=120).chain([u32::MAX]) {
        let mut transcript = Transcript::running(Config::new());
        transcript.connection.disconnect(Status(code), "");
        let sent = if code <= 13 { code } else { 99 };
        transcript.agent(&[&format!("DISCONNECT {sent}")]);
    }
}
