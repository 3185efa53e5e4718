//! HAProxy from 3.1 must never find its whole buffer full of what we sent (wire pitfall P1).

use super::*;

const HELLO: &str = "HELLO 2.0 16380 fragmentation";
/// How long HAProxy has to read, once it is seen running: the default.
const GRACE: Duration = Duration::from_millis(5);
/// How long it has if nothing is seen of it.
const SILENCE: Duration = Duration::from_millis(50);

/// The ids of HAProxy's first `count` NOTIFYs.
fn ids(count: u64) -> impl Iterator<Item = u64> + Clone {
    (0..count).map(|index| 2 * index + 1)
}

fn acks(ids: impl Iterator<Item = u64>, size: usize) -> Vec<String> {
    ids.map(|id| format!("ACK {id}/1 of {size} bytes")).collect()
}

/// HAProxy, with its default buffer, was sent an answer of 16,000 bytes; another one is to follow.
fn full() -> Transcript {
    full_of(Transcript::mux(Config::new()))
}

fn full_of(mut transcript: Transcript) -> Transcript {
    transcript.asked([1, 3]).long_ack(1, 16_000).agent(&[HELLO, "ACK 1/1 of 16000 bytes"]);
    transcript
}

/// The other one leaves now.
#[track_caller]
fn assert_was_read(transcript: &mut Transcript) {
    transcript.agent(&["ACK 3/1 of 16000 bytes"]);
}

/// It does not.
#[track_caller]
fn assert_was_not_read(transcript: &mut Transcript) {
    transcript.agent(&[]);
}

#[test]
fn a_window_of_819_bytes_each_leaves_at_once() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(20));
    for id in ids(20) {
        transcript.long_ack(id, 819);
    }
    assert_eq!(transcript.connection.poll_transmit(transcript.now).len(), 20 * 819);
    assert_eq!(transcript.transmit(), acks(ids(20), 819));
    assert_eq!(transcript.connection.negotiated().unwrap().capabilities, Capabilities::PIPELINING);
}

#[test]
fn an_answer_of_820_bytes_ends_pipelining_before_it_is_sent() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(3)).long_ack(1, 819);
    assert_eq!(transcript.connection.longest_ack(), 819);
    transcript.long_ack(3, 820);
    assert_eq!(transcript.connection.longest_ack(), 820);
    assert_eq!(transcript.connection.negotiated().unwrap().capabilities, Capabilities::NONE);
    transcript.long_ack(5, 820).agent(&[
        "ACK 1/1 of 819 bytes",
        HELLO,
        "ACK 3/1 of 820 bytes",
        "ACK 5/1 of 820 bytes",
    ]);
}

/// So that the server can say so in the first AGENT-HELLO of the next connection.
#[test]
fn long_answers_are_noticed_without_pipelining_too() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).long_ack(1, 820).agent(&["ACK 1/1 of 820 bytes"]);
    assert_eq!(transcript.connection.longest_ack(), 820);
}

#[test]
fn who_expects_long_answers_says_so_in_the_first_agent_hello() {
    for (longest, capabilities) in [(819, "pipelining"), (820, "")] {
        let mut transcript = Transcript::new(Config::new().longest_ack(longest));
        let connected = format!("CONNECTED 16380 {capabilities}");
        transcript.haproxy(&hello("2.0", 16_380, "pipelining", b"")).events(&[&connected]);
    }
}

#[test]
fn who_learns_that_answers_are_long_ends_pipelining_at_once() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.connection.expect_acks(819);
    transcript.agent(&[]);
    transcript.connection.expect_acks(820);
    transcript.agent(&[HELLO]);
}

/// HAProxy says what its buffer takes: 16,384 is only the default.
#[test]
fn a_tune_bufsize_of_4096_has_20_answers_of_204_bytes() {
    for (size, long) in [(204, false), (205, true)] {
        let mut transcript = Transcript::new(Config::new());
        transcript.haproxy(&hello("2.0", 4092, "pipelining", b"")).events(&["CONNECTED 4092 pipelining"]);
        transcript.transmit();
        transcript.asked(ids(20));
        for id in ids(20) {
            transcript.long_ack(id, size);
        }
        assert_eq!(transcript.connection.longest_ack(), size);
        if long {
            let sent = transcript.transmit();
            assert_eq!(sent[0], "HELLO 2.0 4092 fragmentation");
            assert_eq!(sent[1..], acks(ids(19), 205), "4095 bytes at most");
        } else {
            assert_eq!(transcript.transmit(), acks(ids(20), 204), "without a pause");
        }
    }
}

#[test]
fn an_agents_own_smaller_frames_do_not_make_haproxys_buffer_smaller() {
    let mut transcript = Transcript::mux(Config::new().max_frame_size(4092));
    transcript.asked(ids(20));
    for id in ids(20) {
        transcript.long_ack(id, 819);
    }
    assert_eq!(transcript.transmit(), acks(ids(20), 819));
}

#[test]
fn nothing_leaves_behind_a_full_buffer_without_evidence() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(20));
    for id in ids(20) {
        transcript.long_ack(id, 2000);
    }
    let sent = transcript.transmit();
    assert_eq!((sent[0].as_str(), &sent[1..]), (HELLO, &acks(ids(8), 2000)[..]));
    transcript.after(SILENCE - NANOSECOND).agent(&[]);
}

#[test]
fn a_part_is_what_was_not_to_be_sent_in_it_when_it_began() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(3)).ack(1, 1);
    let len = transcript.connection.poll_transmit(transcript.now).len();
    transcript.ack(3, 1);
    assert_eq!(transcript.connection.poll_transmit(transcript.now).len(), len);
    transcript.connection.transmitted(len);
    transcript.agent(&["ACK 3/1"]);
}

#[test]
fn the_notify_that_proves_the_hello_read_makes_the_whole_buffer_free() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).long_ack(1, 16_383).agent(&["ACK 1/1 of 16383 bytes"]);
}

/// It starts at most that many between two reads of a connection.
#[test]
fn twice_the_window_and_one_notify_after_all_input_was_handled_are_evidence() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000).connection.input_drained();
    transcript.asked((2..42).map(|index| 2 * index + 1));
    assert_was_not_read(&mut transcript);
    transcript.asked([101]);
    assert_was_read(&mut transcript);
}

#[test]
fn without_pipelining_three_notifies_are() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).long_ack(1, 16_000).agent(&["ACK 1/1 of 16000 bytes"]);
    transcript.connection.input_drained();
    transcript.asked([3]).haproxy(&notify(5, 1)).events(&["GIVEN UP 3/1", "NOTIFY 5/1"]);
    transcript.long_ack(5, 16_000).agent(&[]).asked([7]).agent(&[]);
    transcript.long_ack(7, 16_000).agent(&["ACK 7/1 of 16000 bytes"]);
}

#[test]
fn a_notify_after_all_input_was_handled_and_the_grace_is_evidence() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000).connection.input_drained();
    assert_was_not_read(&mut transcript);
    transcript.after(GRACE).asked([5]);
    assert_was_not_read(&mut transcript);
    transcript.wakes(GRACE, &[]);
    assert_was_read(&mut transcript);
}

#[test]
fn the_grace_counts_from_the_first_such_notify() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000).connection.input_drained();
    transcript.asked([5]).after(GRACE / 2).asked([7]).after(GRACE / 2 - NANOSECOND);
    assert_was_not_read(&mut transcript);
    transcript.wakes(NANOSECOND, &[]);
    assert_was_read(&mut transcript);
}

#[test]
fn ten_graces_of_silence_are_evidence() {
    for grace in [GRACE, GRACE * 4] {
        let mut transcript = full_of(Transcript::mux(Config::new().read_grace(grace)));
        transcript.after(SECOND / 2).long_ack(3, 16_000);
        // They count from when there was something that could not be sent.
        assert_was_not_read(&mut transcript);
        transcript.wakes(grace * 10, &[]);
        assert_was_read(&mut transcript);
    }
}

#[test]
fn notifies_that_lay_in_our_socket_are_no_evidence() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000);
    assert_was_not_read(&mut transcript);
    transcript.asked((2..60).map(|index| 2 * index + 1)).after(GRACE * 2);
    assert_was_not_read(&mut transcript);
    transcript.wakes(SILENCE - GRACE * 2, &[]);
    assert_was_read(&mut transcript);
}

#[test]
fn input_that_was_handled_before_the_bytes_were_sent_is_no_evidence() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1, 3]).connection.input_drained();
    transcript.long_ack(1, 16_000).agent(&[HELLO, "ACK 1/1 of 16000 bytes"]).long_ack(3, 16_000);
    transcript.asked((2..60).map(|index| 2 * index + 1)).agent(&[]);
    transcript.after(GRACE * 2).agent(&[]);
}

#[test]
fn evidence_is_for_what_was_sent_before_it() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(4)).long_ack(1, 6000).agent(&[HELLO, "ACK 1/1 of 6000 bytes"]);
    transcript.connection.input_drained();
    transcript.long_ack(3, 6000).agent(&["ACK 3/1 of 6000 bytes"]);
    transcript.asked([9]).after(GRACE);
    // The first one was read, the second one need not be: there is capacity for one more.
    transcript.long_ack(5, 6000).agent(&["ACK 5/1 of 6000 bytes"]);
    transcript.long_ack(7, 6000).agent(&[]);
}

#[test]
fn evidence_for_what_was_sent_last_is_evidence_for_all_before() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(4)).long_ack(1, 8000).agent(&[HELLO, "ACK 1/1 of 8000 bytes"]);
    transcript.connection.input_drained();
    transcript.long_ack(3, 8000).agent(&["ACK 3/1 of 8000 bytes"]).connection.input_drained();
    transcript.asked([9]).after(GRACE);
    transcript.long_ack(5, 8000).long_ack(7, 8000);
    transcript.agent(&["ACK 5/1 of 8000 bytes", "ACK 7/1 of 8000 bytes"]);
}

/// A NOTIFY of HAProxy's next round stands for the bytes of the one before.
#[test]
fn without_pipelining_a_long_answer_behind_a_long_one_leaves_a_grace_after_its_notify() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).long_ack(1, 10_000).agent(&["ACK 1/1 of 10000 bytes"]);
    transcript.connection.input_drained();
    transcript.after(SECOND / 10).asked([3]).long_ack(3, 10_000).agent(&[]);
    transcript.wakes(GRACE, &[]).agent(&["ACK 3/1 of 10000 bytes"]);
}

/// HAProxy gave up the requests before, or there could not be so many.
#[test]
fn answers_that_have_to_wait_end_pipelining_although_each_is_short() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(40));
    for id in ids(20) {
        transcript.long_ack(id, 819);
    }
    assert_eq!(transcript.transmit(), acks(ids(20), 819));
    for id in ids(40).skip(20) {
        transcript.long_ack(id, 819);
    }
    transcript.agent(&[]);
    assert_eq!(transcript.connection.negotiated().unwrap().capabilities, Capabilities::NONE);
    transcript.wakes(SILENCE, &[]);
    assert_eq!(transcript.transmit(), acks(ids(40).skip(20), 819));
    transcript.wakes(SILENCE, &[]).agent(&[HELLO]);
}

#[test]
fn a_disconnect_counts_as_something_to_read() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).long_ack(1, 16_350).connection.disconnect(Status::NORMAL, "");
    transcript.agent(&["ACK 1/1 of 16350 bytes"]).state(State::Closing);
    transcript.wakes(SILENCE, &[]).agent(&["DISCONNECT 0"]).state(State::Lingering);
}

/// Or a caller would be told again and again that it is time to send.
#[test]
fn a_disconnect_that_is_longer_than_haproxys_buffer_leaves_alone() {
    let mut transcript = Transcript::new(Config::new());
    transcript.haproxy(&hello("2.0", 256, "pipelining", b"")).events(&["CONNECTED 256 pipelining"]);
    transcript.transmit();
    transcript.asked([1]).long_ack(1, 250).connection.disconnect(Status::UNKNOWN, &"x".repeat(255));
    transcript.agent(&["HELLO 2.0 256 fragmentation"]);
    transcript.wakes(SILENCE, &[]).agent(&["ACK 1/1 of 250 bytes"]);
    transcript.wakes(SILENCE, &[]).agent(&["DISCONNECT 99"]).state(State::Lingering);
}

#[test]
fn a_given_up_answer_that_waited_for_evidence_waits_for_none_any_more() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).long_ack(1, 16_000).agent(&["ACK 1/1 of 16000 bytes"]);
    transcript.asked([3]).long_ack(3, 16_000).agent(&[]).asked([5]);
    assert_eq!(transcript.connection.poll_timeout(), Some(transcript.now + SECOND), "only the quiet");
}

#[test]
fn haproxy_up_to_3_0_gets_everything_at_once() {
    for capabilities in ["pipelining,async", "async"] {
        let mut transcript = Transcript::connected(Config::new(), capabilities);
        transcript.asked(ids(20));
        for id in ids(20) {
            transcript.long_ack(id, 16_000);
        }
        assert_eq!(transcript.transmit(), acks(ids(20), 16_000));
    }
}

/// HAProxy's buffer has 16,384 bytes.
#[test]
fn what_is_unread_is_a_byte_less_than_haproxys_buffer_at_most() {
    for (last, sent) in [(411, 21), (412, 20)] {
        let mut transcript = Transcript::mux(Config::new());
        transcript.asked(ids(21));
        for id in ids(19) {
            transcript.long_ack(id, 819);
        }
        transcript.long_ack(39, 411).long_ack(41, last);
        assert_eq!(transcript.transmit().len(), sent, "{} bytes", 19 * 819 + 411 + last);
    }
}
