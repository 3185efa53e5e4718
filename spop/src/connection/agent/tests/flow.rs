//! HAProxy from 3.1 must never find its whole buffer full of what we sent (wire pitfall P1).

use super::*;

pub(super) const HELLO: &str = "HELLO 2.0 16380 fragmentation";
/// How long HAProxy has to read, once it is seen running: the default.
pub(super) const GRACE: Duration = Duration::from_millis(10);
/// How long it has if nothing is seen of it.
const SILENCE: Duration = Duration::from_millis(500);
/// What HAProxy sends that much later than bytes to it were sent, it sends after they have arrived.
pub(super) const UNDER_WAY: Duration = Duration::from_millis(5);

/// The ids of HAProxy's first `count` NOTIFYs.
pub(super) fn ids(count: u64) -> impl Iterator<Item = u64> + Clone {
    (0..count).map(|index| 2 * index + 1)
}

pub(super) fn acks(ids: impl Iterator<Item = u64>, size: usize) -> Vec<String> {
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

/// HAProxy sends one request at a time, and was sent an answer of 16,000 bytes.
fn full_without_pipelining() -> Transcript {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    transcript.asked([1]).long_ack(1, 16_000).agent(&["ACK 1/1 of 16000 bytes"]);
    transcript
}

impl Transcript {
    /// HAProxy was seen running after `moment` on another connection.
    fn ran_after(&mut self, moment: Instant) -> &mut Self {
        self.connection.ran_after(moment, self.now);
        self
    }

    /// Each in turn, without actions.
    #[track_caller]
    pub(super) fn asked_and_answered(&mut self, ids: impl IntoIterator<Item = u64>) -> &mut Self {
        for id in ids {
            self.asked([id]).ack(id, 1).agent(&[&format!("ACK {id}/1")]);
        }
        self
    }
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

/// HAProxy can send as many before it reads.
#[test]
fn more_than_three_windows_of_notifies_after_all_input_was_handled_are_evidence() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000).connection.input_drained();
    transcript.asked(ids(62).skip(2));
    assert_was_not_read(&mut transcript);
    transcript.asked([201]);
    assert_was_read(&mut transcript);
}

#[test]
fn more_than_three_notifies_are_evidence_without_pipelining() {
    for (notifies, sent) in [(3, &[][..]), (4, &["ACK 101/1 of 16000 bytes"][..])] {
        let mut transcript = full_without_pipelining();
        transcript.connection.input_drained();
        transcript.asked_and_answered(ids(notifies).skip(1));
        transcript.asked([101]).long_ack(101, 16_000).agent(sent);
    }
}

/// It may have sent those that overlap in one go.
#[test]
fn a_notify_before_the_answer_to_another_starts_the_count_anew() {
    for (notifies, sent) in [(3, &[][..]), (4, &["ACK 101/1 of 16000 bytes"][..])] {
        let mut transcript = full_without_pipelining();
        transcript.connection.input_drained();
        transcript.asked_and_answered([3]).asked([5]).haproxy(&notify(7, 1));
        // The first that counts.
        transcript.events(&["GIVEN UP 5/1", "NOTIFY 7/1"]).ack(7, 1).agent(&["ACK 7/1"]);
        transcript.asked_and_answered(ids(notifies + 2).skip(4));
        transcript.asked([101]).long_ack(101, 16_000).agent(sent);
    }
}

#[test]
fn notifies_that_lay_in_our_socket_do_not_count() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000);
    assert_was_not_read(&mut transcript);
    transcript.asked(ids(63).skip(2)).after(GRACE * 2);
    assert_was_not_read(&mut transcript);
    transcript.wakes(SILENCE - GRACE * 2, &[]);
    assert_was_read(&mut transcript);
}

#[test]
fn notifies_that_lay_in_our_socket_do_not_count_without_pipelining() {
    let mut transcript = full_without_pipelining();
    transcript.asked_and_answered(ids(6).skip(1)).asked([101]).long_ack(101, 16_000).agent(&[]);
}

#[test]
fn notifies_count_for_all_that_waits_for_evidence() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(4)).long_ack(1, 8000).agent(&[HELLO, "ACK 1/1 of 8000 bytes"]);
    transcript.connection.input_drained();
    transcript.long_ack(3, 8000).agent(&["ACK 3/1 of 8000 bytes"]).connection.input_drained();
    // One of them ends the wait for the first, and the next one that for the second.
    transcript.asked(ids(66).skip(4)).long_ack(5, 8000).long_ack(7, 8000);
    transcript.agent(&["ACK 5/1 of 8000 bytes", "ACK 7/1 of 8000 bytes"]);
}

#[test]
fn input_that_was_handled_before_the_bytes_were_sent_is_no_evidence() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1, 3]).connection.input_drained();
    transcript.long_ack(1, 16_000).agent(&[HELLO, "ACK 1/1 of 16000 bytes"]).long_ack(3, 16_000);
    transcript.asked(ids(63).skip(2)).agent(&[]);
    transcript.after(GRACE * 2).agent(&[]);
}

#[test]
fn a_notify_that_was_sent_after_the_bytes_had_arrived_is_evidence_after_the_grace() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000).connection.input_drained();
    assert_was_not_read(&mut transcript);
    transcript.after(UNDER_WAY).connection.input_drained();
    transcript.asked([5]);
    assert_was_not_read(&mut transcript);
    transcript.wakes(GRACE, &[]);
    assert_was_read(&mut transcript);
}

/// It came after that moment, but may have been sent before.
#[test]
fn a_notify_that_may_have_crossed_the_bytes_is_no_evidence() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000).connection.input_drained();
    transcript.after(UNDER_WAY - NANOSECOND).connection.input_drained();
    transcript.after(GRACE).asked([5]).after(GRACE * 2);
    assert_was_not_read(&mut transcript);
}

#[test]
fn the_grace_counts_from_the_first_such_notify() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000).connection.input_drained();
    transcript.after(UNDER_WAY).connection.input_drained();
    transcript.asked([5]).after(GRACE / 2).asked([7]).after(GRACE / 2 - NANOSECOND);
    assert_was_not_read(&mut transcript);
    transcript.wakes(NANOSECOND, &[]);
    assert_was_read(&mut transcript);
}

#[test]
fn fifty_graces_of_silence_are_evidence() {
    for grace in [GRACE, GRACE / 5] {
        let mut transcript = full_of(Transcript::mux(Config::new().read_grace(grace)));
        transcript.after(SECOND / 4).long_ack(3, 16_000);
        // They count from when there was something that could not be sent.
        assert_was_not_read(&mut transcript);
        transcript.wakes(grace * 50, &[]);
        assert_was_read(&mut transcript);
    }
}

#[test]
fn evidence_is_for_what_was_sent_before_it() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(4)).long_ack(1, 6000).agent(&[HELLO, "ACK 1/1 of 6000 bytes"]);
    transcript.connection.input_drained();
    transcript.long_ack(3, 6000).agent(&["ACK 3/1 of 6000 bytes"]);
    transcript.after(UNDER_WAY).connection.input_drained();
    transcript.asked([9]).after(GRACE);
    // The first one was read, the second one need not be: there is capacity for one more.
    transcript.long_ack(5, 6000).long_ack(7, 6000).agent(&["ACK 5/1 of 6000 bytes"]);
}

#[test]
fn evidence_for_what_was_sent_last_is_evidence_for_all_before() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(4)).long_ack(1, 8000).agent(&[HELLO, "ACK 1/1 of 8000 bytes"]);
    transcript.connection.input_drained();
    transcript.long_ack(3, 8000).agent(&["ACK 3/1 of 8000 bytes"]).connection.input_drained();
    transcript.after(UNDER_WAY).connection.input_drained();
    transcript.asked([9]).after(GRACE).long_ack(5, 8000).long_ack(7, 8000);
    transcript.agent(&["ACK 5/1 of 8000 bytes", "ACK 7/1 of 8000 bytes"]);
}

/// Or a connection that never rests would never have evidence.
#[test]
fn what_is_sent_later_takes_nothing_from_the_evidence_that_waits() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked(ids(4)).long_ack(1, 4000).agent(&[HELLO, "ACK 1/1 of 4000 bytes"]);
    transcript.connection.input_drained();
    transcript.long_ack(3, 4000).agent(&["ACK 3/1 of 4000 bytes"]).connection.input_drained();
    transcript.after(UNDER_WAY).long_ack(5, 4000).agent(&["ACK 5/1 of 4000 bytes"]);
    transcript.connection.input_drained();
    // The first two were read, the third one need not be.
    transcript.asked([9]).after(GRACE).long_ack(7, 10_000).agent(&["ACK 7/1 of 10000 bytes"]);
    transcript.long_ack(9, 3000).agent(&[]);
}

/// HAProxy keeps what it has read of it in its buffer.
#[test]
fn no_evidence_is_taken_for_a_part_of_a_frame() {
    for pipelining in [true, false] {
        let mut transcript = Transcript::mux(Config::new().pipelining(pipelining));
        transcript.asked([1]).long_ack(1, 16_000);
        let part = transcript.connection.poll_transmit(transcript.now).len();
        transcript.connection.transmitted(part - 1);
        transcript.connection.input_drained();
        transcript.after(UNDER_WAY).connection.input_drained();
        transcript.asked([3]).after(GRACE);
        assert_eq!(transcript.connection.poll_transmit(transcript.now).len(), 1);
        transcript.connection.transmitted(1);
        transcript.long_ack(3, 16_000).agent(&[]);
    }
}

#[test]
fn haproxy_seen_running_on_another_connection_is_evidence_after_the_grace() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000).connection.input_drained();
    assert_was_not_read(&mut transcript);
    let arrived = transcript.now + UNDER_WAY;
    transcript.after(GRACE).ran_after(arrived);
    assert_was_not_read(&mut transcript);
    transcript.wakes(GRACE, &[]);
    assert_was_read(&mut transcript);
}

#[test]
fn haproxy_seen_running_elsewhere_before_the_bytes_had_arrived_is_no_evidence() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000).connection.input_drained();
    let before = Instant::from_origin((transcript.now + UNDER_WAY).since_origin() - NANOSECOND);
    transcript.after(GRACE).ran_after(before).after(GRACE * 2);
    assert_was_not_read(&mut transcript);
}

/// When our socket was last empty: the NOTIFY itself may be older than the moment it is handled.
#[test]
fn a_notify_shows_haproxy_running_after_the_moment_when_all_input_was_handled() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1]);
    assert_eq!(transcript.connection.seen_running_after(), None, "it may have lain there");
    let drained = transcript.now;
    transcript.connection.input_drained();
    assert_eq!(transcript.connection.seen_running_after(), None, "it may be stopped");
    transcript.after(GRACE).asked([3]);
    assert_eq!(transcript.connection.seen_running_after(), Some(drained));
}

#[test]
fn a_notify_that_waited_in_the_input_shows_nothing() {
    let mut transcript = Transcript::mux(Config::new().max_in_flight(1));
    transcript.haproxy(&[notify(1, 1), notify(3, 1)].concat()).events(&["NOTIFY 1/1"]);
    transcript.connection.input_drained();
    transcript.ack(1, 1).events(&["NOTIFY 3/1"]);
    assert_eq!(transcript.connection.seen_running_after(), None);
}

#[test]
fn who_waits_for_evidence_looks_for_some_from_elsewhere_every_grace() {
    let mut transcript = full();
    transcript.long_ack(3, 16_000);
    for _ in 0..3 {
        assert_was_not_read(&mut transcript);
        assert_eq!(transcript.connection.poll_timeout(), Some(transcript.now + GRACE));
        transcript.after(GRACE);
    }
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

/// The answer to the one before was read, or HAProxy is just giving that request up.
#[test]
fn without_pipelining_no_notify_can_have_crossed_the_answer() {
    let mut transcript = full_without_pipelining();
    transcript.asked([3]).long_ack(3, 16_000).agent(&[]);
    transcript.wakes(GRACE, &[]).agent(&["ACK 3/1 of 16000 bytes"]);
}

#[test]
fn without_pipelining_each_notify_is_evidence_for_all_answers_before_it() {
    let mut transcript = Transcript::mux(Config::new().pipelining(false));
    for (id, size) in [(1, 2000), (3, 2000), (5, 8000)] {
        transcript.asked([id]).long_ack(id, size).agent(&[&format!("ACK {id}/1 of {size} bytes")]);
    }
    transcript.asked([7]).long_ack(7, 10_000).agent(&[]);
    transcript.wakes(GRACE, &[]).agent(&["ACK 7/1 of 10000 bytes"]);
}

/// A NOTIFY between the two would be lost: HAProxy's buffer takes 16,383 bytes, and the DISCONNECT has 41.
#[test]
fn a_disconnect_stays_with_the_ack_before_it() {
    for (size, waits) in [(6342, false), (6343, true)] {
        let mut transcript = Transcript::mux(Config::new().pipelining(false));
        transcript.asked([1]).long_ack(1, 10_000).agent(&["ACK 1/1 of 10000 bytes"]);
        transcript.asked([3]).drain().long_ack(3, size);
        if waits {
            transcript.agent(&[]).wakes(GRACE, &[]);
        }
        assert_eq!(transcript.connection.poll_transmit(transcript.now).len(), size + 41);
        transcript.agent(&[&format!("ACK 3/1 of {size} bytes"), "DISCONNECT 0"]);
    }
}

#[test]
fn an_ack_before_the_one_that_stays_with_the_disconnect_does_not_wait() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1, 3, 5]).drain().agent(&[HELLO]).wakes(SETTLE, &[]);
    transcript.long_ack(1, 10_000).agent(&["ACK 1/1 of 10000 bytes"]);
    transcript.long_ack(3, 3000).long_ack(5, 3300).agent(&["ACK 3/1 of 3000 bytes"]);
    transcript.wakes(SILENCE, &[]).agent(&["ACK 5/1 of 3300 bytes", "DISCONNECT 0"]);
}

/// HAProxy lets one wait on a connection that was never idle.
#[test]
fn the_second_notify_on_a_connection_is_evidence_for_the_first_answer_after_the_grace() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1]).long_ack(1, 15_000).agent(&[HELLO, "ACK 1/1 of 15000 bytes"]);
    transcript.asked([3]).long_ack(3, 15_000).agent(&[]);
    transcript.after(GRACE).agent(&["ACK 3/1 of 15000 bytes"]);
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
