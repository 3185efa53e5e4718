//! HAProxy from 3.1 is asked for one NOTIFY at a time before its buffer could fill up.

use super::flow::{GRACE, HELLO, UNDER_WAY, acks, ids};
use super::*;

#[test]
fn a_window_of_819_bytes_each_leaves_at_once() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(20));
    for id in ids(20) {
        transcript.long_ack(id, 819);
    }
    assert_eq!(transcript.connection.poll_transmit(transcript.now).len(), 20 * 819);
    assert_eq!(transcript.transmit(), acks(ids(20), 819));
}

/// HAProxy's buffer takes 16,383 bytes: 20 answers of 409 that are unread, 23 bytes, and 20 answers of 409.
#[test]
fn pipelining_ends_once_a_window_of_the_longest_answers_does_not_fit_behind_what_is_unread() {
    for (last, capabilities) in [(23, Capabilities::PIPELINING), (24, Capabilities::NONE)] {
        let mut transcript = Transcript::mux(Config::new());
        transcript.asked(ids(21));
        for id in ids(20) {
            transcript.long_ack(id, 409);
        }
        transcript.long_ack(41, last).transmit();
        assert_eq!(transcript.connection.negotiated().unwrap().capabilities, capabilities, "{last}");
    }
}

#[test]
fn pipelining_ends_while_all_that_wait_can_still_be_answered() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(20));
    for id in ids(20) {
        transcript.long_ack(id, 400);
    }
    assert_eq!(transcript.transmit(), acks(ids(20), 400));
    transcript.asked(ids(40).skip(20)).long_ack(41, 400).agent(&["ACK 41/1 of 400 bytes", HELLO]);
    for id in ids(40).skip(21) {
        transcript.long_ack(id, 400);
    }
    assert_eq!(transcript.transmit(), acks(ids(40).skip(21), 400), "without a pause");
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
fn once_haproxy_has_read_that_it_is_to_send_one_at_a_time_a_notify_stands_for_the_end_of_those_before() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1]).connection.stop_pipelining();
    transcript.agent(&[HELLO]).connection.input_drained();
    transcript.after(UNDER_WAY).connection.input_drained();
    // These may have been sent before it has read that.
    transcript.asked([3]).after(GRACE).asked([5]).in_flight(3).connection.input_drained();
    transcript.haproxy(&notify(7, 1));
    transcript.events(&["GIVEN UP 5/1", "GIVEN UP 3/1", "GIVEN UP 1/1", "NOTIFY 7/1"]);
}

#[test]
fn notifies_from_before_haproxy_sends_one_at_a_time_do_not_count() {
    let mut transcript = Transcript::mux(Config::new());
    // It is idle once, so that HAProxy may send more than one at a time.
    transcript.asked_and_answered([21, 23]).transmit();
    transcript.asked([1]).connection.stop_pipelining();
    transcript.agent(&[HELLO]).connection.input_drained();
    transcript.after(UNDER_WAY).connection.input_drained();
    transcript.long_ack(1, 15_000).agent(&["ACK 1/1 of 15000 bytes"]).connection.input_drained();
    // After the last of them the HELLO was read, but not the ACK.
    transcript.asked_and_answered([3, 5, 7]).after(GRACE).asked_and_answered([9]).connection.input_drained();
    transcript.asked([11]).long_ack(11, 15_000).agent(&[]);
}
