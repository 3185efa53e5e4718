use super::*;

#[test]
fn a_drain_without_work_ends_at_once() {
    Transcript::running(Config::new()).drain().agent(&["DISCONNECT 0"]).phase(Phase::Closed);
    Transcript::new(Config::new()).drain().agent(&["DISCONNECT 0"]).phase(Phase::Closed);
}

/// Behind it in the same buffer: without pipelining HAProxy then has no moment to send another NOTIFY.
#[test]
fn the_goodbye_is_right_behind_the_last_ack() {
    Transcript::running(Config::new())
        .haproxy(&[notify(1, 1), notify(3, 1)].concat())
        .events(&["NOTIFY 1/1", "NOTIFY 3/1"])
        .drain()
        .agent(&[])
        .phase(Phase::Draining)
        .ack(3, 1)
        .agent(&["ACK 3/1"])
        .phase(Phase::Draining)
        .ack(1, 1)
        .agent(&["ACK 1/1", "DISCONNECT 0"])
        .phase(Phase::Closed);
}

#[test]
fn an_ack_written_in_place_takes_the_goodbye_with_it_too() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]).drain();
    let mut ack = transcript.connection.ack_writer(id(1, 1), &mut transcript.out).unwrap();
    ack.set_var(Scope::Session, "a", 1).unwrap();
    ack.finish();
    transcript.agent(&["ACK 1/1 sess.a=Int32(1)", "DISCONNECT 0"]);
}

#[test]
fn an_ack_that_is_dropped_says_no_goodbye() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]).drain();
    drop(transcript.connection.ack_writer(id(1, 1), &mut transcript.out).unwrap());
    transcript.agent(&[]).phase(Phase::Draining);
}

#[test]
fn a_notify_that_comes_during_a_drain_is_answered() {
    Transcript::running(Config::new())
        .haproxy(&notify(1, 1))
        .events(&["NOTIFY 1/1"])
        .drain()
        .haproxy(&notify(3, 1))
        .events(&["NOTIFY 3/1"])
        .ack(1, 1)
        .agent(&["ACK 1/1"])
        .ack(3, 1)
        .agent(&["ACK 3/1", "DISCONNECT 0"]);
}

#[test]
fn a_second_drain_changes_nothing() {
    Transcript::running(Config::new())
        .haproxy(&notify(1, 1))
        .events(&["NOTIFY 1/1"])
        .drain()
        .drain()
        .agent(&[])
        .ack(1, 1)
        .drain()
        .agent(&["ACK 1/1", "DISCONNECT 0"]);
}

#[test]
fn after_the_goodbye_no_input_is_taken() {
    let mut transcript = Transcript::running(Config::new());
    transcript.drain().agent(&["DISCONNECT 0"]).haproxy(&notify(1, 1)).events(&[]).agent(&[]);
    assert!(transcript.connection.handle_eof(&transcript.input).is_ok());
}

#[test]
fn a_drain_ends_when_the_last_notify_comes_again_and_is_given_up() {
    Transcript::running(Config::new())
        .haproxy(&notify(1, 1))
        .events(&["NOTIFY 1/1"])
        .drain()
        .haproxy(&frame(FrameType::NOTIFY, FIN | ABORT, id(1, 1), b""))
        .events(&["ABORTED 1/1"])
        .agent(&["DISCONNECT 0"])
        .phase(Phase::Closed);
}

#[test]
fn a_drain_ends_when_the_last_notify_comes_again_in_fragments_and_is_given_up() {
    Transcript::running(Config::new())
        .haproxy(&notify(1, 1))
        .events(&["NOTIFY 1/1"])
        .drain()
        .haproxy(&frame(FrameType::NOTIFY, 0, id(1, 1), b"\x01"))
        .events(&["ABORTED 1/1"])
        .agent(&[])
        .haproxy(&frame(FrameType::UNSET, FIN | ABORT, id(1, 1), b""))
        .events(&["ABORTED 1/1"])
        .agent(&["DISCONNECT 0"]);
}

#[test]
fn a_drain_ends_when_the_last_notify_comes_again_and_is_too_big() {
    Transcript::running(Config::new().fragments(10, 10))
        .haproxy(&notify(1, 1))
        .events(&["NOTIFY 1/1"])
        .drain()
        .haproxy(&frame(FrameType::NOTIFY, 0, id(1, 1), b"\x01m\x01\0\x09"))
        .events(&["ABORTED 1/1"])
        .haproxy(&frame(FrameType::UNSET, FIN, id(1, 1), b""))
        .events(&["MALFORMED 1/1: the fragments of a NOTIFY are more than allowed (at byte 0 of the frame)"])
        .ack(1, 1)
        .agent(&["ACK 1/1", "DISCONNECT 0"]);
}

#[test]
fn haproxys_goodbye_is_answered_with_status_0() {
    for status in [0, 2, 10, 99, 4711] {
        let mut transcript = Transcript::running(Config::new());
        transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
        transcript.haproxy(&haproxy_disconnect(status)).haproxy(&notify(3, 1));
        let event = transcript.next_event();
        assert!(event.starts_with("DISCONNECTED"), "{event}");
        transcript.events(&[]).agent(&["DISCONNECT 0"]).phase(Phase::Closed);
    }
}

#[test]
fn haproxys_goodbye_keeps_its_status_and_text() {
    Transcript::running(Config::new())
        .haproxy(&haproxy_disconnect(2))
        .events(&["DISCONNECTED 2 a timeout occurred"]);
}

#[test]
fn haproxys_goodbye_is_taken_in_every_phase() {
    let goodbye = haproxy_disconnect(0);
    Transcript::new(Config::new())
        .haproxy(&goodbye)
        .events(&["DISCONNECTED 0 normal"])
        .agent(&["DISCONNECT 0"]);
    Transcript::running(Config::new())
        .haproxy(&notify(1, 1))
        .events(&["NOTIFY 1/1"])
        .drain()
        .haproxy(&goodbye)
        .events(&["DISCONNECTED 0 normal"])
        .agent(&["DISCONNECT 0"]);
}

#[test]
fn disconnect_ends_at_once_with_its_reason() {
    for (status, why, text) in [
        (Status::UNKNOWN, "", "an unknown error occurred"),
        (Status::RESOURCE, "out of memory", "out of memory"),
    ] {
        let mut transcript = Transcript::running(Config::new());
        transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
        transcript.connection.disconnect(status, why, &mut transcript.out);
        let sent = Disconnect::parse(&transcript.out[LENGTH_PREFIX..]).unwrap();
        assert_eq!((sent.status, sent.message().to_str()), (status, Ok(text)));
        transcript.out.clear();
        transcript.phase(Phase::Closed);
        transcript.connection.disconnect(Status::IO, "again", &mut transcript.out);
        transcript.agent(&[]);
    }
}

#[test]
fn an_end_of_input_between_frames_is_normal() {
    Transcript::new(Config::new()).connection.handle_eof(&[]).unwrap();
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&notify(1, 1)).events(&["NOTIFY 1/1"]);
    transcript.connection.handle_eof(&[]).unwrap();
    transcript.phase(Phase::Closed).agent(&[]);
    transcript.connection.handle_eof(&[]).unwrap();
}

#[test]
fn an_end_of_input_in_a_frame_is_an_error() {
    for mut transcript in [Transcript::new(Config::new()), Transcript::running(Config::new())] {
        transcript.haproxy(&[0, 0]).events(&[]);
        let error = transcript.connection.handle_eof(&transcript.input).unwrap_err();
        assert_eq!(error, ProtocolError::UnexpectedEof);
        assert_eq!(error.status(), Status::IO);
        transcript.phase(Phase::Closed);
        transcript.connection.handle_eof(&transcript.input).unwrap();
    }
}

#[test]
fn an_end_of_input_at_the_cap_is_normal() {
    let mut transcript = Transcript::running(Config::new().max_in_flight(1));
    transcript.haproxy(&[notify(1, 1), notify(3, 1)].concat()).events(&["NOTIFY 1/1"]);
    transcript.connection.handle_eof(&transcript.input).unwrap();
}

#[test]
fn a_notify_that_was_left_in_the_input_at_the_cap_is_answered_before_the_goodbye() {
    Transcript::running(Config::new().max_in_flight(1))
        .haproxy(&[notify(1, 1), notify(3, 1)].concat())
        .events(&["NOTIFY 1/1"])
        .drain()
        .ack(1, 1)
        .agent(&["ACK 1/1"])
        .haproxy(&[])
        .events(&["NOTIFY 3/1"])
        .ack(3, 1)
        .agent(&["ACK 3/1", "DISCONNECT 0"]);
}

#[test]
fn a_notify_of_which_a_part_has_come_is_answered_before_the_goodbye() {
    Transcript::running(Config::new())
        .haproxy(&frame(FrameType::NOTIFY, 0, id(1, 1), b"\x01m"))
        .events(&[])
        .drain()
        .agent(&[])
        .haproxy(&frame(FrameType::UNSET, FIN, id(1, 1), b"\0"))
        .events(&["NOTIFY 1/1"])
        .ack(1, 1)
        .agent(&["ACK 1/1", "DISCONNECT 0"]);
}

/// Wire facts 2.3: HAProxy from 3.1 takes it to heart.
#[test]
fn haproxy_from_3_1_is_asked_to_send_one_notify_at_a_time_by_a_second_hello() {
    let mut transcript = Transcript::new(Config::new());
    transcript.haproxy(&hello("2.0", 1000, "pipelining", b"")).haproxy(&notify(1, 1));
    transcript.events(&["CONNECTED 1000 pipelining", "NOTIFY 1/1"]);
    transcript.agent(&["HELLO 2.0 1000 pipelining,fragmentation"]);
    assert!(transcript.stop_pipelining());
    transcript.agent(&["HELLO 2.0 1000 fragmentation"]).phase(Phase::Running).in_flight(1);
    assert_eq!(transcript.connection.negotiated().unwrap().capabilities, Capabilities::NONE);
    assert!(transcript.stop_pipelining(), "it is still to be read");
    transcript.agent(&[]).connection.assume_read(b"");
    assert!(!transcript.stop_pipelining(), "it is read");
    transcript.agent(&[]).drain().ack(1, 1);
    transcript.agent(&["ACK 1/1", "DISCONNECT 0"]);
}

#[test]
fn a_second_hello_is_not_sent_where_it_changes_nothing() {
    // Up to 3.0, without pipelining, and after the end.
    for capabilities in ["pipelining,async", "async", ""] {
        let mut transcript = Transcript::new(Config::new());
        transcript.haproxy(&hello("2.0", 16_380, capabilities, b"")).next_event();
        transcript.out.clear();
        assert!(!transcript.stop_pipelining());
        transcript.agent(&[]);
    }
    let mut ended = Transcript::running(Config::new());
    ended.drain().agent(&["DISCONNECT 0"]);
    assert!(!ended.stop_pipelining());
    ended.agent(&[]);
}

#[test]
fn before_the_hello_pipelining_is_not_agreed_on_any_more() {
    let mut transcript = Transcript::new(Config::new());
    assert!(!transcript.stop_pipelining());
    transcript
        .haproxy(&hello("2.0", 16_380, "pipelining", b""))
        .events(&["CONNECTED 16380 "])
        .agent(&["HELLO 2.0 16380 fragmentation"]);
}

#[test]
fn a_health_check_can_be_made_to_fail_and_a_connection_for_requests_cannot() {
    let mut check = Transcript::new(Config::new());
    check.connection.fail_health_check();
    check
        .haproxy(&hello("2.0", 16_380, "", b"\x0bhealthcheck\x11"))
        .events(&["HEALTH CHECK"])
        .agent(&["DISCONNECT 99"])
        .phase(Phase::Closed);
    let mut transcript = Transcript::new(Config::new());
    transcript.connection.fail_health_check();
    transcript.haproxy(&hello("2.0", 16_380, "pipelining", b"")).events(&["CONNECTED 16380 pipelining"]);
}
