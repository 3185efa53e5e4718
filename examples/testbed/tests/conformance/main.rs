//! `spop-check`: agents that do everything right pass, and each fault is found and named.

mod faulty;

use std::process::{Command, Output};
use std::time::Duration;

use faulty::{Fault, faulty_agent};
use spop::{FrameType, LENGTH_PREFIX, RawFrame};
use testbed::check::{Case, Level, Outcome, Probe, Target, cases, wire};
use testbed::{AgentProcess, build_example};

/// Enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// For an agent of which nothing is expected.
const IMPATIENCE: Duration = Duration::from_millis(200);

async fn ip_reputation(address: &str) -> AgentProcess {
    let mut agent = Command::new(build_example("ip-reputation").unwrap());
    agent.args(["--listen", address]);
    AgentProcess::start(agent, PATIENCE).await.unwrap()
}

/// Runs every case against an agent that takes fragments, and wants all to pass.
fn assert_passes(address: &str) {
    let target = Target::new(address).timeout(PATIENCE);
    for case in cases(&Probe::default()) {
        let outcome = case.run(&target);
        let wanted = match case.name.as_str() {
            "fragments/not-announced" => Outcome::NotApplicable("the agent takes fragments"),
            _ => Outcome::Passed,
        };
        assert_eq!(outcome, wanted, "{}", case.name);
    }
}

#[tokio::test]
async fn the_example_passes_over_tcp() {
    let agent = ip_reputation("127.0.0.1:0").await;
    assert_passes(&agent.address().unwrap());
}

#[tokio::test]
async fn the_example_passes_over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let agent = ip_reputation(&format!("unix:{}", path.display())).await;
    assert_passes(&agent.address().unwrap());
}

/// It shares nothing with the other one but the crates: handlers, options and messages are its own.
#[tokio::test]
async fn the_decision_agent_passes() {
    let mut agent = Command::new(build_example("decision").unwrap());
    agent.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
    let agent = AgentProcess::start(agent, PATIENCE).await.unwrap();
    assert_passes(&agent.address().unwrap());
}

/// On the protocol crate alone, with threads: nothing of `spop-tokio` is in it.
#[tokio::test]
async fn the_blocking_agent_passes() {
    let mut agent = Command::new(build_example("blocking").unwrap());
    agent.arg("127.0.0.1:0");
    let agent = AgentProcess::start(agent, PATIENCE).await.unwrap();
    assert_passes(&agent.address().unwrap());
}

#[test]
fn an_agent_on_the_bare_state_machine_passes() {
    assert_passes(&faulty_agent(|frame| Some(frame.to_vec())));
}

/// What comes of the case `name` with an agent that has `fault`.
fn outcome(name: &str, patience: Duration, fault: Fault) -> Outcome {
    let target = Target::new(faulty_agent(fault)).timeout(patience);
    let case = cases(&Probe::default()).into_iter().find(|case| case.name == name);
    case.unwrap_or_else(|| panic!("no case {name}")).run(&target)
}

/// Wants the case `name` to fail, as a MUST, and to say `said`.
#[track_caller]
fn assert_fails(name: &str, fault: Fault, said: &str) {
    assert_fails_at(Level::Must, name, PATIENCE, fault, said);
}

#[track_caller]
fn assert_fails_at(level: Level, name: &str, patience: Duration, fault: Fault, said: &str) {
    match outcome(name, patience, fault) {
        Outcome::Failed(found, text) => {
            assert_eq!(found, level, "{text}");
            assert!(text.contains(said), "want {said:?} in {text:?}");
        }
        other => panic!("{name}: {other:?}"),
    }
}

/// The agent's frame, but with a change if it is of this type.
fn change(frame: &[u8], frame_type: FrameType, change: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut frame = frame.to_vec();
    if frame[4] == frame_type.0 {
        change(&mut frame);
    }
    Some(frame)
}

/// The agent's ACK, with these actions in place of its own.
fn actions(frame: &[u8], actions: &[u8]) -> Option<Vec<u8>> {
    let id = RawFrame::parse(&frame[LENGTH_PREFIX..]).unwrap().header().id;
    change(frame, FrameType::ACK, |frame| {
        *frame = wire::frame(FrameType::ACK, wire::FIN, (id.stream_id, id.frame_id), actions);
    })
}

/// Sets a variable with a name that HAProxy does not take.
fn bad_name(frame: &[u8]) -> Option<Vec<u8>> {
    actions(frame, b"\x01\x03\x02\x03a-b\x11")
}

/// An AGENT-HELLO of these items in place of the agent's.
fn hello(frame: &[u8], items: &[(&str, Vec<u8>)]) -> Option<Vec<u8>> {
    change(frame, FrameType::AGENT_HELLO, |frame| {
        *frame = wire::frame(FrameType::AGENT_HELLO, wire::FIN, (0, 0), &wire::items(items));
    })
}

#[test]
fn wrong_ids_are_found() {
    let next_stream: Fault = |frame| change(frame, FrameType::ACK, |frame| frame[9] += 1);
    assert_fails("ids/from-1-on", next_stream, "after NOTIFY 1/1: want ACK 1/1, got ACK 2/1");
    let next_frame: Fault = |frame| change(frame, FrameType::ACK, |frame| frame[10] += 1);
    assert_fails("ids/from-1-on", next_frame, "want ACK 1/1, got ACK 1/2");
}

#[test]
fn an_ack_too_many_is_found() {
    let twice: Fault = |frame| change(frame, FrameType::ACK, |frame| *frame = frame.repeat(2));
    assert_fails("ids/stream-id-0", twice, "want nothing more, got ACK 0/1");
    assert_fails("pipelining/20-in-flight-in-one-write", twice, "got ACK 1/1");
}

#[test]
fn silence_is_found() {
    let silent: Fault = |frame| (frame[4] != FrameType::ACK.0).then(|| frame.to_vec());
    for name in ["messages/value-null", "malformed/type-15", "sizes/exactly-16380-of-16380"] {
        let said = "want ACK 1/1, got nothing for";
        let said = if name.starts_with("malformed") {
            "want ACK 1/1, or AGENT-DISCONNECT, got nothing"
        } else {
            said
        };
        assert_fails_at(Level::Must, name, IMPATIENCE, silent, said);
    }
    let deaf: Fault = |_| None;
    assert_fails_at(
        Level::Must,
        "hello/haproxy-up-to-3.0",
        IMPATIENCE,
        deaf,
        "want AGENT-HELLO, got nothing",
    );
    assert_fails_at(Level::Must, "disconnect/normal", IMPATIENCE, deaf, "want AGENT-HELLO");
}

#[test]
fn an_ack_that_haproxy_cannot_read_is_found() {
    let unfinished: Fault = |frame| change(frame, FrameType::ACK, |frame| frame[8] = 0);
    assert_fails("messages/none", unfinished, "an ACK that HAProxy cannot read");
    let scope_5: Fault = |frame| actions(frame, b"\x01\x03\x05\x01a\x11");
    assert_fails("messages/none", scope_5, "an ACK that HAProxy cannot read");
}

#[test]
fn an_ack_longer_than_agreed_on_is_found() {
    let long: Fault = |frame| {
        let value = wire::value::string([b'x'; 300]);
        actions(frame, &[b"\x01\x03\x02\x01a", &value[..]].concat())
    };
    assert_fails("hello/max-frame-size-256", long, "bytes, and max-frame-size is 256");
}

#[test]
fn a_variable_that_haproxy_drops_is_a_should() {
    assert_fails_at(Level::Should, "messages/none", PATIENCE, bad_name, "HAProxy drops the variable a-b");
}

#[test]
fn faults_of_the_agent_hello_are_found() {
    let case = "hello/haproxy-from-3.1";
    let version_1: Fault = |frame| hello(frame, &[("version", wire::value::string("1.0"))]);
    assert_fails(case, version_1, "AGENT-HELLO: version 1.0, and HAProxy takes 2.0 only");
    let no_version: Fault = |frame| hello(frame, &[("max-frame-size", wire::value::uint32(256))]);
    assert_fails(case, no_version, "AGENT-HELLO: no version");
    let no_size: Fault = |frame| hello(frame, &[("version", wire::value::string("2.0"))]);
    assert_fails(case, no_size, "no max-frame-size");
    let more_than_offered: Fault = |frame| {
        let size = wire::value::uint32(16_381);
        hello(frame, &[("version", wire::value::string("2.0")), ("max-frame-size", size)])
    };
    assert_fails(case, more_than_offered, "max-frame-size 16381, want 256 to 16380");
    let no_capabilities: Fault = |frame| {
        let size = wire::value::uint32(256);
        hello(frame, &[("version", wire::value::string("2.0")), ("max-frame-size", size)])
    };
    assert_fails("health/one-agent-hello-and-close", no_capabilities, "no capabilities");
    let version_name: Fault = |frame| hello(frame, &[("versions", wire::value::string("2.0"))]);
    assert_fails(case, version_name, "HAProxy takes the item versions for version");
    let ids: Fault = |frame| change(frame, FrameType::AGENT_HELLO, |frame| frame[10] = 1);
    assert_fails(case, ids, "ids 0/1, want 0/0");
}

#[test]
fn bytes_behind_the_answer_to_a_health_check_are_found() {
    let talkative: Fault = |frame| {
        change(frame, FrameType::AGENT_HELLO, |frame| {
            let payload = wire::items(&[
                ("status-code", wire::value::uint32(0)),
                ("message", wire::value::string("bye")),
            ]);
            frame.extend(wire::frame(FrameType::AGENT_DISCONNECT, 1, (0, 0), &payload));
        })
    };
    assert_fails("health/one-agent-hello-and-close", talkative, "want nothing behind the AGENT-HELLO");
}

#[test]
fn a_missing_or_wrong_disconnect_is_found() {
    let wordless: Fault = |frame| (frame[4] != FrameType::AGENT_DISCONNECT.0).then(|| frame.to_vec());
    assert_fails("disconnect/normal", wordless, "want AGENT-DISCONNECT, got a close");
    assert_fails("hello/max-frame-size-0", wordless, "closed without an AGENT-DISCONNECT");
    assert_fails_at(
        Level::Should,
        "sizes/length-3",
        PATIENCE,
        wordless,
        "closed without an AGENT-DISCONNECT",
    );
    let status_50: Fault = |frame| change(frame, FrameType::AGENT_DISCONNECT, |frame| frame[24] = 50);
    assert_fails("disconnect/normal", status_50, "status 50: 14 to 98 crash health checks");
    let status_99: Fault = |frame| change(frame, FrameType::AGENT_DISCONNECT, |frame| frame[24] = 99);
    assert_fails_at(Level::Should, "sizes/length-0xffffffff", PATIENCE, status_99, "with status 99, want 3");
}

#[test]
fn giving_a_connection_up_for_one_bad_request_is_a_should() {
    let strict: Fault = |frame| {
        let malformed = frame.windows(9).any(|bytes| bytes == b"malformed");
        if !malformed {
            return Some(frame.to_vec());
        }
        let payload =
            wire::items(&[("status-code", wire::value::uint32(4)), ("message", wire::value::string("no"))]);
        Some(wire::frame(FrameType::AGENT_DISCONNECT, 1, (0, 0), &payload))
    };
    assert_fails_at(
        Level::Should,
        "malformed/type-10",
        PATIENCE,
        strict,
        "and other requests are lost with it",
    );
}

#[test]
fn what_makes_no_sense_is_not_applicable() {
    let plain: Fault = |frame| {
        let items = [
            ("version", wire::value::string("2.0")),
            ("max-frame-size", wire::value::uint32(256)),
            ("capabilities", wire::value::string("")),
        ];
        hello(frame, &items)
    };
    let name = "pipelining/20-in-flight-in-one-write";
    assert_eq!(outcome(name, PATIENCE, plain), Outcome::NotApplicable("the agent does not pipeline"));
    assert_eq!(
        outcome("fragments/two", PATIENCE, plain),
        Outcome::NotApplicable("the agent takes no fragments")
    );
}

/// Runs the program.
fn spop_check(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spop-check")).args(args).output().unwrap()
}

#[tokio::test]
async fn the_program_exits_with_0_if_all_is_well() {
    let agent = ip_reputation("127.0.0.1:0").await;
    let output = spop_check(&[&agent.address().unwrap(), "--strict", "--timeout", "30"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("ok      hello/haproxy-from-3.1 "), "{text}");
    assert!(text.contains(" ok, 0 FAIL, 0 should, 1 n-a\n"), "{text}");
}

#[test]
fn the_program_exits_with_1_and_says_what_was_wanted_and_what_came() {
    let agent = faulty_agent(|frame| change(frame, FrameType::ACK, |frame| frame[9] += 1));
    let output = spop_check(&[&agent, "--filter", "ids/stream-id-0", "--timeout", "30"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("FAIL    ids/stream-id-0 "), "{text}");
    assert!(text.contains("want ACK 0/1, got ACK 1/1"), "{text}");
    assert!(text.ends_with("0 ok, 1 FAIL, 0 should, 0 n-a\n"), "{text}");
}

#[test]
fn only_strict_takes_a_should_for_a_failure() {
    let agent = faulty_agent(bad_name);
    let args = [&agent[..], "--filter", "hello/haproxy-from-3.1", "--timeout", "30"];
    let output = spop_check(&args);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let output = spop_check(&[&args[..], &["--strict"]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("should  hello/haproxy-from-3.1 "));
}

#[test]
fn the_program_exits_with_2_if_it_does_not_understand() {
    for (args, said) in [
        (&[][..], "no ADDRESS given"),
        (&["--nonsense", "127.0.0.1:1"], "--nonsense"),
        (&["127.0.0.1:1", "127.0.0.1:2"], "127.0.0.1:2"),
        (&["127.0.0.1:1", "--timeout", "0"], "above 0"),
        (&["127.0.0.1:1", "--filter", "no-such-case"], "no case has \"no-such-case\""),
    ] {
        let output = spop_check(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(said), "{args:?}: {error}");
    }
}

#[test]
fn an_agent_that_is_not_there_is_said_once() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = spop_check(&[&nobody]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap().lines().count(), 1);
}

#[test]
fn the_list_has_every_case_and_the_level_it_has() {
    let output = spop_check(&["--list"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let cases = cases(&Probe::default());
    assert_eq!(text.lines().count(), cases.len());
    for (line, Case { name, level, .. }) in text.lines().zip(&cases) {
        assert!(line.starts_with(&format!("{level:<6}  {name} ")), "{line}");
    }
}

#[test]
fn the_message_is_the_users_to_choose() {
    let picky: Fault = |frame| {
        change(frame, FrameType::ACK, |frame| {
            let known = frame.windows(4).any(|bytes| bytes == b"none");
            *frame = if known { frame.clone() } else { Vec::new() };
        })
    };
    // The fallback of this agent has the kind of failure in it: none, for a message that it can read.
    let agent = faulty_agent(picky);
    let args = ["--message", "ask", "--arg", "path=/x", "--filter", "ids/stream-id-0", "--timeout", "30"];
    let output = spop_check(&[&[&agent[..]], &args[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
