use super::*;

/// HAProxy up to 3.0 uses the ids again after `timeout processing` with `option continue-on-error` (P8).
#[test]
fn ids_that_come_again_end_the_old_work_first() {
    Transcript::running(Config::new())
        .haproxy(&[notify(1, 1), notify(1, 1)].concat())
        .events(&["NOTIFY 1/1", "GIVEN UP 1/1", "NOTIFY 1/1"])
        .in_flight(1)
        .ack(1, 1)
        .agent(&["ACK 1/1"]);
}

#[test]
fn the_old_ticket_of_ids_that_came_again_answers_nothing() {
    let mut transcript = Transcript::running(Config::new());
    let old = transcript.asked([1]).ticket(1, 1);
    transcript.haproxy(&notify(1, 1)).events(&["GIVEN UP 1/1", "NOTIFY 1/1"]);
    assert_ne!(Some(&old), transcript.tickets.first());
    transcript.connection.ack(old, &Actions::new()).unwrap();
    transcript.agent(&[]).in_flight(1).ack(1, 1).agent(&["ACK 1/1"]);
}

#[test]
fn an_answer_to_what_was_given_up_is_not_even_written() {
    let mut transcript = Transcript::running(Config::new());
    let old = transcript.asked([1]).ticket(1, 1);
    transcript.haproxy(&frame(FrameType::NOTIFY, FIN | ABORT, id(1, 1), b"")).events(&["GIVEN UP 1/1"]);
    transcript.connection.ack_with(old, |_| panic!("for nobody")).unwrap();
    transcript.agent(&[]).in_flight(0);
}

#[test]
fn ids_that_were_answered_may_come_again() {
    Transcript::running(Config::new())
        .asked([1])
        .ack(1, 1)
        .asked([1])
        .ack(1, 1)
        .agent(&["ACK 1/1", "ACK 1/1"]);
}

#[test]
fn the_frame_id_is_a_part_of_the_id() {
    Transcript::running(Config::new())
        .haproxy(&[notify(1, 1), notify(1, 2)].concat())
        .events(&["NOTIFY 1/1", "NOTIFY 1/2"])
        .in_flight(2)
        .ack(1, 2)
        .agent(&["ACK 1/2"])
        .in_flight(1);
}

/// An ACK with ids that did not come on this very connection makes HAProxy from 3.1 lose every request on it (P3).
#[test]
fn after_the_end_no_answer_is_sent() {
    let ends: [fn(&mut Transcript); 3] = [
        |transcript| transcript.connection.disconnect(Status::UNKNOWN, ""),
        |transcript| assert!(transcript.haproxy(&haproxy_disconnect(0)).next_event().starts_with("DISC")),
        |transcript| assert_eq!(transcript.connection.handle_eof(b""), Ok(())),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut transcript = Transcript::mux(Config::new());
        end(transcript.asked([1, 3]).ack(1, 1));
        let ticket = transcript.ticket(3, 1);
        transcript.connection.ack_with(ticket, |_| panic!("for nobody")).unwrap();
        let sent = transcript.transmit();
        assert!(!sent.contains(&"ACK 3/1".to_owned()), "end {number}: {sent:?}");
        transcript.in_flight(1);
    }
}

#[test]
fn an_ack_that_is_too_big_leaves_nothing_and_its_notify_waits_on() {
    let mut transcript = Transcript::running(Config::new().max_frame_size(300));
    let ticket = transcript.asked([1]).ticket(1, 1);
    let mut actions = Actions::new();
    actions.set_var(Scope::Session, "a", &*"x".repeat(300)).unwrap();
    let error = transcript.connection.ack(ticket, &actions).unwrap_err();
    assert_eq!(error.encode_error(), EncodeError::FrameTooBig { max: 299 });
    assert_eq!(error.to_string(), "ACK to 1/1: frame would be longer than the 299 bytes the peer accepts");
    transcript.agent(&[]).in_flight(1);
    let ticket = error.into_ticket();
    assert_eq!(ticket.id(), id(1, 1));
    transcript.connection.ack(ticket, &Actions::new()).unwrap();
    transcript.agent(&["ACK 1/1"]).in_flight(0);
}

/// HAProxy from 3.1 without pipelining sends a NOTIFY only if it waits for no other ACK on the connection.
#[test]
fn without_pipelining_a_notify_proves_the_one_before_given_up() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).haproxy(&notify(3, 1)).events(&["GIVEN UP 1/1", "NOTIFY 3/1"]).in_flight(1);
    transcript.ack(1, 1).ack(3, 1).agent(&["ACK 3/1"]);
}

#[test]
fn without_pipelining_an_ack_that_was_queued_for_what_is_given_up_is_not_sent() {
    Transcript::mux(Config::new().pipelining(false))
        .asked([1])
        .ack(1, 1)
        .asked([3])
        .ack(3, 1)
        .agent(&["ACK 3/1"]);
}

/// A part of a frame would make no sense of what follows.
#[test]
fn without_pipelining_an_ack_of_which_a_part_was_sent_is_sent_to_its_end() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).ack(1, 1);
    let mut sent = transcript.connection.poll_transmit(transcript.now)[..5].to_vec();
    transcript.connection.transmitted(5);
    transcript.asked([3]).ack(3, 1).asked([5]).ack(5, 1);
    loop {
        let part = transcript.connection.poll_transmit(transcript.now);
        let len = part.len();
        sent.extend_from_slice(part);
        if len == 0 {
            break;
        }
        transcript.connection.transmitted(len);
    }
    let ack = |stream_id| frame(FrameType::ACK, FIN, id(stream_id, 1), b"\0");
    assert_eq!(sent, [ack(1), ack(5)].concat());
}

#[test]
fn with_pipelining_and_up_to_3_0_a_notify_proves_nothing() {
    for (config, capabilities) in [
        (Config::new(), "pipelining"),
        (Config::new(), "pipelining,async"),
        (Config::new().pipelining(false), "pipelining,async"),
        (Config::new(), "async"),
    ] {
        let mut transcript = Transcript::connected(config, capabilities);
        transcript.asked([1]).ack(1, 1).asked([3, 5]).in_flight(2).ack(5, 1).ack(3, 1);
        transcript.agent(&["ACK 1/1", "ACK 5/1", "ACK 3/1"]);
    }
}
