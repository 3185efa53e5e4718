//! What an agent does when the system has no more to give.

mod peer;

use std::net::SocketAddr;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use peer::{PATIENCE, ask, connect, connected, exchange};
use spop::FrameType;
use testbed::AgentProcess;
use testbed::check::Hello;

/// An agent that may have as many files open as that, sockets included.
async fn agent_with_descriptors(count: u32) -> (AgentProcess, SocketAddr) {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n "$1"; shift; exec "$@""#, "sh", &count.to_string()]);
    command.args([env!("CARGO_BIN_EXE_test-agent"), "--listen", "127.0.0.1:0", "--quiet"]);
    let agent = AgentProcess::start(command, PATIENCE).await.unwrap();
    let address = agent.address().unwrap().parse().unwrap();
    (agent, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_file_descriptors_connections_go_on_and_accepting_waits_without_spinning() {
    let (agent, address) = agent_with_descriptors(40).await;
    let mut good = connected(address);
    // The system takes them all; the agent, as many as it can.
    let others: Vec<_> = (0..60).map(|_| connect(address)).collect();
    let refused = |line: &str| line.contains("cannot accept connections");
    let line = agent.wait_for_log("a failed accept", PATIENCE, refused).await.unwrap();
    assert!(line.contains("Too many open files"), "{line}");

    let (start, cpu) = (Instant::now(), agent.cpu_time().unwrap());
    for stream_id in 2..32 {
        assert_eq!(exchange(&mut good, &ask(stream_id, "/")), FrameType::ACK);
        sleep(Duration::from_millis(100));
    }
    let busy = agent.cpu_time().unwrap().saturating_sub(cpu);
    assert!(busy < start.elapsed() / 4, "{busy:?} of CPU time in {:?}", start.elapsed());
    // It waits for 5 ms at first, and each time twice as long, up to a second.
    let lines = agent.logs().all().iter().filter(|line| refused(line)).count();
    let most = 10 + start.elapsed().as_secs() as usize;
    assert!(lines <= most, "{lines} log lines in {:?}", start.elapsed());

    // Those that were accepted go; then one that has waited has its turn.
    let mut waiting = others;
    drop(waiting.drain(..40));
    for stream in &mut waiting {
        assert_eq!(exchange(stream, &Hello::from_3_1().frame()), FrameType::AGENT_HELLO);
    }
    drop(connected(address));
}
