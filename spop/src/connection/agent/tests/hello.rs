use super::*;

#[test]
fn the_smaller_max_frame_size_of_both_sides_holds() {
    for (haproxy, agent, agreed) in
        [(16_380, 16_380, 16_380), (16_380, 1000, 1000), (1000, 16_380, 1000), (256, 256, 256)]
    {
        Transcript::new(Config::new().max_frame_size(agent))
            .haproxy(&hello("2.0", haproxy, "pipelining", b""))
            .events(&[&format!("CONNECTED {agreed} pipelining")])
            .agent(&[&format!("HELLO 2.0 {agreed} pipelining,fragmentation")])
            .state(State::Running);
    }
}

#[test]
fn a_max_frame_size_below_256_is_refused() {
    for size in [0, 255] {
        Transcript::new(Config::new())
            .haproxy(&hello("2.0", size, "", b""))
            .events(&[&format!("ERROR max-frame-size {size} is too big or too small")])
            .state(State::Closing)
            .agent(&["DISCONNECT 9"])
            .state(State::Lingering);
    }
}

#[test]
fn an_agents_own_limit_is_at_least_256() {
    Transcript::new(Config::new().max_frame_size(10))
        .haproxy(&hello("2.0", 16_380, "", b""))
        .events(&["CONNECTED 256 "]);
}

#[test]
fn versions_without_2_0_are_refused() {
    for versions in ["1.0", "1.0,3.0", "2.1", ""] {
        Transcript::new(Config::new())
            .haproxy(&hello(versions, 16_380, "", b""))
            .events(&["ERROR no common version, this side speaks 2.0"])
            .state(State::Closing)
            .agent(&["DISCONNECT 8"])
            .state(State::Lingering);
    }
}

#[test]
fn version_2_0_is_found_in_a_list() {
    Transcript::new(Config::new())
        .haproxy(&hello("1.0, 2.0", 16_380, "", b""))
        .events(&["CONNECTED 16380 "])
        .agent(&["HELLO 2.0 16380 fragmentation"]);
}

#[test]
fn capabilities_are_those_of_both_sides_and_fragmentation_is_announced() {
    for (offered, pipelining, event, answer) in [
        ("pipelining,async", true, "pipelining", "pipelining,fragmentation"),
        ("pipelining", false, "", "fragmentation"),
        ("async", true, "", "fragmentation"),
        ("", true, "", "fragmentation"),
    ] {
        Transcript::new(Config::new().pipelining(pipelining))
            .haproxy(&hello("2.0", 16_380, offered, b""))
            .events(&[&format!("CONNECTED 16380 {event}")])
            .agent(&[&format!("HELLO 2.0 16380 {answer}")]);
    }
}

#[test]
fn fragmentation_is_not_announced_if_it_is_off() {
    Transcript::new(Config::new().fragments(0, 0))
        .haproxy(&hello("2.0", 16_380, "pipelining", b""))
        .events(&["CONNECTED 16380 pipelining"])
        .agent(&["HELLO 2.0 16380 pipelining"]);
}

#[test]
fn the_engine_id_is_kept() {
    let mut transcript = Transcript::new(Config::new());
    transcript.haproxy(&hello("2.0", 16_380, "", b"\x09engine-id\x08\x03\xffab"));
    assert_eq!(transcript.connection.negotiated(), None);
    transcript.events(&["CONNECTED 16380 "]);
    let negotiated = transcript.connection.negotiated().unwrap();
    assert_eq!(negotiated.engine_id.as_deref(), Some(&b"\xffab"[..]));
}

/// HAProxy sends a UUID of 36 bytes; a peer could have us keep 15,000 for each connection.
#[test]
fn of_an_engine_id_64_bytes_are_kept() {
    for (len, kept) in [(36, 36), (63, 63), (64, 64), (65, 64), (15_000, 64)] {
        let mut buffer = [0; varint::MAX_LEN];
        let id: Vec<u8> = (0..len).map(|index| index as u8).collect();
        let item = [b"\x09engine-id\x08", varint::encode(len, &mut buffer), &id].concat();
        let mut transcript = Transcript::new(Config::new());
        transcript.haproxy(&hello("2.0", 16_380, "pipelining", &item));
        let event = transcript.handle_input();
        let Ok(Some(Event::Connected(told))) = event else { panic!("{event:?}") };
        let negotiated = transcript.connection.negotiated().unwrap();
        for engine_id in [&told.engine_id, &negotiated.engine_id] {
            let engine_id = engine_id.as_ref().unwrap();
            assert_eq!(*engine_id, id[..kept], "{len} bytes");
            assert!(engine_id.capacity() <= 64, "{} bytes of memory", engine_id.capacity());
        }
    }
}

/// HAProxy 3.2 to 3.4 resets a connection that receives the AGENT-HELLO in parts (P2).
#[test]
fn the_answer_is_one_piece_that_comes_at_once() {
    let bytes = hello("2.0", 16_380, "pipelining", b"");
    let mut transcript = Transcript::new(Config::new());
    for byte in &bytes[..bytes.len() - 1] {
        transcript.haproxy(&[*byte]).events(&[]).agent(&[]).state(State::Hello);
    }
    transcript.haproxy(&bytes[bytes.len() - 1..]).events(&["CONNECTED 16380 pipelining"]);
    let part = BytesMut::from(transcript.connection.poll_transmit(transcript.now));
    assert_eq!(part.len(), FrameDecoder::new(16_380).frame_len(&part).unwrap().unwrap() + LENGTH_PREFIX);
    transcript.agent(&["HELLO 2.0 16380 pipelining,fragmentation"]);
}

#[test]
fn a_notify_behind_the_hello_is_the_next_event() {
    for capabilities in ["pipelining", ""] {
        let connected = format!("CONNECTED 16380 {capabilities}");
        let announced = if capabilities.is_empty() { "fragmentation" } else { "pipelining,fragmentation" };
        Transcript::new(Config::new())
            .haproxy(&hello("2.0", 16_380, capabilities, b""))
            .haproxy(&notify(1, 1))
            .events(&[&connected, "NOTIFY 1/1"])
            .ack(1, 1)
            .agent(&[&format!("HELLO 2.0 16380 {announced}"), "ACK 1/1"]);
    }
}

/// HAProxy 3.1.0 takes a connection for usable before its HELLO is answered (P17).
#[test]
fn a_notify_given_up_before_the_hello_is_sent_does_not_take_the_hello_with_it() {
    Transcript::new(Config::new())
        .haproxy(&[hello("2.0", 16_380, "", b""), notify(1, 1)].concat())
        .events(&["CONNECTED 16380 ", "NOTIFY 1/1"])
        .ack(1, 1)
        .haproxy(&notify(3, 1))
        .events(&["NOTIFY 3/1"])
        .ack(3, 1)
        .agent(&["HELLO 2.0 16380 fragmentation", "ACK 3/1"]);
}

#[test]
fn a_health_check_is_answered_by_one_frame_and_closed() {
    let mut transcript = Transcript::new(Config::new());
    transcript
        .haproxy(&hello("2.0", 16_380, "", b"\x0bhealthcheck\x11"))
        .haproxy(&notify(1, 1))
        .events(&["HEALTH CHECK passed"])
        .state(State::Closing)
        .drain();
    transcript.connection.disconnect(Status::UNKNOWN, "");
    // All three items, flags of exactly FIN: HAProxy from 3.1 wants it so, and not a byte behind it (P6).
    let items = b"\x07version\x08\x032.0\x0emax-frame-size\x03\xf0\x01\x0ccapabilities\x08\0";
    let sent = transcript.connection.poll_transmit(transcript.now);
    assert_eq!(sent, frame(FrameType::AGENT_HELLO, FIN, id(0, 0), items));
    let len = sent.len();
    transcript.connection.transmitted(len);
    transcript.agent(&[]).state(State::Lingering).closed().state(State::Closed);
}

#[test]
fn a_health_check_of_another_version_fails() {
    Transcript::new(Config::new())
        .haproxy(&hello("1.0", 16_380, "", b"\x0bhealthcheck\x11"))
        .events(&["ERROR no common version, this side speaks 2.0"])
        .agent(&["DISCONNECT 8"]);
}

#[test]
fn a_health_check_can_be_made_to_fail_and_a_connection_for_requests_cannot() {
    let mut check = Transcript::new(Config::new());
    check.connection.fail_health_checks();
    check
        .haproxy(&hello("2.0", 16_380, "", b"\x0bhealthcheck\x11"))
        .events(&["HEALTH CHECK failed"])
        .agent(&["DISCONNECT 99"])
        .state(State::Lingering);
    let mut transcript = Transcript::new(Config::new());
    transcript.connection.fail_health_checks();
    transcript.haproxy(&hello("2.0", 16_380, "pipelining", b"")).events(&["CONNECTED 16380 pipelining"]);
}
