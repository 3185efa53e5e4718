use super::*;

#[test]
fn an_agents_disconnect_ends_the_connection() {
    let mut transcript = Transcript::pipelining(Engine::Mux);
    transcript.notify(1, 1).out.clear();
    transcript
        .agent(&ack(1, 1))
        .agent(&frame(FrameType::AGENT_DISCONNECT, 1, id(0, 0), b""))
        .agent(&ack(1, 1))
        .events(&["ACK 1/1", "DISCONNECTED 0"])
        .disconnects(&[])
        .state(State::Closed);
}

#[test]
fn after_its_own_disconnect_only_the_agents_counts() {
    let mut transcript = Transcript::pipelining(Engine::Applet);
    transcript.notify(0, 1).out.clear();
    transcript.connection.disconnect(Status::TIMEOUT, &mut transcript.out);
    transcript.connection.disconnect(Status::IO, &mut transcript.out);
    transcript
        .disconnects(&[2])
        .agent(&ack(0, 1))
        .agent(&ack(9, 9))
        .agent(&agent_hello(None, None))
        .events(&[])
        .state(State::Closing)
        .agent(&frame(FrameType::AGENT_DISCONNECT, 1, id(0, 0), b""))
        .events(&["DISCONNECTED 0"])
        .state(State::Closed);
}

#[test]
fn a_disconnect_that_cannot_be_read_ends_the_connection_all_the_same() {
    Transcript::pipelining(Engine::Mux)
        .agent(&frame(FrameType::AGENT_DISCONNECT, 1, id(0, 1), b""))
        .events(&["ERROR 4"])
        .state(State::Closed);
}

#[test]
fn an_end_of_input_between_frames_is_normal() {
    let mut transcript = Transcript::pipelining(Engine::Mux);
    transcript.notify(1, 1);
    transcript.connection.handle_eof(&[]).unwrap();
    transcript.state(State::Closed);
}

#[test]
fn an_end_of_input_in_a_frame_is_an_error() {
    let mut transcript = Transcript::pipelining(Engine::Mux);
    transcript.agent(&ack(1, 1)[..5]).events(&[]);
    let error = transcript.connection.handle_eof(&transcript.input).unwrap_err();
    assert_eq!(error, ProtocolError::UnexpectedEof);
    transcript.connection.handle_eof(&transcript.input).unwrap();
}

#[test]
fn a_frame_longer_than_offered_is_an_error() {
    let mut transcript = Transcript::new(Config::new(Engine::Mux).max_frame_size(300));
    transcript.agent(&[0, 0, 0x01, 0x2d]).events(&["ERROR 3"]).disconnects(&[3]);
}
