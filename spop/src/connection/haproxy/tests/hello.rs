use super::*;

#[track_caller]
fn offered(config: Config) -> HaproxyHello {
    let mut out = BytesMut::new();
    Connection::new(config).hello(&mut out).unwrap();
    HaproxyHello::parse(&out[LENGTH_PREFIX..]).unwrap()
}

#[test]
fn each_engine_offers_its_capabilities() {
    for (engine, pipelining, capabilities) in [
        (Engine::Applet, true, "pipelining,async"),
        (Engine::Applet, false, "async"),
        (Engine::Mux, true, "pipelining"),
        (Engine::Mux, false, ""),
    ] {
        let hello = offered(Config::new(engine).pipelining(pipelining).engine_id(b"id"));
        assert_eq!(hello.capabilities.to_string(), capabilities);
        assert_eq!((hello.engine_id.as_deref(), hello.healthcheck), (Some(&b"id"[..]), false));
        assert_eq!(hello.supported_versions, [Version::V2_0]);
    }
}

#[test]
fn a_whole_hello_is_as_long_as_haproxys() {
    for (engine, pipelining, len) in
        [(Engine::Applet, true, 0x81), (Engine::Mux, true, 0x7b), (Engine::Mux, false, 0x71)]
    {
        let mut out = BytesMut::new();
        Connection::new(Config::new(engine).pipelining(pipelining)).hello(&mut out).unwrap();
        assert_eq!(out[..LENGTH_PREFIX], [0, 0, 0, len]);
    }
}

#[test]
fn a_health_check_has_no_capabilities_and_no_engine_id() {
    for engine in ENGINES {
        let hello = offered(Config::new(engine).healthcheck(true));
        assert_eq!((hello.capabilities, hello.engine_id), (Capabilities::NONE, None));
        assert!(hello.healthcheck);
    }
}

#[test]
fn what_both_sides_can_do_is_negotiated() {
    let announced = Capabilities::PIPELINING | Capabilities::ASYNC | Capabilities::FRAGMENTATION;
    for (engine, agreed) in [(Engine::Applet, "pipelining,async"), (Engine::Mux, "pipelining")] {
        let mut transcript = Transcript::new(Config::new(engine));
        assert_eq!(transcript.connection.negotiated(), None);
        transcript
            .agent(&agent_hello(Some(1000), Some(announced)))
            .events(&[&format!("CONNECTED 1000 {agreed}")])
            .disconnects(&[])
            .state(State::Running);
        let negotiated = transcript.connection.negotiated().unwrap();
        assert_eq!(
            (negotiated.max_frame_size, negotiated.capabilities.to_string()),
            (1000, agreed.to_owned())
        );
    }
}

#[test]
fn the_engine_id_is_kept_but_for_a_health_check() {
    for (healthcheck, engine_id) in [(false, Some(b"id".to_vec())), (true, None)] {
        let config = Config::new(Engine::Mux).engine_id(b"id").healthcheck(healthcheck);
        let mut transcript = Transcript::new(config);
        transcript.agent(&agent_hello(Some(300), Some(Capabilities::NONE)));
        let event = transcript.connection.handle_input(&mut transcript.input, &mut transcript.out);
        let Ok(Some(Event::Connected(negotiated) | Event::HealthCheckPassed(negotiated))) = event else {
            panic!("{event:?}")
        };
        assert_eq!(negotiated.engine_id, engine_id);
    }
}

#[test]
fn a_max_frame_size_out_of_range_is_refused() {
    for engine in ENGINES {
        for (size, good) in [(0, false), (255, false), (256, true), (1000, true), (1001, false)] {
            let mut transcript = Transcript::new(Config::new(engine).max_frame_size(1000));
            transcript.agent(&agent_hello(Some(size), Some(Capabilities::NONE)));
            if good {
                transcript.events(&[&format!("CONNECTED {size} ")]);
            } else {
                transcript.events(&["ERROR 9"]).disconnects(&[9]).state(State::Closed);
            }
        }
    }
}

#[test]
fn each_engine_wants_its_items() {
    let (size, none) = (Some(300), Some(Capabilities::NONE));
    for (engine, healthcheck, max_frame_size, capabilities, event) in [
        (Engine::Applet, false, None, none, "ERROR 6"),
        (Engine::Applet, false, size, None, "CONNECTED 300 "),
        (Engine::Mux, false, None, none, "CONNECTED 16380 "),
        (Engine::Mux, false, size, None, "CONNECTED 300 "),
        (Engine::Applet, true, None, none, "ERROR 6"),
        (Engine::Applet, true, size, None, "HEALTH CHECK PASSED"),
        (Engine::Mux, true, None, none, "ERROR 6"),
        (Engine::Mux, true, size, None, "ERROR 7"),
        (Engine::Mux, true, size, none, "HEALTH CHECK PASSED"),
    ] {
        Transcript::new(Config::new(engine).healthcheck(healthcheck))
            .agent(&agent_hello(max_frame_size, capabilities))
            .events(&[event]);
    }
}

#[test]
fn no_version_but_2_0_is_taken() {
    for (text, event) in
        [(&b"1.0"[..], "ERROR 8"), (b"2.1", "ERROR 8"), (b"2", "ERROR 8"), (b" 2.0 ", "CONNECTED 16380 ")]
    {
        let payload = [b"\x07version\x08", &[text.len() as u8][..], text].concat();
        Transcript::new(Config::new(Engine::Mux))
            .agent(&frame(FrameType::AGENT_HELLO, 1, id(0, 0), &payload))
            .events(&[event]);
    }
}

#[test]
fn anything_but_an_agent_hello_is_an_error_before_it() {
    for frame_type in [FrameType::ACK, FrameType::NOTIFY, FrameType::UNSET, FrameType(104)] {
        Transcript::new(Config::new(Engine::Mux))
            .agent(&frame(frame_type, 1, id(0, 0), b""))
            .events(&["ERROR 4"])
            .disconnects(&[4])
            .state(State::Closed);
    }
}

#[test]
fn a_passed_health_check_ends_without_a_word() {
    Transcript::new(Config::new(Engine::Mux).healthcheck(true))
        .agent(&agent_hello(Some(256), Some(Capabilities::NONE)))
        .agent(&ack(1, 1))
        .events(&["HEALTH CHECK PASSED"])
        .disconnects(&[])
        .state(State::Closed);
}

#[test]
fn an_agent_may_refuse_by_a_disconnect() {
    Transcript::new(Config::new(Engine::Mux))
        .agent(&frame(FrameType::AGENT_DISCONNECT, 1, id(0, 0), b"\x0bstatus-code\x03\x08"))
        .events(&["DISCONNECTED 8"])
        .disconnects(&[])
        .state(State::Closed);
}

#[test]
fn a_mux_honours_a_second_hello_and_can_lose_pipelining_by_it_but_not_win_it_again() {
    let mut transcript = Transcript::pipelining(Engine::Mux);
    assert_eq!(transcript.connection.window(), 20);
    for capabilities in [Capabilities::NONE, Capabilities::PIPELINING] {
        transcript.agent(&agent_hello(Some(16_380), Some(capabilities))).events(&[]).state(State::Running);
        assert_eq!(transcript.connection.window(), 1);
    }
}

#[test]
fn an_applet_ignores_a_second_hello() {
    let mut transcript = Transcript::pipelining(Engine::Applet);
    transcript.agent(&agent_hello(Some(300), Some(Capabilities::NONE))).events(&[]).state(State::Running);
    assert_eq!(transcript.connection.window(), 20);
}
