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
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
    let mut actions = Actions::new();
    actions.set_var(Scope::Session, "ip_score", 42).unwrap();
    transcript.connection.ack(id(1, 1), &actions, &mut transcript.out).unwrap();
    transcript.agent(&["ACK 1/1 sess.ip_score=Int32(42)"]);
}

#[test]
fn an_ack_is_written_in_place_and_taken_back_if_dropped() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
    let mut ack = transcript.connection.ack_writer(id(1, 1), &mut transcript.out).unwrap();
    ack.set_var(Scope::Session, "a", 1).unwrap();
    drop(ack);
    transcript.agent(&[]).in_flight(1);
    let mut ack = transcript.connection.ack_writer(id(1, 1), &mut transcript.out).unwrap();
    ack.set_var(Scope::Session, "b", 2).unwrap();
    ack.finish();
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
        .phase(Phase::Running);
}

#[test]
fn a_frame_of_unknown_type_is_passed_over() {
    Transcript::running(Config::new())
        .haproxy(&frame(FrameType(104), FIN, id(0, 0), b"anything"))
        .haproxy(&frame(FrameType(255), 0, id(9, 9), b""))
        .haproxy(&notify(1, 1))
        .events(&["NOTIFY 1/1"])
        .agent(&[]);
}

#[test]
fn a_frame_that_only_agents_send_is_passed_over() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
    for frame_type in [FrameType::ACK, FrameType::AGENT_HELLO, FrameType::AGENT_DISCONNECT] {
        transcript.haproxy(&frame(frame_type, FIN, id(1, 1), b"anything")).events(&[]);
    }
    transcript.agent(&[]).in_flight(1).phase(Phase::Running);
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
#[test]
fn ids_that_come_again_end_the_old_work_first() {
    Transcript::running(Config::new())
        .haproxy(&[notify(1, 1), notify(1, 1)].concat())
        .events(&["NOTIFY 1/1", "ABORTED 1/1", "NOTIFY 1/1"])
        .in_flight(1)
        .ack(1, 1)
        .agent(&["ACK 1/1"]);
}

#[test]
fn ids_that_were_answered_may_come_again() {
    Transcript::running(Config::new())
        .haproxy(&notify(1, 1))
        .events(&["NOTIFY 1/1"])
        .ack(1, 1)
        .haproxy(&notify(1, 1))
        .events(&["NOTIFY 1/1"])
        .ack(1, 1)
        .agent(&["ACK 1/1", "ACK 1/1"]);
}

#[test]
fn an_ack_that_is_not_due_leaves_nothing() {
    let mut transcript = Transcript::running(Config::new());
    let ack = |transcript: &mut Transcript, ids| {
        let before = transcript.out.clone();
        let result = transcript.connection.ack(ids, &Actions::new(), &mut transcript.out);
        assert_eq!(transcript.out, before);
        result
    };
    let not_in_flight = |ids| Err(AckError::Usage(UsageError::NotInFlight(ids)));
    assert_eq!(ack(&mut transcript, id(1, 1)), not_in_flight(id(1, 1)), "never came");
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
    assert_eq!(ack(&mut transcript, id(1, 2)), not_in_flight(id(1, 2)), "another frame-id");
    transcript.ack(1, 1);
    assert_eq!(ack(&mut transcript, id(1, 1)), not_in_flight(id(1, 1)), "has its ACK");
    transcript.haproxy(&notify(3, 1)).events(&["NOTIFY 3/1"]);
    transcript.connection.handle_eof(&[]).unwrap();
    let closed = Err(AckError::Usage(UsageError::WrongPhase(Phase::Closed)));
    assert_eq!(ack(&mut transcript, id(3, 1)), closed);
    transcript.agent(&["ACK 1/1"]);
}

#[test]
fn an_ack_that_is_too_big_leaves_nothing_and_its_notify_waits_on() {
    let mut transcript = Transcript::running(Config::new().max_frame_size(300));
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
    let mut actions = Actions::new();
    actions.set_var(Scope::Session, "a", &*"x".repeat(300)).unwrap();
    let result = transcript.connection.ack(id(1, 1), &actions, &mut transcript.out);
    assert!(matches!(result, Err(AckError::Encode(_))), "{result:?}");
    transcript.agent(&[]).in_flight(1).ack(1, 1).agent(&["ACK 1/1"]);
}

/// One that fills `tune.bufsize` wedges the connection from 3.1 on (P1).
#[test]
fn the_longest_ack_is_one_byte_shorter_than_negotiated() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
    let mut ack = transcript.connection.ack_writer(id(1, 1), &mut transcript.out).unwrap();
    assert_eq!(ack.remaining(), 16_379 - 7);
    // 5 bytes up to the value, 1 of type, 3 of length.
    ack.set_var(Scope::Session, "a", &*"x".repeat(16_379 - 7 - 9)).unwrap();
    assert_eq!(ack.remaining(), 0);
    ack.finish();
    assert_eq!(transcript.out.len(), 16_383);
}

#[test]
fn names_are_held_to_the_configured_prefix() {
    let mut transcript = Transcript::running(Config::new().var_prefix("iprep"));
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
    let mut ack = transcript.connection.ack_writer(id(1, 1), &mut transcript.out).unwrap();
    let error = ack.set_var(Scope::Session, &"x".repeat(53), 1).unwrap_err();
    assert_eq!(error, crate::EncodeError::NameTooLong { len: 53, max: 52 });
}

/// HAProxy 3.1 takes no notice of an ACK without a payload (P11); it does not offer `async`.
#[test]
fn an_empty_ack_carries_a_byte_of_0_for_a_peer_without_async() {
    for (capabilities, payload) in
        [("pipelining", &b"\0"[..]), ("", b"\0"), ("async", b""), ("pipelining,async", b"")]
    {
        let mut transcript = Transcript::new(Config::new());
        transcript.haproxy(&hello("2.0", 16_380, capabilities, b""));
        assert!(transcript.next_event().starts_with("CONNECTED"));
        transcript.out.clear();
        transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]).ack(1, 1);
        assert_eq!(transcript.out[..], frame(FrameType::ACK, FIN, id(1, 1), payload), "{capabilities:?}");
    }
}

#[test]
fn an_ack_with_actions_carries_no_byte_more() {
    let mut transcript = Transcript::new(Config::new());
    transcript.haproxy(&hello("2.0", 16_380, "pipelining", b"")).events(&["CONNECTED 16380 pipelining"]);
    transcript.out.clear();
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
    let mut actions = Actions::new();
    actions.unset_var(Scope::Session, "v").unwrap();
    transcript.connection.ack(id(1, 1), &actions, &mut transcript.out).unwrap();
    assert_eq!(transcript.out[..], frame(FrameType::ACK, FIN, id(1, 1), actions.as_bytes()));
}

#[test]
fn a_notify_is_the_inputs_own_memory() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&notify(1, 1));
    let name = transcript.input.last_chunk::<2>().unwrap().as_ptr();
    let event = transcript.connection.handle_input(&mut transcript.input, &mut transcript.out);
    let Ok(Some(Event::Notify(notify))) = event else { panic!("{event:?}") };
    assert_eq!(notify.messages().next().unwrap().name().as_bytes().as_ptr(), name);
}

/// Twenty answers of 1000 bytes each, of which none has been sent.
fn long_answers(config: Config, capabilities: &str) -> Transcript {
    let mut transcript = Transcript::new(config);
    transcript.haproxy(&hello("2.0", 16_380, capabilities, b""));
    transcript.connection.handle_input(&mut transcript.input, &mut transcript.out).unwrap();
    transcript.out.clear();
    let mut actions = Actions::new();
    actions.set_var(Scope::Transaction, "v", "x".repeat(980)).unwrap();
    for stream in 0..20 {
        transcript.haproxy(&notify(2 * stream + 1, 1));
        transcript.connection.handle_input(&mut transcript.input, &mut transcript.out).unwrap();
        transcript.connection.ack(id(2 * stream + 1, 1), &actions, &mut transcript.out).unwrap();
    }
    transcript
}

#[test]
fn haproxy_from_3_1_gets_as_much_at_a_time_as_its_buffer_takes() {
    let mut transcript = long_answers(Config::new(), "pipelining");
    let part = transcript.connection.sendable(&transcript.out);
    assert!(part < 16_384 && part > 15_000, "{part} of {}", transcript.out.len());
    let rest = transcript.out.split_off(part);
    assert_eq!(transcript.connection.sendable(&rest), 0);
    transcript.connection.assume_read(&rest);
    assert_eq!(transcript.connection.sendable(&rest), rest.len());
}

#[test]
fn what_haproxy_has_read_does_not_matter_up_to_3_0_and_without_pipelining() {
    for (capabilities, config) in [
        ("pipelining,async", Config::new()),
        ("", Config::new()),
        ("pipelining", Config::new().pipelining(false)),
    ] {
        let transcript = long_answers(config, capabilities);
        assert_eq!(transcript.connection.sendable(&transcript.out), transcript.out.len(), "{capabilities:?}");
    }
}
