use super::*;

#[test]
fn the_smaller_max_frame_size_of_both_sides_holds() {
    for (haproxy, agent, agreed) in
        [(16_380, 16_380, 16_380), (16_380, 1000, 1000), (1000, 16_380, 1000), (256, 256, 256)]
    {
        Transcript::new(Config::new().max_frame_size(agent))
            .haproxy(&hello("2.0", haproxy, "pipelining", b""))
            .events(&[&format!("CONNECTED {agreed} pipelining")])
            .agent(&[&format!("HELLO 2.0 {agreed} pipelining,fragmentation")])
            .phase(Phase::Running);
    }
}

#[test]
fn a_max_frame_size_below_256_is_refused() {
    for size in [0, 255] {
        Transcript::new(Config::new())
            .haproxy(&hello("2.0", size, "", b""))
            .events(&[&format!("ERROR max-frame-size {size} is too big or too small")])
            .agent(&["DISCONNECT 9"])
            .phase(Phase::Closed);
    }
}

#[test]
fn an_agents_own_limit_is_at_least_256() {
    Transcript::new(Config::new().max_frame_size(10))
        .haproxy(&hello("2.0", 16_380, "", b""))
        .events(&["CONNECTED 256 "]);
}

#[test]
fn versions_without_2_0_are_refused() {
    for versions in ["1.0", "1.0,3.0", "2.1", ""] {
        Transcript::new(Config::new())
            .haproxy(&hello(versions, 16_380, "", b""))
            .events(&["ERROR no common version, this side speaks 2.0"])
            .agent(&["DISCONNECT 8"])
            .phase(Phase::Closed);
    }
}

#[test]
fn version_2_0_is_found_in_a_list() {
    Transcript::new(Config::new())
        .haproxy(&hello("1.0, 2.0", 16_380, "", b""))
        .events(&["CONNECTED 16380 "])
        .agent(&["HELLO 2.0 16380 fragmentation"]);
}

#[test]
fn capabilities_are_those_of_both_sides_and_fragmentation_is_announced() {
    for (offered, pipelining, event, answer) in [
        ("pipelining,async", true, "pipelining", "pipelining,fragmentation"),
        ("pipelining", false, "", "fragmentation"),
        ("async", true, "", "fragmentation"),
        ("", true, "", "fragmentation"),
    ] {
        Transcript::new(Config::new().pipelining(pipelining))
            .haproxy(&hello("2.0", 16_380, offered, b""))
            .events(&[&format!("CONNECTED 16380 {event}")])
            .agent(&[&format!("HELLO 2.0 16380 {answer}")]);
    }
}

#[test]
fn fragmentation_is_not_announced_if_it_is_off() {
    Transcript::new(Config::new().fragments(0, 0))
        .haproxy(&hello("2.0", 16_380, "pipelining", b""))
        .events(&["CONNECTED 16380 pipelining"])
        .agent(&["HELLO 2.0 16380 pipelining"]);
}

#[test]
fn the_engine_id_is_kept() {
    let mut transcript = Transcript::new(Config::new());
    transcript.haproxy(&hello("2.0", 16_380, "", b"\x09engine-id\x08\x03\xffab"));
    assert_eq!(transcript.connection.negotiated(), None);
    transcript.events(&["CONNECTED 16380 "]);
    let negotiated = transcript.connection.negotiated().unwrap();
    assert_eq!(negotiated.engine_id.as_deref(), Some(&b"\xffab"[..]));
}

/// HAProxy 3.2 to 3.4 resets a connection that receives the AGENT-HELLO in parts (P2).
#[test]
fn the_answer_is_one_piece_that_comes_at_once() {
    let bytes = hello("2.0", 16_380, "pipelining", b"");
    let mut transcript = Transcript::new(Config::new());
    for byte in &bytes[..bytes.len() - 1] {
        transcript.haproxy(&[*byte]).events(&[]).agent(&[]).phase(Phase::Hello);
    }
    transcript
        .haproxy(&bytes[bytes.len() - 1..])
        .events(&["CONNECTED 16380 pipelining"])
        .agent(&["HELLO 2.0 16380 pipelining,fragmentation"]);
}

#[test]
fn a_notify_behind_the_hello_is_the_next_event() {
    Transcript::new(Config::new())
        .haproxy(&hello("2.0", 16_380, "pipelining", b""))
        .haproxy(&notify(1, 1))
        .events(&["CONNECTED 16380 pipelining", "NOTIFY 1/1"]);
}

#[test]
fn a_health_check_is_answered_by_one_frame_and_closed() {
    let mut transcript = Transcript::new(Config::new());
    transcript
        .haproxy(&hello("2.0", 16_380, "", b"\x0bhealthcheck\x11"))
        .haproxy(&notify(1, 1))
        .events(&["HEALTH CHECK"])
        .phase(Phase::Closed);
    // All three items, flags of exactly FIN: HAProxy from 3.1 wants it so.
    let items = b"\x07version\x08\x032.0\x0emax-frame-size\x03\xf0\x01\x0ccapabilities\x08\0";
    assert_eq!(transcript.out[..], frame(FrameType::AGENT_HELLO, FIN, id(0, 0), items));
    transcript.out.clear();
    transcript.drain().agent(&[]);
    transcript.connection.disconnect(Status::UNKNOWN, "", &mut transcript.out);
    transcript.agent(&[]);
}

#[test]
fn a_health_check_of_another_version_fails() {
    Transcript::new(Config::new())
        .haproxy(&hello("1.0", 16_380, "", b"\x0bhealthcheck\x11"))
        .events(&["ERROR no common version, this side speaks 2.0"])
        .agent(&["DISCONNECT 8"]);
}
