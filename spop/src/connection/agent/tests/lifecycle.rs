//! The table on [`Connection`]: a test for each way out of each state.

use super::*;

const OFFER: &str = "pipelining";
const SECOND_HELLO: &str = "HELLO 2.0 16380 fragmentation";

fn health_check() -> Vec<u8> {
    hello("2.0", 16_380, "", b"\x0bhealthcheck\x11")
}

/// A connection in each state that takes input.
fn open() -> Vec<Transcript> {
    let mut draining = Transcript::running(Config::new());
    draining.asked([1]).drain().state(State::Draining);
    let mut settling = Transcript::mux(Config::new());
    settling.asked([1]).drain().agent(&[SECOND_HELLO]).state(State::Settling);
    let mut running = Transcript::mux(Config::new());
    running.asked([1]).state(State::Running);
    vec![Transcript::new(Config::new()), running, settling, draining]
}

/// A connection in each state that has ended.
fn ended() -> Vec<Transcript> {
    let disconnected = || {
        let mut transcript = Transcript::mux(Config::new());
        transcript.connection.disconnect(Status::NORMAL, "");
        transcript
    };
    let (closing, mut lingering, mut closed) = (disconnected(), disconnected(), disconnected());
    lingering.agent(&["DISCONNECT 0"]);
    closed.closed();
    vec![closing, lingering, closed]
}

#[test]
fn hello_ends_with_the_hello() {
    Transcript::new(Config::new())
        .haproxy(&hello("2.0", 16_380, OFFER, b""))
        .events(&["CONNECTED 16380 pipelining"])
        .state(State::Running);
}

#[test]
fn hello_ends_in_a_drain_with_the_hello_in_draining() {
    for capabilities in ["pipelining", "", "pipelining,async"] {
        let mut transcript = Transcript::new(Config::new());
        transcript.drain().agent(&[]).state(State::Hello);
        transcript
            .haproxy(&hello("2.0", 16_380, capabilities, b""))
            .events(&["CONNECTED 16380 "])
            .agent(&[SECOND_HELLO])
            .state(State::Draining)
            .asked([1])
            .ack(1, 1)
            .agent(&["ACK 1/1", "DISCONNECT 0"])
            .state(State::Lingering);
    }
}

#[test]
fn hello_ends_in_a_drain_after_a_second_of_quiet() {
    let mut transcript = Transcript::new(Config::new());
    transcript.after(SECOND * 3).drain().state(State::Hello);
    transcript.wakes(SECOND, &[Timeout::Quiet]).agent(&["DISCONNECT 0"]).state(State::Lingering);
}

#[test]
fn hello_ends_with_a_health_check() {
    let mut passed = Transcript::new(Config::new());
    passed.haproxy(&health_check()).events(&["HEALTH CHECK passed"]).state(State::Closing);
    let mut failed = Transcript::new(Config::new());
    failed.connection.fail_health_checks();
    failed.haproxy(&health_check()).events(&["HEALTH CHECK failed"]).state(State::Closing);
}

#[test]
fn hello_ends_in_a_drain_with_a_health_check_too() {
    Transcript::new(Config::new())
        .drain()
        .haproxy(&health_check())
        .events(&["HEALTH CHECK passed"])
        .agent(&["HELLO 2.0 256 "])
        .state(State::Lingering);
}

#[test]
fn hello_ends_with_its_timeout() {
    Transcript::new(Config::new().hello_timeout(SECOND / 2))
        .wakes(SECOND / 2, &[Timeout::Hello])
        .state(State::Closing)
        .agent(&["DISCONNECT 2"])
        .state(State::Lingering);
}

#[test]
fn running_takes_notifies_and_fragments_and_sends_acks() {
    Transcript::running(Config::new())
        .asked([1])
        .haproxy(&frame(FrameType::NOTIFY, 0, id(3, 1), b"\x01m"))
        .haproxy(&frame(FrameType::UNSET, FIN, id(3, 1), b"\0"))
        .events(&["NOTIFY 3/1"])
        .ack(3, 1)
        .ack(1, 1)
        .agent(&["ACK 3/1", "ACK 1/1"])
        .state(State::Running);
}

#[test]
fn running_ends_by_a_drain_with_pipelining_in_settling() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.drain().state(State::Settling).agent(&[SECOND_HELLO]).state(State::Settling);
}

#[test]
fn running_ends_by_a_drain_if_it_is_quiet_in_closing() {
    for capabilities in ["pipelining", "", "pipelining,async"] {
        let mut told = Transcript::connected(Config::new(), capabilities);
        told.wakes(SECOND, &[Timeout::Quiet]).drain().state(State::Closing).agent(&["DISCONNECT 0"]);
        // It has been for a second, but nobody has asked.
        let mut untold = Transcript::connected(Config::new(), capabilities);
        untold.now = untold.now + SECOND;
        untold.drain().state(State::Closing).agent(&["DISCONNECT 0"]);
    }
}

#[test]
fn running_ends_by_a_drain_else_in_draining() {
    for (config, capabilities) in [
        (Config::new(), "pipelining,async"),
        (Config::new(), ""),
        (Config::new().pipelining(false), "pipelining"),
    ] {
        let mut transcript = Transcript::connected(config, capabilities);
        transcript.drain().agent(&[]).state(State::Draining);
    }
}

#[test]
fn running_ends_by_its_age_as_by_a_drain() {
    let config = || Config::new().max_connection_age(Some(SECOND * 5)).drain_timeout(SECOND * 2);
    let mut pipelining = Transcript::mux(config());
    pipelining.asked([1]).wakes(SECOND, &[Timeout::Quiet]).wakes(SECOND * 4, &[]);
    pipelining.state(State::Settling).agent(&[SECOND_HELLO]);
    let mut one_at_a_time = Transcript::mux(config().pipelining(false));
    one_at_a_time.asked([1]).wakes(SECOND, &[Timeout::Quiet]).wakes(SECOND * 4, &[]).state(State::Draining);
    // The deadline is the drain timeout.
    one_at_a_time.wakes(SECOND, &[Timeout::Quiet]).wakes(SECOND, &[Timeout::Drain]);
    let mut quiet = Transcript::mux(config());
    quiet.wakes(SECOND, &[Timeout::Quiet]).wakes(SECOND * 4, &[]).state(State::Closing);
    quiet.agent(&["DISCONNECT 0"]);
}

#[test]
fn running_ends_by_the_idle_timeout_in_closing() {
    Transcript::mux(Config::new().idle_timeout(Some(SECOND * 3)))
        .wakes(SECOND, &[Timeout::Quiet])
        .wakes(SECOND * 2, &[Timeout::Idle])
        .state(State::Closing)
        .agent(&["DISCONNECT 0"])
        .state(State::Lingering);
}

#[test]
fn settling_takes_notifies_and_sends_acks() {
    Transcript::mux(Config::new())
        .asked([1])
        .drain()
        .agent(&[SECOND_HELLO])
        .ack(1, 1)
        .agent(&["ACK 1/1"])
        .asked([3])
        .ack(3, 1)
        .agent(&["ACK 3/1"])
        .state(State::Settling);
}

#[test]
fn settling_ends_a_tenth_of_a_second_after_haproxy_was_sent_that_it_is_to_send_one_at_a_time() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1]).drain();
    // The socket takes nothing for a while.
    transcript.after(SECOND / 2).state(State::Settling).agent(&[SECOND_HELLO]);
    transcript.wakes(SETTLE, &[]).state(State::Draining).agent(&[]);
}

#[test]
fn settling_ends_by_the_deadline_if_that_comes_first() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1]).drain_within(SETTLE / 2);
    transcript.agent(&[SECOND_HELLO]).wakes(SETTLE / 2, &[Timeout::Drain]).ack(1, 1);
    transcript.connection.disconnect(Status::NORMAL, "");
    transcript.agent(&["ACK 1/1", "DISCONNECT 0"]).state(State::Lingering);
}

#[test]
fn draining_ends_with_the_ack_after_which_none_is_due() {
    Transcript::running(Config::new())
        .asked([1, 3])
        .drain()
        .ack(3, 1)
        .state(State::Draining)
        .ack(1, 1)
        .state(State::Closing)
        .agent(&["ACK 3/1", "ACK 1/1", "DISCONNECT 0"])
        .state(State::Lingering);
}

#[test]
fn draining_ends_after_a_second_without_a_notify() {
    for capabilities in ["", "pipelining,async"] {
        let mut transcript = Transcript::connected(Config::new(), capabilities);
        transcript.after(SECOND / 2).drain().state(State::Draining);
        transcript.wakes(SECOND, &[Timeout::Quiet]).state(State::Closing).agent(&["DISCONNECT 0"]);
    }
    // That of settling does not count: the one NOTIFY may be on its way for as long after it.
    let mut settled = Transcript::mux(Config::new());
    settled.after(SECOND / 2).drain().agent(&[SECOND_HELLO]).wakes(SETTLE, &[]).state(State::Draining);
    settled.wakes(SECOND, &[Timeout::Quiet]).state(State::Closing).agent(&["DISCONNECT 0"]);
}

#[test]
fn draining_is_told_its_deadline_and_closes_with_the_answers_then() {
    let mut transcript = Transcript::running(Config::new());
    transcript.asked([1]).drain().wakes(SECOND, &[Timeout::Quiet]).wakes(DRAIN - SECOND, &[Timeout::Drain]);
    transcript.state(State::Draining).after(SECOND / 2).ack(1, 1);
    transcript.agent(&["ACK 1/1", "DISCONNECT 0"]).state(State::Lingering);
}

#[test]
fn draining_is_over_a_second_after_its_deadline_whatever_is_in_flight() {
    let mut transcript = Transcript::running(Config::new());
    transcript.asked([1]).drain().wakes(SECOND, &[Timeout::Quiet]).wakes(DRAIN - SECOND, &[Timeout::Drain]);
    transcript.wakes(SECOND, &[Timeout::Linger]).state(State::Closed).agent(&[]);
}

#[test]
fn closing_after_the_deadline_of_a_drain_is_over_a_second_after_that_too() {
    let mut transcript = Transcript::running(Config::new());
    transcript.asked([1]).drain().wakes(SECOND, &[Timeout::Quiet]).wakes(DRAIN - SECOND, &[Timeout::Drain]);
    transcript.after(SECOND / 2).ack(1, 1).state(State::Closing);
    transcript.wakes(SECOND / 2, &[Timeout::Linger]).state(State::Closed);
}

#[test]
fn closing_ends_when_all_is_sent() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.asked([1]).ack(1, 1).connection.disconnect(Status::NORMAL, "");
    let part = transcript.connection.poll_transmit(transcript.now).len();
    transcript.connection.transmitted(part - 1);
    transcript.state(State::Closing);
    assert_eq!(transcript.connection.poll_transmit(transcript.now).len(), 1);
    transcript.state(State::Closing).connection.transmitted(1);
    assert!(transcript.connection.poll_transmit(transcript.now).is_empty());
    transcript.state(State::Lingering);
}

#[test]
fn closing_ends_after_a_second_if_the_peer_takes_nothing() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.connection.disconnect(Status::NORMAL, "");
    transcript.wakes(SECOND, &[Timeout::Linger]).state(State::Closed).agent(&[]);
}

#[test]
fn lingering_ends_when_the_peer_closes() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.connection.disconnect(Status::NORMAL, "");
    transcript.agent(&["DISCONNECT 0"]).state(State::Lingering).closed().state(State::Closed);
}

#[test]
fn lingering_ends_after_a_second() {
    let mut transcript = Transcript::mux(Config::new());
    transcript.connection.disconnect(Status::NORMAL, "");
    transcript.after(SECOND / 4).agent(&["DISCONNECT 0"]).state(State::Lingering);
    transcript.wakes(SECOND, &[Timeout::Linger]).state(State::Closed);
}

#[test]
fn what_comes_after_the_end_is_ignored_and_not_kept() {
    for mut transcript in ended() {
        let state = transcript.connection.state();
        transcript.transmit();
        transcript.haproxy(&notify(1, 1)).haproxy(&haproxy_disconnect(0)).haproxy(b"\0\0\0\0GET /");
        transcript.events(&[]).agent(&[]).in_flight(0);
        assert!(transcript.input.is_empty(), "{state:?}");
        assert!(!transcript.connection.is_full(), "{state:?}");
    }
}

/// Or it would never see that the peer has closed.
#[test]
fn a_connection_that_was_full_takes_input_after_its_end() {
    let mut transcript = Transcript::running(Config::new().max_in_flight(1));
    transcript.asked([1]);
    assert!(transcript.connection.is_full());
    transcript.connection.disconnect(Status::NORMAL, "");
    assert!(!transcript.connection.is_full());
    transcript.haproxy(&notify(3, 1)).events(&[]);
    assert!(transcript.input.is_empty());
}

#[test]
fn nothing_comes_after_the_end() {
    for mut transcript in ended() {
        transcript.transmit();
        let state = transcript.connection.state();
        transcript.drain().connection.stop_pipelining();
        transcript.connection.disconnect(Status::IO, "again");
        transcript.connection.input_drained();
        transcript.agent(&[]).state(state);
    }
}

#[test]
fn closed_waits_for_nothing() {
    let mut transcript = Transcript::mux(Config::new().idle_timeout(Some(SECOND)));
    transcript.asked([1]).ack(1, 1).drain().closed().state(State::Closed);
    assert_eq!(transcript.connection.poll_timeout(), None);
    transcript.after(SECOND * 1000).agent(&[]);
}

#[test]
fn a_haproxy_disconnect_leads_from_every_open_state_to_closing() {
    for mut transcript in open() {
        transcript.haproxy(&haproxy_disconnect(2)).haproxy(&notify(9, 1));
        transcript.events(&["DISCONNECTED 2 a timeout occurred"]).state(State::Closing);
        transcript.agent(&["DISCONNECT 0"]).state(State::Lingering);
    }
}

#[test]
fn an_error_leads_from_every_open_state_to_closing() {
    for mut transcript in open() {
        let event = transcript.haproxy(&[0, 0, 0, 0]).next_event();
        assert!(event.starts_with("ERROR"), "{event}");
        transcript.state(State::Closing).agent(&["DISCONNECT 4"]).state(State::Lingering);
    }
}

#[test]
fn a_disconnect_of_ours_leads_from_every_open_state_to_closing() {
    for mut transcript in open() {
        transcript.connection.disconnect(Status::RESOURCE, "");
        transcript.state(State::Closing).agent(&["DISCONNECT 13"]).state(State::Lingering);
    }
}

#[test]
fn the_end_of_the_stream_leads_from_every_state_to_closed() {
    for mut transcript in open().into_iter().chain(ended()) {
        transcript.closed().state(State::Closed).agent(&[]).closed();
        assert_eq!(transcript.connection.poll_timeout(), None);
    }
}

#[test]
fn a_peer_that_takes_nothing_leads_from_every_state_to_closed() {
    let config = || Config::new().write_timeout(SECOND / 2);
    let stalled = |mut transcript: Transcript| {
        assert!(!transcript.connection.poll_transmit(transcript.now).is_empty());
        let state = transcript.connection.state();
        transcript.wakes(SECOND / 2, &[Timeout::Write]).state(State::Closed).agent(&[]);
        state
    };
    let mut running = Transcript::mux(config());
    running.asked([1]).ack(1, 1);
    assert_eq!(stalled(running), State::Running);
    let mut settling = Transcript::mux(config());
    settling.asked([1]).drain();
    assert_eq!(stalled(settling), State::Settling);
    let mut draining = Transcript::running(config());
    draining.asked([1, 3]).drain().ack(1, 1);
    assert_eq!(stalled(draining), State::Draining);
    let mut closing = Transcript::running(config());
    closing.connection.disconnect(Status::NORMAL, "");
    assert_eq!(stalled(closing), State::Closing);
}
