use super::*;

/// How long HAProxy has to read if nothing is seen of it: fifty times [`Config::read_grace`].
const SILENCE: Duration = Duration::from_millis(500);

impl Transcript {
    /// 20 NOTIFYs are answered with `size` bytes each, in a drain within `time`. Returns what leaves until the end.
    #[track_caller]
    fn leave_in_a_drain(&mut self, size: usize, time: Duration) -> Vec<String> {
        let ids = || (0..20).map(|index| 2 * index + 1);
        self.asked(ids()).drain_within(time).agent(&["HELLO 2.0 16380 fragmentation"]).wakes(SETTLE, &[]);
        for id in ids() {
            self.long_ack(id, size);
        }
        let mut sent = Vec::new();
        loop {
            sent.extend(self.transmit());
            if self.connection.state() != State::Closing {
                return sent;
            }
            self.now = self.connection.poll_timeout().expect("an end");
            let timeout = self.connection.handle_timeout(self.now);
            assert!(timeout.is_none_or(|timeout| timeout == Timeout::Linger), "{timeout:?}");
        }
    }
}

#[test]
fn a_drain_without_work_ends_after_a_second_in_which_a_notify_could_come() {
    Transcript::running(Config::new())
        .drain()
        .agent(&[])
        .wakes(SECOND, &[Timeout::Quiet])
        .agent(&["DISCONNECT 0"])
        .state(State::Lingering);
    Transcript::new(Config::new())
        .drain()
        .agent(&[])
        .wakes(SECOND, &[Timeout::Quiet])
        .agent(&["DISCONNECT 0"])
        .state(State::Lingering);
}

/// Behind it in the same write: without pipelining HAProxy then has no moment to send another NOTIFY.
#[test]
fn the_disconnect_is_right_behind_the_last_ack() {
    Transcript::running(Config::new())
        .asked([1, 3])
        .drain()
        .agent(&[])
        .state(State::Draining)
        .ack(3, 1)
        .agent(&["ACK 3/1"])
        .state(State::Draining)
        .ack(1, 1)
        .agent(&["ACK 1/1", "DISCONNECT 0"])
        .state(State::Lingering);
}

#[test]
fn the_last_ack_and_the_disconnect_are_one_write() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).drain().long_ack(1, 16_000);
    let sent = transcript.connection.poll_transmit(transcript.now).len();
    assert_eq!(sent, 16_000 + 41, "with the DISCONNECT");
    transcript.agent(&["ACK 1/1 of 16000 bytes", "DISCONNECT 0"]);
}

#[test]
fn an_ack_written_in_place_takes_the_disconnect_with_it_too() {
    let mut transcript = Transcript::running(Config::new());
    let ticket = transcript.asked([1]).drain().ticket(1, 1);
    transcript.connection.ack_with(ticket, |ack| ack.set_var(Scope::Session, "a", 1).map(drop)).unwrap();
    transcript.agent(&["ACK 1/1 sess.a=Int32(1)", "DISCONNECT 0"]);
}

#[test]
fn an_ack_that_fails_takes_no_disconnect_with_it() {
    let mut transcript = Transcript::running(Config::new());
    let ticket = transcript.asked([1]).drain().ticket(1, 1);
    let result = transcript.connection.ack_with(ticket, |_| Err(EncodeError::EmptyMessageName));
    transcript.agent(&[]).state(State::Draining);
    transcript.connection.ack(result.unwrap_err().into_ticket(), &Actions::new()).unwrap();
    transcript.agent(&["ACK 1/1", "DISCONNECT 0"]);
}

#[test]
fn a_notify_that_comes_during_a_drain_is_answered() {
    Transcript::running(Config::new())
        .asked([1])
        .drain()
        .asked([3])
        .ack(1, 1)
        .agent(&["ACK 1/1"])
        .ack(3, 1)
        .agent(&["ACK 3/1", "DISCONNECT 0"]);
}

#[test]
fn a_notify_that_comes_while_settling_is_answered_and_does_not_end_it() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1]).drain().agent(&["HELLO 2.0 16380 fragmentation"]);
    transcript.ack(1, 1).agent(&["ACK 1/1"]).after(SETTLE / 2).asked([3]);
    transcript.wakes(SETTLE / 2, &[]).state(State::Draining);
    transcript.ack(3, 1).agent(&["ACK 3/1", "DISCONNECT 0"]);
}

#[test]
fn a_second_drain_changes_nothing() {
    let mut transcript = Transcript::running(Config::new());
    transcript.asked([1]).drain().after(DRAIN / 2).drain().agent(&[]);
    transcript.wakes(DRAIN / 2, &[Timeout::Drain]).ack(1, 1).drain();
    transcript.agent(&["ACK 1/1", "DISCONNECT 0"]);
    let mut settling = Transcript::mux(Config::new());
    settling.asked([1]).drain().agent(&["HELLO 2.0 16380 fragmentation"]).drain().agent(&[]);
    settling.state(State::Settling).wakes(SETTLE, &[]).state(State::Draining);
}

#[test]
fn after_the_disconnect_no_input_is_taken() {
    let mut transcript = Transcript::running(Config::new());
    transcript.asked([1]).drain().ack(1, 1).agent(&["ACK 1/1", "DISCONNECT 0"]);
    transcript.haproxy(&notify(3, 1)[..9]).events(&[]).agent(&[]).closed();
}

#[test]
fn a_drain_ends_after_a_second_when_the_last_notify_comes_again_and_is_given_up() {
    Transcript::running(Config::new())
        .asked([1])
        .drain()
        .haproxy(&frame(FrameType::NOTIFY, FIN | ABORT, id(1, 1), b""))
        .events(&["GIVEN UP 1/1"])
        .agent(&[])
        .wakes(SECOND, &[Timeout::Quiet])
        .agent(&["DISCONNECT 0"])
        .state(State::Lingering);
}

#[test]
fn a_drain_ends_after_a_second_when_the_last_notify_comes_again_in_fragments_and_is_given_up() {
    Transcript::running(Config::new())
        .asked([1])
        .drain()
        .haproxy(&frame(FrameType::NOTIFY, 0, id(1, 1), b"\x01"))
        .events(&["GIVEN UP 1/1"])
        .agent(&[])
        .haproxy(&frame(FrameType::UNSET, FIN | ABORT, id(1, 1), b""))
        .events(&[])
        .wakes(SECOND, &[Timeout::Quiet])
        .agent(&["DISCONNECT 0"]);
}

#[test]
fn a_drain_ends_when_the_last_notify_comes_again_and_is_too_big() {
    Transcript::running(Config::new().fragments(10, 10))
        .asked([1])
        .drain()
        .haproxy(&frame(FrameType::NOTIFY, 0, id(1, 1), b"\x01m\x01\0\x09"))
        .events(&["GIVEN UP 1/1"])
        .haproxy(&frame(FrameType::UNSET, FIN, id(1, 1), b""))
        .events(&["MALFORMED 1/1: the fragments of a NOTIFY are more than allowed (at byte 0 of the frame)"])
        .ack(1, 1)
        .agent(&["ACK 1/1", "DISCONNECT 0"]);
}

#[test]
fn haproxys_disconnect_is_answered_with_status_0() {
    for status in [0, 2, 10, 99, 4711] {
        let mut transcript = Transcript::running(Config::new());
        transcript.asked([1]).haproxy(&haproxy_disconnect(status)).haproxy(&notify(3, 1));
        let event = transcript.next_event();
        assert!(event.starts_with("DISCONNECTED"), "{event}");
        transcript.events(&[]).agent(&["DISCONNECT 0"]).state(State::Lingering);
    }
}

#[test]
fn haproxys_disconnect_keeps_its_status_and_text() {
    Transcript::running(Config::new())
        .haproxy(&haproxy_disconnect(2))
        .events(&["DISCONNECTED 2 a timeout occurred"]);
}

#[test]
fn disconnect_ends_at_once_with_its_reason() {
    for (status, why, text) in [
        (Status::UNKNOWN, "", "an unknown error occurred"),
        (Status::RESOURCE, "out of memory", "out of memory"),
    ] {
        let mut transcript = Transcript::running(Config::new());
        transcript.asked([1]).connection.disconnect(status, why);
        transcript.state(State::Closing).connection.disconnect(Status::IO, "again");
        let sent = transcript.connection.poll_transmit(transcript.now);
        let disconnect = Disconnect::parse(&sent[LENGTH_PREFIX..]).unwrap();
        assert_eq!((disconnect.status, disconnect.message().to_str()), (status, Ok(text)));
        let len = sent.len();
        transcript.connection.transmitted(len);
        transcript.agent(&[]).state(State::Lingering);
    }
}

#[test]
fn an_end_of_input_between_frames_is_normal() {
    Transcript::new(Config::new()).closed().state(State::Closed);
    Transcript::running(Config::new()).asked([1]).closed().state(State::Closed).agent(&[]).closed();
}

#[test]
fn an_end_of_input_in_a_frame_is_an_error() {
    for mut transcript in [Transcript::new(Config::new()), Transcript::running(Config::new())] {
        transcript.haproxy(&[0, 0]).events(&[]);
        let error = transcript.connection.handle_eof(&transcript.input).unwrap_err();
        assert_eq!(error, ProtocolError::UnexpectedEof);
        assert_eq!(error.status(), Status::IO);
        transcript.state(State::Closed).closed();
    }
}

#[test]
fn an_end_of_input_at_the_cap_is_normal() {
    let mut transcript = Transcript::running(Config::new().max_in_flight(1));
    transcript.haproxy(&[notify(1, 1), notify(3, 1)].concat()).events(&["NOTIFY 1/1"]).closed();
}

#[test]
fn a_notify_that_was_left_in_the_input_at_the_cap_is_answered_before_the_disconnect() {
    Transcript::running(Config::new().max_in_flight(1))
        .haproxy(&[notify(1, 1), notify(3, 1)].concat())
        .events(&["NOTIFY 1/1"])
        .drain()
        .ack(1, 1)
        .agent(&["ACK 1/1"])
        .events(&["NOTIFY 3/1"])
        .ack(3, 1)
        .agent(&["ACK 3/1", "DISCONNECT 0"]);
}

/// The input can hold what is no NOTIFY.
#[test]
fn a_drain_ends_when_nothing_that_was_left_in_the_input_needs_an_answer() {
    Transcript::running(Config::new().max_in_flight(1))
        .haproxy(&[notify(1, 1), frame(FrameType(104), FIN, id(0, 0), b"")].concat())
        .events(&["NOTIFY 1/1"])
        .drain()
        .ack(1, 1)
        .agent(&["ACK 1/1"])
        .events(&[])
        .agent(&["DISCONNECT 0"]);
}

#[test]
fn a_notify_of_which_a_part_has_come_is_answered_before_the_disconnect() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&frame(FrameType::NOTIFY, 0, id(1, 1), b"\x01m")).events(&[]).drain();
    transcript.wakes(SECOND, &[Timeout::Quiet]).agent(&[]).state(State::Draining);
    transcript
        .haproxy(&frame(FrameType::UNSET, FIN, id(1, 1), b"\0"))
        .events(&["NOTIFY 1/1"])
        .ack(1, 1)
        .agent(&["ACK 1/1", "DISCONNECT 0"]);
}

#[test]
fn a_notify_whose_rest_never_comes_ends_at_the_deadline() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&frame(FrameType::NOTIFY, 0, id(1, 1), b"\x01m")).events(&[]).drain();
    transcript.wakes(SECOND, &[Timeout::Quiet]).wakes(DRAIN - SECOND, &[Timeout::Drain]);
    transcript.wakes(SECOND, &[Timeout::Linger]).state(State::Closed);
}

/// Each puts off the second of quiet, and each is answered.
#[test]
fn a_haproxy_that_keeps_asking_cannot_put_off_the_deadline() {
    let mut transcript = Transcript::connected(Config::new(), "pipelining,async");
    let deadline = transcript.now + DRAIN;
    transcript.asked([0]).drain();
    for stream_id in 1.. {
        transcript.asked([stream_id]).ack(stream_id - 1, 1);
        transcript.agent(&[&format!("ACK {}/1", stream_id - 1)]);
        let next = transcript.now + SECOND / 2;
        if next >= deadline {
            break;
        }
        transcript.after(SECOND / 2);
    }
    transcript.wakes(SECOND / 2, &[Timeout::Drain]);
}

/// Wire facts 2.3: HAProxy from 3.1 honours it.
#[test]
fn haproxy_from_3_1_is_asked_to_send_one_notify_at_a_time_by_a_second_hello() {
    let mut transcript = Transcript::new(Config::new());
    transcript.haproxy(&hello("2.0", 1000, "pipelining", b"")).haproxy(&notify(1, 1));
    transcript.events(&["CONNECTED 1000 pipelining", "NOTIFY 1/1"]);
    transcript.agent(&["HELLO 2.0 1000 pipelining,fragmentation"]);
    transcript.connection.stop_pipelining();
    transcript.agent(&["HELLO 2.0 1000 fragmentation"]).state(State::Running).in_flight(1);
    assert_eq!(transcript.connection.negotiated().unwrap().capabilities, Capabilities::NONE);
    transcript.connection.stop_pipelining();
    // A drain need not ask again, and lets it have the time to read that.
    transcript.agent(&[]).drain().agent(&[]).state(State::Settling).wakes(SETTLE, &[]);
    transcript.ack(1, 1).agent(&["ACK 1/1", "DISCONNECT 0"]);
}

#[test]
fn a_second_hello_is_not_sent_where_it_changes_nothing() {
    // Up to 3.0, without pipelining, and after the end.
    for capabilities in ["pipelining,async", "async", ""] {
        let mut transcript = Transcript::connected(Config::new(), capabilities);
        transcript.connection.stop_pipelining();
        transcript.agent(&[]);
    }
    let mut ended = Transcript::mux(Config::new());
    ended.connection.disconnect(Status::NORMAL, "");
    ended.connection.stop_pipelining();
    ended.agent(&["DISCONNECT 0"]);
}

#[test]
fn before_the_hello_pipelining_is_not_agreed_on_any_more() {
    let mut transcript = Transcript::new(Config::new());
    transcript.connection.stop_pipelining();
    transcript
        .haproxy(&hello("2.0", 16_380, "pipelining", b""))
        .events(&["CONNECTED 16380 "])
        .agent(&["HELLO 2.0 16380 fragmentation"]);
}

/// The next NOTIFY comes after the ACK at the earliest.
#[test]
fn a_drain_of_a_haproxy_without_pipelining_needs_no_time_to_settle() {
    let mut transcript = Transcript::connected(Config::new(), "");
    transcript.asked([1]).drain().state(State::Draining);
    transcript.ack(1, 1).agent(&["ACK 1/1", "DISCONNECT 0"]);
}

/// A frame of 16 KiB every half second, as HAProxy asks nothing meanwhile, which would show that it has read.
#[test]
fn the_longest_answers_to_20_notifies_all_leave_before_the_end() {
    let mut transcript = Transcript::mux(Config::new());
    let sent = transcript.leave_in_a_drain(16_300, DRAIN);
    assert_eq!((sent.len(), sent.last().unwrap().as_str()), (21, "DISCONNECT 0"));
    transcript.state(State::Lingering);
}

#[test]
fn a_drain_ends_a_second_after_its_deadline_even_if_haproxy_has_to_read_before_it_is_sent_more() {
    let mut transcript = Transcript::mux(Config::new());
    let deadline = transcript.now + SECOND;
    let sent = transcript.leave_in_a_drain(16_300, SECOND);
    assert!(sent.len() < 20 && sent.iter().all(|frame| frame.starts_with("ACK")), "{sent:?}");
    transcript.state(State::Closed);
    assert_eq!(transcript.now, deadline + SECOND);
}

/// HAProxy's buffer takes 16,383 bytes, and 64 are kept for the DISCONNECT.
#[test]
fn an_ack_that_leaves_no_capacity_for_the_disconnect_does_not_end_a_drain() {
    let mut takes = Transcript::mux(Config::new().pipelining(false));
    takes.asked([1]).drain().long_ack(1, 16_319).agent(&["ACK 1/1 of 16319 bytes", "DISCONNECT 0"]);
    let mut leaves = Transcript::mux(Config::new().pipelining(false));
    leaves.asked([1]).drain().long_ack(1, 16_320).agent(&["ACK 1/1 of 16320 bytes"]).state(State::Draining);
    // The next one does.
    leaves.asked([3]).ack(3, 1).agent(&["ACK 3/1", "DISCONNECT 0"]);
}

#[test]
fn a_drain_after_such_an_ack_ends_after_a_second_without_a_notify() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).drain().long_ack(1, 16_383).agent(&["ACK 1/1 of 16383 bytes"]);
    transcript.wakes(SECOND, &[Timeout::Quiet]).state(State::Closing).agent(&[]);
    transcript.wakes(SILENCE, &[]).agent(&["DISCONNECT 0"]);
}

#[test]
fn answers_do_not_put_off_the_end_of_settling() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1, 3]).drain().agent(&["HELLO 2.0 16380 fragmentation"]);
    transcript.after(SETTLE / 2).ack(1, 1).agent(&["ACK 1/1"]);
    transcript.wakes(SETTLE / 2, &[]).state(State::Draining);
}

#[test]
fn a_connection_that_settles_is_not_quiet_before_haproxy_was_told() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.drain().wakes(SECOND, &[Timeout::Quiet]).state(State::Settling);
    transcript.agent(&["HELLO 2.0 16380 fragmentation"]).wakes(SETTLE, &[]).state(State::Draining);
    transcript.wakes(SECOND, &[Timeout::Quiet]).agent(&["DISCONNECT 0"]);
}

#[test]
fn a_quiet_connection_is_not_closed_at_once_if_a_part_of_a_notify_has_come() {
    let mut transcript = Transcript::running(Config::new());
    transcript.haproxy(&frame(FrameType::NOTIFY, 0, id(1, 1), b"\x01m")).events(&[]);
    transcript.wakes(SECOND, &[Timeout::Quiet]).drain().state(State::Draining).agent(&[]);
}

#[test]
fn the_last_ack_does_not_end_a_drain_if_a_part_of_another_notify_has_come() {
    Transcript::running(Config::new())
        .asked([1])
        .haproxy(&frame(FrameType::NOTIFY, 0, id(3, 1), b"\x01m"))
        .events(&[])
        .drain()
        .ack(1, 1)
        .agent(&["ACK 1/1"])
        .haproxy(&frame(FrameType::UNSET, FIN, id(3, 1), b"\0"))
        .events(&["NOTIFY 3/1"])
        .ack(3, 1)
        .agent(&["ACK 3/1", "DISCONNECT 0"]);
}
