//! What connections cost an agent, measured on a process of its own: see docs/operations.md, where the figures are from.
//!
//! ```sh
//! cargo test --release -p testbed --test memory -- --nocapture --test-threads 1
//! ```

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spop::{FrameType, LENGTH_PREFIX};
use testbed::AgentProcess;
use testbed::check::wire::{message, notify, value};
use testbed::check::{Hello, Probe};

/// Enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// An agent with room for many connections.
async fn agent(options: &[&str]) -> (AgentProcess, SocketAddr) {
    allow_descriptors(12_000);
    let mut command = Command::new(env!("CARGO_BIN_EXE_test-agent"));
    command.args(["--listen", "127.0.0.1:0", "--quiet", "--max-connections", "20000"]).args(options);
    let agent = AgentProcess::start(command, PATIENCE).await.unwrap();
    let address = agent.address().unwrap().parse().unwrap();
    // What the first connections cost once is not theirs.
    let warm: Vec<_> = (0..200).map(|_| connected(address)).collect();
    drop(warm);
    (agent, address)
}

/// Raises the limit of this process, which the agent inherits.
fn allow_descriptors(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).unwrap();
        assert!(
            limit.maximum.is_none_or(|maximum| maximum >= count),
            "this test needs {count} file descriptors: raise the hard limit (ulimit -Hn {count})"
        );
    }
}

/// Sends a frame, and gives the type of the one that comes back.
fn exchange(stream: &mut TcpStream, frame: &[u8]) -> FrameType {
    stream.write_all(frame).unwrap();
    let mut len = [0; LENGTH_PREFIX];
    stream.read_exact(&mut len).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut answer).unwrap();
    FrameType(answer[0])
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A connection with the HELLOs exchanged, and a first request answered.
fn connected(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address);
    assert_eq!(exchange(&mut stream, &Hello::from_3_1().frame()), FrameType::AGENT_HELLO);
    assert_eq!(exchange(&mut stream, &ask(1, "/")), FrameType::ACK);
    stream
}

/// A request, to which the agent answers with the same path.
fn ask(stream_id: u64, path: &str) -> Vec<u8> {
    notify((stream_id, 1), &message(b"ask", &[("path", value::string(path))]))
}

/// As HAProxy does it: without a goodbye.
fn reset(stream: &TcpStream) {
    set_socket_linger(stream.as_fd(), Some(Duration::ZERO)).unwrap();
}

/// What `open` costs the agent for each of `count` connections, which do after it whatever they are to do.
async fn cost(what: &str, count: u64, open: impl Fn(SocketAddr) -> TcpStream) -> u64 {
    let (agent, address) = agent(&[]).await;
    let before = agent.resident_bytes().unwrap();
    let connections: Vec<_> = (0..count).map(|_| open(address)).collect();
    // Behind all that the others have sent.
    drop(connected(address));
    let each = agent.resident_bytes().unwrap().saturating_sub(before) / count;
    println!("{count} {what}: {each} bytes each");
    drop(connections);
    each
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_cost_at_most_6_kib_each() {
    let each = cost("idle connections", 10_000, connected).await;
    assert!(each <= 6 * KIB, "{each} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_hello_costs_no_more_than_an_idle_one() {
    let each = cost("connections that say nothing", 1_000, connect).await;
    assert!(each <= 6 * KIB, "{each} bytes");
}

/// A connection that claims the largest frame and sends `bytes` of it.
fn claiming(address: SocketAddr, bytes: usize) -> TcpStream {
    let mut stream = connected(address);
    let frame = Probe::default().message_with(&[("x", value::binary([b'x'; 16_300]))]);
    stream.write_all(&[&16_380_u32.to_be_bytes()[..], &frame[..bytes]].concat()).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn claiming_the_largest_frame_costs_nothing_before_it_is_sent() {
    let each = cost("connections that claim the largest frame", 1_000, |address| claiming(address, 3)).await;
    assert!(each <= 6 * KIB, "{each} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_sent_in_part_costs_what_was_sent_and_room_to_read() {
    let each =
        cost("connections that sent 16,000 bytes of a frame", 1_000, |address| claiming(address, 16_000));
    let each = each.await;
    assert!(each <= 64 * KIB, "{each} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_health_checks_leave_nothing_behind() {
    let (agent, address) = agent(&[]).await;
    let hello = Hello::health_check().frame();
    // Several at a time, as from many HAProxys.
    let check = |count: usize| {
        let left = AtomicUsize::new(count);
        let one_by_one = || {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                let mut stream = connect(address);
                assert_eq!(exchange(&mut stream, &hello), FrameType::AGENT_HELLO);
                reset(&stream);
            }
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(one_by_one);
            }
        });
    };
    check(10_000);
    let before = agent.resident_bytes().unwrap();
    let start = Instant::now();
    check(90_000);
    let took = start.elapsed();
    let grown = agent.resident_bytes().unwrap().saturating_sub(before);
    let rate = 90_000.0 / took.as_secs_f64();
    println!("90,000 health checks: {grown} bytes more, {rate:.0} a second");
    assert!(grown < MIB, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_that_send_and_never_read_are_not_read_from() {
    let (agent, address) = agent(&[]).await;
    let before = agent.resident_bytes().unwrap();
    let requests: Vec<_> = (0..1_000).flat_map(|id| ask(id, &"x".repeat(10_000))).collect();
    let connections: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = connect(address);
            // HAProxy up to 3.0 is sent all answers at once.
            assert_eq!(exchange(&mut stream, &Hello::up_to_3_0().frame()), FrameType::AGENT_HELLO);
            // The agent and the two sockets take some of it.
            stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            assert!(stream.write_all(&requests.repeat(10)).is_err(), "it takes 100 MB without an answer being read");
            stream
        })
        .collect();
    let each = agent.resident_bytes().unwrap().saturating_sub(before) / 20;
    println!("20 connections that send and never read: {each} bytes each");
    // At most 64 requests at work, and 64 answers.
    assert!(each <= 2 * 64 * 16 * KIB, "{each} bytes");
    drop(connections);
}
