use super::*;

#[test]
fn answers_leave_in_the_order_of_the_acks() {
    Transcript::running(Config::new())
        .haproxy(&[notify(1, 1), notify(3, 1), notify(5, 1)].concat())
        .events(&["NOTIFY 1/1", "NOTIFY 3/1", "NOTIFY 5/1"])
        .in_flight(3)
        .ack(5, 1)
        .ack(1, 1)
        .agent(&["ACK 5/1", "ACK 1/1"])
        .ack(3, 1)
        .agent(&["ACK 3/1"])
        .in_flight(0);
}

#[test]
fn ids_of_zero_and_of_64_bits_are_ids() {
    Transcript::running(Config::new())
        .haproxy(&[notify(0, 1), notify(u64::MAX, 0)].concat())
        .events(&["NOTIFY 0/1", "NOTIFY 18446744073709551615/0"])
        .ack(u64::MAX, 0)
        .ack(0, 1)
        .agent(&["ACK 18446744073709551615/0", "ACK 0/1"]);
}

#[test]
fn an_ack_carries_its_actions() {
    let mut transcript = Transcript::running(Config::new());
    let ticket = transcript.asked([1]).ticket(1, 1);
    let mut actions = Actions::new();
    actions.set_var(Scope::Session, "ip_score", 42).unwrap();
    transcript.connection.ack(ticket, &actions).unwrap();
    transcript.agent(&["ACK 1/1 sess.ip_score=Int32(42)"]);
}

#[test]
fn an_ack_is_written_in_place_and_taken_back_if_that_fails() {
    let mut transcript = Transcript::running(Config::new());
    let ticket = transcript.asked([1]).ticket(1, 1);
    let result = transcript.connection.ack_with(ticket, |ack| {
        ack.set_var(Scope::Session, "a", 1)?;
        ack.set_var(Scope::Session, "not-a-name", 1).map(drop)
    });
    transcript.agent(&[]).in_flight(1);
    let ticket = result.unwrap_err().into_ticket();
    transcript.connection.ack_with(ticket, |ack| ack.set_var(Scope::Session, "b", 2).map(drop)).unwrap();
    transcript.agent(&["ACK 1/1 sess.b=Int32(2)"]).in_flight(0);
}

#[test]
fn a_notify_without_messages_is_a_notify() {
    Transcript::running(Config::new())
        .haproxy(&frame(FrameType::NOTIFY, FIN, id(1, 1), b""))
        .events(&["NOTIFY 1/1"])
        .ack(1, 1)
        .agent(&["ACK 1/1"]);
}

/// HAProxy 3.1 does not keep to a smaller size than its own (P14).
#[test]
fn a_notify_longer_than_agreed_on_is_taken_up_to_the_agents_own_limit() {
    let long = [b"\x01m\x01\0\x09\xf8\x2f".as_slice(), &[0; 1000]].concat();
    Transcript::new(Config::new().max_frame_size(1014))
        .haproxy(&hello("2.0", 256, "pipelining", b""))
        .events(&["CONNECTED 256 pipelining"])
        .agent(&["HELLO 2.0 256 pipelining,fragmentation"])
        .haproxy(&frame(FrameType::NOTIFY, FIN, id(1, 1), &long))
        .events(&["NOTIFY 1/1"]);
}

#[test]
fn a_notify_that_cannot_be_read_needs_an_ack_all_the_same() {
    Transcript::running(Config::new())
        .haproxy(&frame(FrameType::NOTIFY, FIN, id(1, 1), b"\x01m\x01\0\x0f"))
        .haproxy(&notify(3, 1))
        .events(&["MALFORMED 1/1: value of reserved type 15 (at byte 11 of the frame)", "NOTIFY 3/1"])
        .in_flight(2)
        .ack(1, 1)
        .agent(&["ACK 1/1"])
        .state(State::Running);
}

#[test]
fn a_frame_of_unknown_type_is_ignored() {
    Transcript::running(Config::new())
        .haproxy(&frame(FrameType(104), FIN, id(0, 0), b"anything"))
        .haproxy(&frame(FrameType(255), 0, id(9, 9), b""))
        .haproxy(&notify(1, 1))
        .events(&["NOTIFY 1/1"])
        .agent(&[]);
}

#[test]
fn a_frame_that_only_agents_send_is_ignored() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
    for frame_type in [FrameType::ACK, FrameType::AGENT_HELLO, FrameType::AGENT_DISCONNECT] {
        transcript.haproxy(&frame(frame_type, FIN, id(1, 1), b"anything")).events(&[]);
    }
    transcript.agent(&[]).in_flight(1).state(State::Running);
}

#[test]
fn reserved_flags_are_ignored() {
    Transcript::new(Config::new())
        .haproxy(&{
            let mut hello = hello("2.0", 16_380, "", b"");
            hello[LENGTH_PREFIX + 1..LENGTH_PREFIX + 5].copy_from_slice(&0xffff_fffdu32.to_be_bytes());
            hello
        })
        .haproxy(&frame(FrameType::NOTIFY, 0xffff_fffd, id(1, 1), b""))
        .events(&["CONNECTED 16380 ", "NOTIFY 1/1"]);
}

#[test]
fn a_notify_given_up_in_its_own_frame_is_dropped() {
    Transcript::running(Config::new())
        .haproxy(&frame(FrameType::NOTIFY, FIN | ABORT, id(1, 1), b"\x01m\0"))
        .events(&[])
        .in_flight(0);
}

#[test]
fn at_the_cap_the_input_is_left_alone_until_an_ack() {
    let mut transcript = Transcript::running(Config::new().max_in_flight(2));
    transcript
        .haproxy(&[notify(1, 1), notify(3, 1), notify(5, 1), notify(7, 1)].concat())
        .events(&["NOTIFY 1/1", "NOTIFY 3/1"]);
    let left = transcript.input.len();
    assert!(transcript.connection.is_full());
    transcript.events(&[]);
    assert_eq!(transcript.input.len(), left);
    transcript.ack(3, 1).events(&["NOTIFY 5/1"]).ack(5, 1).ack(1, 1).events(&["NOTIFY 7/1"]).in_flight(1);
    assert!(transcript.input.is_empty());
}

#[test]
fn a_cap_of_zero_is_one() {
    Transcript::running(Config::new().max_in_flight(0))
        .haproxy(&[notify(1, 1), notify(3, 1)].concat())
        .events(&["NOTIFY 1/1"])
        .ack(1, 1)
        .events(&["NOTIFY 3/1"]);
}

/// HAProxy up to 3.0 uses the ids again after `timeout processing` with `option continue-on-error` (P8).
/// One that fills `tune.bufsize` wedges the connection from 3.1 on (P1).
#[test]
fn the_longest_ack_is_one_byte_shorter_than_negotiated() {
    let mut transcript = Transcript::running(Config::new());
    let ticket = transcript.asked([1]).ticket(1, 1);
    let write = |ack: &mut AckWriter<'_>| {
        assert_eq!(ack.remaining(), 16_379 - 7);
        // 5 bytes up to the value, 1 of type, 3 of length.
        ack.set_var(Scope::Session, "a", &*"x".repeat(16_379 - 7 - 9))?;
        assert_eq!(ack.remaining(), 0);
        Ok(())
    };
    transcript.connection.ack_with(ticket, write).unwrap();
    transcript.agent(&["ACK 1/1 of 16383 bytes"]);
}

#[test]
fn names_are_held_to_the_configured_prefix() {
    let mut transcript = Transcript::running(Config::new().var_prefix("iprep"));
    let ticket = transcript.asked([1]).ticket(1, 1);
    let name = "x".repeat(53);
    let result =
        transcript.connection.ack_with(ticket, |ack| ack.set_var(Scope::Session, &name, 1).map(drop));
    assert_eq!(result.unwrap_err().encode_error(), EncodeError::NameTooLong { len: 53, max: 52 });
}

/// HAProxy 3.1 takes no notice of an ACK without a payload (P11); it does not offer `async`.
#[test]
fn an_empty_ack_carries_a_byte_of_0_for_a_peer_without_async() {
    for (capabilities, payload) in
        [("pipelining", &b"\0"[..]), ("", b"\0"), ("async", b""), ("pipelining,async", b"")]
    {
        let mut transcript = Transcript::connected(Config::new(), capabilities);
        transcript.asked([1]).ack(1, 1);
        let sent = transcript.connection.poll_transmit(transcript.now);
        assert_eq!(sent, frame(FrameType::ACK, FIN, id(1, 1), payload), "{capabilities:?}");
    }
}

#[test]
fn an_ack_with_actions_carries_no_byte_more() {
    let mut transcript = Transcript::mux(Config::new());
    let ticket = transcript.asked([1]).ticket(1, 1);
    let mut actions = Actions::new();
    actions.unset_var(Scope::Session, "v").unwrap();
    transcript.connection.ack(ticket, &actions).unwrap();
    let sent = transcript.connection.poll_transmit(transcript.now);
    assert_eq!(sent, frame(FrameType::ACK, FIN, id(1, 1), actions.as_bytes()));
}

#[test]
fn a_notify_is_the_inputs_own_memory() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&notify(1, 1));
    let name = transcript.input.last_chunk::<2>().unwrap().as_ptr();
    let event = transcript.handle_input();
    let Ok(Some(Event::Notify(notify, _))) = event else { panic!("{event:?}") };
    assert_eq!(notify.messages().next().unwrap().name().as_bytes().as_ptr(), name);
}

/// How far the socket takes it does not matter, but for the AGENT-HELLO.
#[test]
fn what_is_sent_in_parts_is_what_was_to_be_sent() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1, 3]).ack(1, 1).long_ack(3, 700);
    let whole = transcript.connection.out.to_vec();
    let mut sent = Vec::new();
    for size in (1..50).cycle() {
        let part = transcript.connection.poll_transmit(transcript.now);
        if part.is_empty() {
            break;
        }
        let taken = size.min(part.len());
        sent.extend_from_slice(&part[..taken]);
        transcript.connection.transmitted(taken);
    }
    assert_eq!(sent, whole);
}

#[test]
fn more_than_was_to_be_sent_cannot_be() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.connection.transmitted(1000);
    transcript.asked([1, 3]).ack(1, 1);
    let first = transcript.connection.poll_transmit(transcript.now).len();
    transcript.ack(3, 1).connection.transmitted(first + 1000);
    transcript.agent(&["ACK 3/1"]);
}

/// A peer that reads nothing cannot have us write without end.
#[test]
fn with_320_kib_to_be_sent_no_input_is_taken_until_some_of_it_is() {
    let mut transcript = Transcript::running(Config::new());
    let mut answered = 0;
    while !transcript.connection.is_full() {
        transcript.asked([answered]).long_ack(answered, 16_383);
        answered += 1;
    }
    assert_eq!(answered, 21, "20 fit");
    transcript.haproxy(&notify(answered, 1)).events(&[]).in_flight(0);
    assert_eq!(transcript.transmit().len(), 21);
    transcript.events(&["NOTIFY 21/1"]);
}
