//! spop-load against the agents of this package and against agents that do it wrong, as processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use benches::agents::Canned;
use benches::profile::Profile;
use serde_json::Value;

const LOAD: &str = env!("CARGO_BIN_EXE_spop-load");

/// An agent that runs; dropped, it is killed.
struct Agent {
    child: Child,
    address: String,
}

impl Agent {
    fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, address }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn load(address: &str, args: &[&str]) -> Output {
    let base = ["--json", "--quiet", "--warmup", "0", "--timeout", "2", "--address", address];
    Command::new(LOAD).args(base).args(args).output().unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Says the hello of an agent to every connection, reads a NOTIFY, answers with what `answer` makes of the right ACK.
fn wrong_agent(answer: fn(Vec<u8>) -> Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let canned = Canned::new();
            for wrong in [false, true] {
                let Some(frame) = read_frame(&mut stream) else { break };
                let mut out = Vec::new();
                canned.answer(&frame, &mut out).unwrap();
                let out = if wrong { answer(out) } else { out };
                let _ = stream.write_all(&out);
            }
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    address
}

fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame).ok()?;
    let len = u32::from_be_bytes(frame[..].try_into().unwrap()) as usize;
    frame.resize(4 + len, 0);
    stream.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

#[test]
fn every_agent_answers_every_profile_with_the_variable() {
    let agents: [(&str, &[&str]); 5] = [
        (env!("CARGO_BIN_EXE_limit-agent"), &[]),
        (env!("CARGO_BIN_EXE_our-agent"), &["--runtime", "per-core", "--threads", "2"]),
        (env!("CARGO_BIN_EXE_our-agent"), &["--runtime", "multi-thread", "--threads", "2"]),
        (env!("CARGO_BIN_EXE_peer-agent"), &["--mode", "feed-flush"]),
        (env!("CARGO_BIN_EXE_peer-agent"), &["--mode", "readme"]),
    ];
    for (program, args) in agents {
        let agent = Agent::start(program, args);
        for profile in Profile::all() {
            let args = ["--requests", "2000", "--expect-action", "ip_score", "--profile", profile.name()];
            let report = report(&load(&agent.address, &args));
            assert!(report["acks"].as_u64().unwrap() >= 2000, "{program} {report}");
        }
    }
}

#[test]
fn the_target_is_watched() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_limit-agent"), &[]);
    let pid = agent.child.id().to_string();
    let report = report(&load(&agent.address, &["--seconds", "0.5", "--pid", &pid]));
    assert!(report["target"]["peak_rss_kib"].as_u64().unwrap() > 500, "{report}");
    assert!(report["target"]["cpu_seconds"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn a_captured_frame_is_a_profile() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_our-agent"), &[]);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), Profile::check_request().frame(7)).unwrap();
    let path = file.path().to_str().unwrap();
    let report = report(&load(&agent.address, &["--requests", "100", "--profile", path]));
    assert!(report["acks"].as_u64().unwrap() >= 100);
}

#[test]
fn in_open_loop_latency_counts_from_when_a_request_was_due() {
    // 20 ms each, one at a time: half of the 100 per second that are due, so the last ones wait for about half a
    // second.
    let agent = Agent::start(env!("CARGO_BIN_EXE_our-agent"), &["--handler-delay-ms", "20"]);
    let args = ["--rate", "100", "--connections", "1", "--depth", "1", "--seconds", "1", "--timeout", "5"];
    let report = report(&load(&agent.address, &args));
    let max = report["latency_us"]["max"].as_f64().unwrap();
    assert!((300_000.0..3_000_000.0).contains(&max), "{report}");
    assert_eq!(report["unsent"].as_u64(), Some(0), "{report}");
}

#[test]
fn open_loop_keeps_its_rate() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_our-agent"), &[]);
    let report = report(&load(&agent.address, &["--rate", "500", "--seconds", "1"]));
    assert!((450..=510).contains(&report["acks"].as_u64().unwrap()), "{report}");
}

#[test]
fn an_ack_without_the_variable_is_wrong_and_named() {
    let agent = Agent::start(env!("CARGO_BIN_EXE_limit-agent"), &[]);
    let error = error(&load(&agent.address, &["--requests", "10", "--expect-action", "other"]));
    assert!(error.contains("wrong ACK to 1/1") && error.contains("other"), "{error}");
}

#[test]
fn an_ack_with_other_ids_is_wrong_and_named() {
    let address = wrong_agent(|mut ack| {
        ack[9] = 77;
        ack
    });
    let error = error(&load(&address, &["--connections", "1", "--depth", "1"]));
    assert!(error.contains("77/1"), "{error}");
}

#[test]
fn an_ack_with_other_flags_is_wrong_and_named() {
    let address = wrong_agent(|mut ack| {
        ack[8] = 3;
        ack
    });
    let error = error(&load(&address, &["--connections", "1", "--depth", "1"]));
    assert!(error.contains("wrong ACK to 1/1") && error.contains("0x3"), "{error}");
}

#[test]
fn a_second_ack_is_wrong() {
    let address = wrong_agent(|ack| [ack.clone(), ack].concat());
    let error = error(&load(&address, &["--connections", "1", "--depth", "1"]));
    assert!(error.contains("second ACK to 1/1"), "{error}");
}

#[test]
fn silence_ends_with_how_many_wait() {
    let address = wrong_agent(|_| Vec::new());
    let error = error(&load(&address, &["--connections", "1", "--depth", "1", "--timeout", "0.3"]));
    assert!(error.contains("no answer for 300ms with 1 unanswered"), "{error}");
}

#[test]
fn an_agent_that_disconnects_is_quoted() {
    let disconnect = |_| {
        let mut out = bytes::BytesMut::new();
        let disconnect = spop::Disconnect::new(spop::Status::RESOURCE);
        spop::Frame::<&[u8]>::AgentDisconnect(disconnect).encode(&mut out).unwrap();
        out.to_vec()
    };
    let error = error(&load(&wrong_agent(disconnect), &["--connections", "1", "--depth", "1"]));
    assert!(error.contains("AGENT-DISCONNECT") && error.contains("with 1 unanswered"), "{error}");
}

#[test]
fn a_refused_connection_is_said_to_be() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = error(&load(&free, &[]));
    assert!(error.contains(&free) && error.contains("refused"), "{error}");
}

#[test]
fn a_rejected_hello_is_quoted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_frame(&mut stream).unwrap();
        let mut out = bytes::BytesMut::new();
        let disconnect = spop::Disconnect::new(spop::Status::BAD_VERSION);
        spop::Frame::<&[u8]>::AgentDisconnect(disconnect).encode(&mut out).unwrap();
        stream.write_all(&out).unwrap();
    });
    let error = error(&load(&address, &[]));
    assert!(error.contains("rejects the HELLO"), "{error}");
}
