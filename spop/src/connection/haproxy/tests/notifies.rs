use super::*;

#[test]
fn each_engine_numbers_its_streams_its_own_way() {
    Transcript::pipelining(Engine::Applet).notify(0, 1).notify(2, 1).notify(4, 1);
    Transcript::pipelining(Engine::Mux).notify(1, 1).notify(3, 1).notify(5, 1);
}

#[test]
fn the_window_is_20_if_both_pipeline_1_otherwise_and_0_before_the_hello() {
    let (both, none) = (Capabilities::PIPELINING, Capabilities::NONE);
    for engine in ENGINES {
        let config = || Config::new(engine);
        for (config, announced, window) in [
            (config(), both, 20),
            (config(), none, 1),
            (config().pipelining(false), both, 1),
            (config().pipelining(false), none, 1),
            (config().max_waiting_frames(3), both, 3),
        ] {
            assert_eq!(Connection::new(config.clone()).window(), 0);
            let mut transcript = Transcript::running(config, 16_380, announced);
            for left in (0..window).rev() {
                let Transcript { connection, out, .. } = &mut transcript;
                connection.notify(out).unwrap().finish();
                assert_eq!((connection.window(), connection.in_flight()), (left, window - left));
            }
            let before = transcript.out.clone();
            let error = transcript.connection.notify(&mut transcript.out).map(drop).unwrap_err();
            assert_eq!(error, UsageError::WindowFull);
            assert_eq!(transcript.out, before);
        }
    }
}

#[test]
fn an_ack_opens_the_window_again() {
    let mut transcript = Transcript::running(Config::new(Engine::Mux), 16_380, Capabilities::NONE);
    transcript.notify(1, 1).agent(&ack(1, 1)).events(&["ACK 1/1"]).notify(3, 1);
}

#[test]
fn acks_come_in_any_order() {
    for (engine, [a, b, c]) in [(Engine::Applet, [0, 2, 4]), (Engine::Mux, [1, 3, 5])] {
        Transcript::pipelining(engine)
            .notify(a, 1)
            .notify(b, 1)
            .notify(c, 1)
            .agent(&[ack(c, 1), ack(a, 1), ack(b, 1)].concat())
            .events(&[&format!("ACK {c}/1"), &format!("ACK {a}/1"), &format!("ACK {b}/1")]);
    }
}

#[test]
fn an_ack_to_an_abandoned_notify_is_late() {
    let mut transcript = Transcript::pipelining(Engine::Mux);
    transcript.notify(1, 1);
    assert!(transcript.connection.abandon(id(1, 1)));
    assert!(!transcript.connection.abandon(id(1, 1)));
    assert_eq!((transcript.connection.in_flight(), transcript.connection.window()), (0, 20));
    transcript.agent(&ack(1, 1)).events(&["LATE ACK 1/1"]).state(State::Running);
}

#[test]
fn a_second_ack_is_late() {
    Transcript::pipelining(Engine::Applet)
        .notify(0, 1)
        .agent(&[ack(0, 1), ack(0, 1)].concat())
        .events(&["ACK 0/1", "LATE ACK 0/1"]);
}

#[test]
fn an_ack_to_what_was_never_sent_is_an_error() {
    for (engine, sent, unknown) in [
        (Engine::Applet, 0, [id(2, 1), id(1, 1), id(0, 0), id(0, 2)]),
        (Engine::Mux, 1, [id(3, 1), id(0, 1), id(1, 0), id(1, 2)]),
    ] {
        for unknown in unknown {
            Transcript::pipelining(engine)
                .notify(sent, 1)
                .agent(&ack(unknown.stream_id, unknown.frame_id))
                .events(&["ERROR 12"])
                .state(State::Closed)
                .out
                .clear();
        }
    }
}

#[test]
fn the_error_is_told_by_a_disconnect() {
    Transcript::pipelining(Engine::Mux).agent(&ack(1, 1)).events(&["ERROR 12"]).disconnects(&[12]);
}

#[test]
fn an_ack_that_cannot_be_read_is_an_error() {
    for (flags, payload, status) in [(1, &b"\x03"[..], 4), (0, b"", 10)] {
        let mut transcript = Transcript::pipelining(Engine::Mux);
        transcript.notify(1, 1).out.clear();
        transcript
            .agent(&frame(FrameType::ACK, flags, id(1, 1), payload))
            .events(&[&format!("ERROR {status}")])
            .disconnects(&[status]);
    }
}

#[test]
fn a_notify_that_is_not_finished_was_not_sent() {
    let mut transcript = Transcript::pipelining(Engine::Mux);
    drop(transcript.connection.notify(&mut transcript.out).unwrap());
    assert_eq!((transcript.out.len(), transcript.connection.in_flight()), (0, 0));
    // Its id is burned, as in HAProxy.
    transcript.notify(3, 1);
}

#[test]
fn a_notify_in_the_wrong_state_is_refused() {
    let mut transcript = Transcript::new(Config::new(Engine::Mux));
    let refused = |transcript: &mut Transcript, state| {
        let before = transcript.out.clone();
        let error = transcript.connection.notify(&mut transcript.out).map(drop).unwrap_err();
        assert_eq!((error, &transcript.out), (UsageError::WrongState(state), &before));
    };
    refused(&mut transcript, State::Hello);
    transcript.agent(&agent_hello(Some(300), None)).events(&["CONNECTED 300 "]);
    transcript.connection.disconnect(Status::NORMAL, &mut transcript.out);
    refused(&mut transcript, State::Closing);
    transcript.connection.handle_eof(&[]).unwrap();
    refused(&mut transcript, State::Closed);
}

#[test]
fn frames_that_mean_nothing_are_ignored() {
    Transcript::pipelining(Engine::Mux)
        .agent(&agent_hello(Some(16_380), None))
        .agent(&frame(FrameType(104), 1, id(0, 0), b"x"))
        .agent(&frame(FrameType::NOTIFY, 1, id(0, 0), b"x"))
        .events(&[])
        .state(State::Running);
}
