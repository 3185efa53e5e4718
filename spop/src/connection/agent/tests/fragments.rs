use super::*;

/// Takes fragments of a NOTIFY of at most 100 bytes, in at most 3 frames.
fn bounded() -> Transcript {
    Transcript::running(Config::new().fragments(100, 3))
}

fn first(stream_id: u64, payload: &[u8]) -> Vec<u8> {
    frame(FrameType::NOTIFY, 0, id(stream_id, 1), payload)
}

fn middle(stream_id: u64, payload: &[u8]) -> Vec<u8> {
    frame(FrameType::UNSET, 0, id(stream_id, 1), payload)
}

fn last(stream_id: u64, payload: &[u8]) -> Vec<u8> {
    frame(FrameType::UNSET, FIN, id(stream_id, 1), payload)
}

#[test]
fn fragments_are_put_together_wherever_they_were_cut() {
    let payload = b"\x01m\x02\x01a\x08\x05hello\0\x04\x07";
    for cut_1 in 0..=payload.len() {
        for cut_2 in cut_1..=payload.len() {
            let mut transcript = bounded();
            transcript
                .haproxy(&first(1, &payload[..cut_1]))
                .haproxy(&middle(1, &payload[cut_1..cut_2]))
                .events(&[])
                .in_flight(0)
                .haproxy(&last(1, &payload[cut_2..]));
            let event = transcript.handle_input();
            let Ok(Some(Event::Notify(notify, ticket))) = event else { panic!("{event:?}") };
            let message = notify.message("m").unwrap();
            assert_eq!((message.get("a").unwrap(), message.nth(1).unwrap()), ("hello", 7));
            transcript.tickets.push(ticket);
            transcript.in_flight(1).ack(1, 1).agent(&["ACK 1/1"]);
        }
    }
}

#[test]
fn fragments_that_make_no_notify_are_malformed() {
    Transcript::running(Config::new())
        .haproxy(&first(1, b"\x01m\x01"))
        .haproxy(&last(1, b"\0\x0f"))
        .events(&["MALFORMED 1/1: value of reserved type 15 (at byte 11 of the frame)"])
        .ack(1, 1)
        .agent(&["ACK 1/1"]);
}

#[test]
fn other_notifies_may_wait_meanwhile() {
    Transcript::running(Config::new())
        .haproxy(&notify(1, 1))
        .haproxy(&first(3, b"\x01"))
        .events(&["NOTIFY 1/1"])
        .ack(1, 1)
        .haproxy(&last(3, b"m\0"))
        .events(&["NOTIFY 3/1"])
        .ack(3, 1)
        .agent(&["ACK 1/1", "ACK 3/1"]);
}

#[test]
fn exactly_the_limit_of_bytes_and_frames_is_taken() {
    // 7 bytes of header, 3 of message, 4 of argument, and the string.
    bounded()
        .haproxy(&first(1, b"\x01m\x01\0\x08\x57"))
        .haproxy(&middle(1, &[b'x'; 40]))
        .haproxy(&last(1, &[b'x'; 47]))
        .events(&["NOTIFY 1/1"]);
}

#[test]
fn a_first_fragment_of_exactly_the_limit_is_taken() {
    bounded()
        .haproxy(&first(1, &[&b"\x01m\x01\0\x08\x57"[..], &[b'x'; 87]].concat()))
        .haproxy(&last(1, b""))
        .events(&["NOTIFY 1/1"]);
}

const TOO_BIG: &str =
    "MALFORMED 1/1: the fragments of a NOTIFY are more than allowed (at byte 0 of the frame)";

#[test]
fn one_byte_more_than_the_limit_is_too_big() {
    bounded()
        .haproxy(&first(1, b"\x01m\x01\0\x08\x58"))
        .haproxy(&middle(1, &[b'x'; 40]))
        .haproxy(&last(1, &[b'x'; 48]))
        .events(&[TOO_BIG])
        .in_flight(1)
        .ack(1, 1)
        .agent(&["ACK 1/1"])
        .state(State::Running);
}

#[test]
fn one_frame_more_than_the_limit_is_too_big() {
    bounded()
        .haproxy(&first(1, b"\x01m\0"))
        .haproxy(&middle(1, b""))
        .haproxy(&middle(1, b""))
        .haproxy(&last(1, b""))
        .events(&[TOO_BIG]);
}

#[test]
fn a_first_fragment_over_the_limit_is_too_big() {
    bounded().haproxy(&first(1, &[b'x'; 94])).haproxy(&last(1, b"")).events(&[TOO_BIG]);
}

/// To give it up earlier would cost HAProxy the connection.
#[test]
fn what_is_too_big_is_taken_to_its_end() {
    bounded()
        .haproxy(&first(1, &[b'x'; 94]))
        .haproxy(&middle(1, &[b'x'; 94]))
        .haproxy(&middle(1, b""))
        .events(&[])
        .agent(&[])
        .in_flight(0)
        .haproxy(&last(1, &[b'x'; 94]))
        .haproxy(&notify(3, 1))
        .events(&[TOO_BIG, "NOTIFY 3/1"]);
}

#[test]
fn what_is_too_big_and_given_up_is_forgotten() {
    bounded()
        .haproxy(&first(1, &[b'x'; 94]))
        .haproxy(&frame(FrameType::UNSET, FIN | ABORT, id(1, 1), b""))
        .haproxy(&notify(3, 1))
        .events(&["NOTIFY 3/1"])
        .agent(&[])
        .in_flight(1);
}

#[test]
fn a_notify_that_haproxy_gives_up_before_its_last_fragment_is_forgotten() {
    bounded()
        .haproxy(&first(1, b"\x01m"))
        .haproxy(&frame(FrameType::UNSET, FIN | ABORT, id(1, 1), b""))
        .haproxy(&notify(3, 1))
        .events(&["NOTIFY 3/1"])
        .agent(&[])
        .in_flight(1);
}

#[test]
fn ids_that_wait_and_come_again_in_fragments_end_the_old_work_first() {
    bounded()
        .haproxy(&notify(1, 1))
        .haproxy(&first(1, b"\x01m"))
        .haproxy(&last(1, b"\0"))
        .events(&["NOTIFY 1/1", "GIVEN UP 1/1", "NOTIFY 1/1"])
        .in_flight(1);
}

#[test]
fn another_notify_before_the_last_fragment_is_an_error() {
    let error = "ERROR frame 3/1 came while the fragments of 1/1 were not complete";
    for interlaced in [notify(3, 1), first(3, b"\x01m"), last(3, b"\0"), middle(3, b"")] {
        bounded()
            .haproxy(&first(1, b"\x01m"))
            .haproxy(&interlaced)
            .events(&[error])
            .agent(&["DISCONNECT 11"])
            .state(State::Lingering);
    }
}

#[test]
fn a_fragment_of_nothing_is_an_error() {
    bounded()
        .haproxy(&last(1, b"\0"))
        .events(&["ERROR unexpected frame type UNSET (at byte 0 of the frame)"])
        .agent(&["DISCONNECT 4"]);
}

#[test]
fn without_fragmentation_a_fragment_is_an_error() {
    Transcript::running(Config::new().fragments(0, 4096))
        .haproxy(&first(1, b"\x01m"))
        .events(&["ERROR fragmented frame (at byte 0 of the frame)"])
        .agent(&["DISCONNECT 10"])
        .state(State::Lingering);
}

#[test]
fn reserved_flags_of_fragments_are_ignored() {
    bounded()
        .haproxy(&frame(FrameType::NOTIFY, 0xffff_fffc, id(1, 1), b"\x01m"))
        .haproxy(&frame(FrameType::UNSET, 0xffff_fffd, id(1, 1), b"\0"))
        .events(&["NOTIFY 1/1"]);
}
