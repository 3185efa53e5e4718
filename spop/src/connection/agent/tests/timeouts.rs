use super::*;

const MILLISECOND: Duration = Duration::from_millis(1);

#[test]
fn the_hello_has_5_seconds_by_default() {
    Transcript::new(Config::new())
        .wakes(SECOND, &[Timeout::Quiet])
        .wakes(SECOND * 4, &[Timeout::Hello])
        .agent(&["DISCONNECT 2"]);
}

#[test]
fn a_hello_that_comes_byte_by_byte_is_overdue_all_the_same() {
    let mut transcript = Transcript::new(Config::new());
    for byte in &hello("2.0", 16_380, "pipelining", b"")[..9] {
        transcript.haproxy(&[*byte]).events(&[]).after(SECOND / 2);
    }
    transcript.wakes(SECOND / 2, &[Timeout::Hello]).agent(&["DISCONNECT 2"]);
}

#[test]
fn once_the_hello_is_there_it_is_not_overdue() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.after(SECOND * 1000).state(State::Running);
    assert_eq!(transcript.connection.poll_timeout(), None, "by default a connection lives for ever");
}

#[test]
fn a_peer_has_10_seconds_by_default_to_take_what_is_sent() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1]).after(SECOND * 2).ack(1, 1);
    // It counts from when it was to be sent.
    assert!(!transcript.connection.poll_transmit(transcript.now).is_empty());
    transcript.after(SECOND * 9);
    assert!(!transcript.connection.poll_transmit(transcript.now).is_empty());
    transcript.wakes(SECOND, &[Timeout::Write]).state(State::Closed);
    assert_eq!(Timeout::Write.status(), Some(Status::TIMEOUT));
}

#[test]
fn each_byte_that_is_taken_gives_a_peer_its_time_again() {
    let mut transcript = Transcript::mux(Config::new().write_timeout(SECOND / 2));
    transcript.asked([1]).ack(1, 1);
    for _ in 0..5 {
        assert!(transcript.connection.poll_transmit(transcript.now).len() > 1);
        transcript.connection.transmitted(1);
        assert!(!transcript.connection.poll_transmit(transcript.now).is_empty());
        transcript.after(SECOND / 2 - MILLISECOND);
        transcript.connection.transmitted(0);
    }
    transcript.wakes(MILLISECOND, &[Timeout::Write]);
}

#[test]
fn nothing_is_overdue_while_nothing_is_to_be_sent() {
    let mut transcript = Transcript::mux(Config::new().write_timeout(SECOND / 2));
    transcript.asked([1]).ack(1, 1).agent(&["ACK 1/1"]).wakes(SECOND, &[Timeout::Quiet]);
    assert_eq!(transcript.connection.poll_timeout(), None);
}

fn idle() -> Transcript {
    Transcript::mux(Config::new().idle_timeout(Some(SECOND / 2)))
}

#[test]
fn idle_counts_from_the_last_frame() {
    let mut transcript = idle();
    transcript.after(SECOND / 4).haproxy(&frame(FrameType(104), FIN, id(0, 0), b"")).events(&[]);
    transcript.wakes(SECOND / 2, &[Timeout::Idle]).agent(&["DISCONNECT 0"]);
    assert_eq!(Timeout::Idle.status(), None, "that is nobody's fault");
}

#[test]
fn idle_counts_from_the_last_bytes_sent_if_that_is_later() {
    let mut transcript = idle();
    transcript.asked([1]).after(SECOND / 4).ack(1, 1).agent(&["ACK 1/1"]);
    transcript.wakes(SECOND / 2, &[Timeout::Idle]);
}

#[test]
fn idle_counts_from_the_last_frame_if_that_is_later() {
    let mut transcript = idle();
    transcript.asked([1]).ack(1, 1).agent(&["ACK 1/1"]).after(SECOND / 4);
    transcript.haproxy(&frame(FrameType(104), FIN, id(0, 0), b"")).events(&[]);
    transcript.wakes(SECOND / 2, &[Timeout::Idle]);
}

#[test]
fn a_peer_that_sends_a_byte_a_second_is_idle() {
    let mut transcript = Transcript::mux(Config::new().idle_timeout(Some(SECOND * 3)));
    for byte in &notify(1, 1)[..2] {
        transcript.after(SECOND).haproxy(&[*byte]).events(&[]).agent(&[]);
    }
    transcript.wakes(SECOND, &[Timeout::Idle]).agent(&["DISCONNECT 0"]);
}

#[test]
fn nobody_is_idle_with_a_notify_in_flight() {
    let mut transcript = idle();
    transcript.asked([1]).after(SECOND * 100).state(State::Running);
    // The ACK was written, and is about to be sent.
    transcript.ack(1, 1).agent(&["ACK 1/1"]).wakes(SECOND / 2, &[Timeout::Idle]);
}

#[test]
fn age_counts_from_the_start_whatever_is_in_flight() {
    let mut transcript = Transcript::running(Config::new().max_connection_age(Some(SECOND * 60)));
    for stream_id in 0..59 {
        transcript.after(SECOND).asked([stream_id]).ack(stream_id, 1);
        transcript.agent(&[&format!("ACK {stream_id}/1")]);
    }
    transcript.asked([100]).wakes(SECOND, &[]).state(State::Draining);
    transcript.ack(100, 1).agent(&["ACK 100/1", "DISCONNECT 0"]);
}

#[test]
fn age_counts_before_the_hello_too() {
    let config = Config::new().max_connection_age(Some(SECOND / 2)).hello_timeout(SECOND * 60);
    Transcript::new(config).wakes(SECOND / 2, &[]).wakes(SECOND, &[Timeout::Quiet]).agent(&["DISCONNECT 0"]);
}

/// An agent that stops has less time than a connection that is old.
#[test]
fn age_does_not_move_the_deadline_of_a_drain() {
    let mut transcript = Transcript::running(Config::new().max_connection_age(Some(SECOND / 2)));
    transcript.asked([1]).drain_within(SECOND * 3 / 4);
    transcript.wakes(SECOND * 3 / 4, &[Timeout::Drain]);
}

#[test]
fn the_drain_that_age_starts_has_10_seconds_by_default() {
    let mut transcript = Transcript::running(Config::new().max_connection_age(Some(SECOND / 2)));
    transcript.asked([1]).wakes(SECOND / 2, &[]).wakes(SECOND, &[Timeout::Quiet]);
    transcript.wakes(SECOND * 9, &[Timeout::Drain]);
}

#[test]
fn a_deadline_that_is_over_already_is_told_at_once() {
    let mut transcript = Transcript::running(Config::new());
    transcript.asked([1]).drain_until(Instant::default());
    assert!(transcript.connection.poll_timeout() <= Some(transcript.now));
    assert_eq!(transcript.connection.handle_timeout(transcript.now), Some(Timeout::Drain));
    transcript.wakes(SECOND, &[Timeout::Quiet, Timeout::Linger]).state(State::Closed);
}

#[test]
fn linger_counts_from_when_all_is_sent() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.connection.disconnect(Status::NORMAL, "");
    transcript.after(SECOND * 9 / 10).agent(&["DISCONNECT 0"]).haproxy(&notify(1, 1)).events(&[]);
    transcript.wakes(SECOND, &[Timeout::Linger]).state(State::Closed);
}

#[test]
fn quiet_is_told_once_and_again_after_the_next_frame() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.wakes(SECOND, &[Timeout::Quiet]);
    assert_eq!(transcript.connection.poll_timeout(), None);
    transcript.after(SECOND * 10).asked([1]).wakes(SECOND, &[Timeout::Quiet]);
    // Or after what is sent.
    transcript.ack(1, 1).agent(&["ACK 1/1"]).wakes(SECOND, &[Timeout::Quiet]);
}

#[test]
fn a_quiet_connection_keeps_no_memory_for_what_it_sends() {
    let mut transcript = Transcript::running(Config::new());
    transcript.asked(0..20);
    for stream_id in 0..20 {
        transcript.long_ack(stream_id, 16_000);
    }
    assert_eq!(transcript.transmit().len(), 20);
    assert!(transcript.connection.out.capacity() > 0);
    transcript.wakes(SECOND, &[Timeout::Quiet]);
    assert_eq!(transcript.connection.out.capacity(), 0);
}

#[test]
fn what_is_still_to_be_sent_outlives_the_quiet() {
    Transcript::mux(Config::new()).asked([1]).ack(1, 1).wakes(SECOND, &[Timeout::Quiet]).agent(&["ACK 1/1"]);
}

/// Of several that are over, the one that was over first comes first.
#[test]
fn a_caller_that_looks_late_is_told_all_in_their_order() {
    let mut transcript = Transcript::running(Config::new().idle_timeout(Some(SECOND * 5)));
    let late = transcript.now + SECOND * 6;
    transcript.now = late;
    for timeout in [Some(Timeout::Quiet), Some(Timeout::Idle), None] {
        assert_eq!(transcript.connection.handle_timeout(late), timeout);
    }
    // What starts then has its whole time.
    transcript.state(State::Closing).wakes(SECOND, &[Timeout::Linger]);
}

fn every_time(time: Duration) -> Config {
    Config::new()
        .hello_timeout(time)
        .idle_timeout(Some(time))
        .write_timeout(time)
        .max_connection_age(Some(time))
        .drain_timeout(time)
        .read_grace(time)
}

#[test]
fn no_time_is_too_long() {
    let mut transcript = Transcript::new(every_time(Duration::MAX));
    transcript.after(SECOND * 1000).state(State::Hello);
    transcript.haproxy(&hello("2.0", 16_380, "pipelining", b"")).events(&["CONNECTED 16380 pipelining"]);
    assert!(!transcript.connection.poll_transmit(transcript.now).is_empty());
    transcript.after(SECOND * 1000).agent(&["HELLO 2.0 16380 pipelining,fragmentation"]);
    transcript.asked([1, 3, 5]).long_ack(1, 16_000).long_ack(3, 16_000);
    assert_eq!(transcript.transmit().len(), 2, "the second HELLO and the first ACK");
    transcript.after(SECOND * 1000).agent(&[]).state(State::Running);
    transcript.drain_within(Duration::MAX);
    transcript.after(SECOND * 1000).state(State::Settling);
}

#[test]
fn no_time_is_too_short() {
    let mut transcript = Transcript::new(every_time(Duration::ZERO));
    let mut told = Vec::new();
    while let Some(timeout) = transcript.connection.handle_timeout(transcript.now) {
        told.push(timeout);
        assert!(told.len() < 10, "{told:?}");
    }
    assert_eq!(told.first(), Some(&Timeout::Hello));
    let mut running = Transcript::mux(every_time(Duration::ZERO));
    running.asked([1]).long_ack(1, 16_000).connection.input_drained();
    while running.connection.handle_timeout(running.now).is_some() {}
    assert_ne!(running.connection.state(), State::Hello);
}
