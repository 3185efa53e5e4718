//! What connections cost an agent, measured on a process of its own: see docs/operations.md, where the results stand.
//!
//! ```sh
//! cargo test --release -p testbed --test memory -- --nocapture --test-threads 1
//! ```

mod peer;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use peer::{PATIENCE, answer, ask, connect, connected, exchange, greeted};
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size, set_socket_send_buffer_size};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use spop::FrameType;
use testbed::AgentProcess;
use testbed::check::wire::{FIN, frame, message, notify, value};
use testbed::check::{Hello, Probe};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// What a connection may cost that has nothing to do.
const IDLE: u64 = 6 * KIB;

/// An agent with capacity for many connections.
async fn agent(options: &[&str]) -> (AgentProcess, SocketAddr) {
    allow_descriptors(12_000);
    let mut command = Command::new(env!("CARGO_BIN_EXE_test-agent"));
    command.args(["--listen", "127.0.0.1:0", "--quiet", "--max-connections", "20000"]).args(options);
    let agent = AgentProcess::start(command, PATIENCE).await.unwrap();
    let address = agent.address().unwrap().parse().unwrap();
    // What the first connections cost once is not theirs.
    let warm: Vec<_> = (0..200).map(|_| greeted(address)).collect();
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

/// As HAProxy does it: without a DISCONNECT.
fn reset(stream: &TcpStream) {
    set_socket_linger(stream.as_fd(), Some(Duration::ZERO)).unwrap();
}

/// What `open` costs the agent for each of `count` connections, once they are quiet.
async fn cost(what: &str, count: usize, limit: u64, open: impl Fn(SocketAddr) -> TcpStream) {
    let (agent, address) = agent(&[]).await;
    let before = agent.resident_bytes().unwrap();
    let mut connections = Vec::with_capacity(count);
    while connections.len() < count {
        connections.extend((0..50).map(|_| open(address)));
        // It comes behind all that these have sent, and keeps the listen backlog short.
        drop(connected(address));
    }
    let (busy, quiet) =
        settled(limit, || agent.resident_bytes().unwrap().saturating_sub(before) / count as u64);
    println!("{count} {what}: {quiet} bytes each, {busy} at first");
}

/// What `measure` returns, now and once it is below `limit`, which it must be before long.
#[track_caller]
fn settled(limit: u64, measure: impl Fn() -> u64) -> (u64, u64) {
    let (start, first) = (Instant::now(), measure());
    loop {
        let now = measure();
        if now <= limit {
            return (first, now);
        }
        assert!(start.elapsed() < PATIENCE, "{now} bytes each, {first} at first");
        thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_cost_at_most_6_kib_each() {
    cost("idle connections", 10_000, IDLE, connected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_hello_costs_no_more_than_an_idle_one() {
    cost("connections that say nothing", 1_000, IDLE, connect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bursts_took_is_given_back_once_it_is_quiet() {
    const PEERS: usize = 500;
    let (agent, address) = agent(&[]).await;
    let before = agent.resident_bytes().unwrap();
    let each = || agent.resident_bytes().unwrap().saturating_sub(before) / PEERS as u64;
    let burst: Vec<_> = (1..=20).flat_map(|stream_id| ask(stream_id, &"x".repeat(3_000))).collect();
    // HAProxy up to 3.0 is sent long answers at once.
    let greeted = |_| {
        let mut stream = connect(address);
        assert_eq!(exchange(&mut stream, &Hello::up_to_3_0().frame()), FrameType::AGENT_HELLO);
        stream
    };
    let mut connections: Vec<_> = (0..PEERS).map(greeted).collect();
    connections.iter_mut().for_each(|stream| stream.write_all(&burst).unwrap());
    for stream in &mut connections {
        (0..20).for_each(|_| assert_eq!(answer(stream), FrameType::ACK));
    }
    let (busy, quiet) = settled(IDLE, each);
    println!("{PEERS} connections: {busy} bytes each after bursts of 60 KB, {quiet} once they are quiet");
    drop(connections);
}

/// A connection that claims the largest frame and sends `bytes` of it.
fn claiming(address: SocketAddr, bytes: usize) -> TcpStream {
    let mut stream = connected(address);
    let frame = Probe::default().message_with(&[("x", value::binary([b'x'; 16_300]))]);
    stream.write_all(&[&16_380_u32.to_be_bytes()[..], &frame[..bytes]].concat()).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn claiming_the_largest_frame_costs_less_than_sending_it() {
    cost("connections that claim the largest frame", 1_000, IDLE, |address| claiming(address, 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_sent_in_part_costs_what_was_sent_and_room_to_read() {
    let what = "connections that sent 16,000 bytes of a frame";
    cost(what, 1_000, 64 * KIB, |address| claiming(address, 16_000)).await;
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
    const PEERS: u64 = 10;
    // So that as many requests are in flight as may be.
    let (agent, address) = agent(&["--delay", "1"]).await;
    let before = agent.resident_bytes().unwrap();
    let mut requests = Vec::new();
    (0..10_000).for_each(|id| requests.extend(ask(id, &"x".repeat(10_000))));
    let fill = || {
        let mut stream = connect(address);
        // So that little is under way.
        set_socket_recv_buffer_size(stream.as_fd(), 64 * 1024).unwrap();
        set_socket_send_buffer_size(stream.as_fd(), 64 * 1024).unwrap();
        // HAProxy up to 3.0 is sent all answers at once.
        assert_eq!(exchange(&mut stream, &Hello::up_to_3_0().frame()), FrameType::AGENT_HELLO);
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        assert!(stream.write_all(&requests).is_err(), "it takes 100 MB without an answer being read");
        stream
    };
    let connections: Vec<_> = thread::scope(|scope| {
        let peers: Vec<_> = (0..PEERS).map(|_| scope.spawn(fill)).collect();
        peers.into_iter().map(|peer| peer.join().unwrap()).collect()
    });
    let each = agent.resident_bytes().unwrap().saturating_sub(before) / PEERS;
    println!("{PEERS} connections that send and never read: {each} bytes each");
    // 64 requests in flight and 64 answers, in buffers that double when they grow.
    assert!(each <= 4 * MIB, "{each} bytes");
    drop(connections);
}

/// What requests in flight cost an agent for each of some connections, which have sent what `requests` has.
async fn cost_in_flight(what: &str, hello: &Hello, requests: &[Vec<u8>]) -> u64 {
    const PEERS: u64 = 4;
    let (agent, address) = agent(&["--delay", "3600000"]).await;
    let before = agent.resident_bytes().unwrap();
    let connections: Vec<_> = (0..PEERS)
        .map(|_| {
            let mut stream = connect(address);
            assert_eq!(exchange(&mut stream, &hello.frame()), FrameType::AGENT_HELLO);
            requests.iter().for_each(|request| stream.write_all(request).unwrap());
            // It cannot be read, and is answered at once, behind all the others.
            assert_eq!(exchange(&mut stream, &notify((999, 1), b"\xc8")), FrameType::ACK);
            stream
        })
        .collect();
    let each = agent.resident_bytes().unwrap().saturating_sub(before) / PEERS;
    println!("{PEERS} connections with {} requests in flight, {what}: {each} bytes each", requests.len());
    drop(connections);
    each
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_hold_no_more_than_the_reads_that_they_came_in() {
    // Frames that are ignored fill the read behind each request.
    let filling = frame(FrameType(77), FIN, (1, 1), &[b'x'; 16_000]).repeat(10);
    let requests = (1..64).map(|id| [ask(id, "/"), filling.clone()].concat()).collect::<Vec<_>>();
    let each = cost_in_flight("each small, in a burst of its own", &Hello::from_3_1(), &requests).await;
    // A read of 64 KiB behind a part of a frame.
    assert!(each <= 64 * (64 + 16) * KIB + 256 * KIB, "{each} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_that_came_in_fragments_hold_no_more_than_what_was_kept_of_each() {
    let payload = message(b"ask", &[("path", value::string(vec![b'x'; 250_000]))]);
    let in_fragments = |id: u64| {
        let mut parts = payload.chunks(16_000).collect::<Vec<_>>();
        let (first, last) = (parts.remove(0), parts.pop().unwrap());
        let middle = parts.into_iter().flat_map(|part| frame(FrameType::UNSET, 0, (id, 1), part));
        let first = frame(FrameType::NOTIFY, 0, (id, 1), first).into_iter();
        first.chain(middle).chain(frame(FrameType::UNSET, FIN, (id, 1), last)).collect::<Vec<_>>()
    };
    let requests = (1..=20).map(in_fragments).collect::<Vec<_>>();
    let each = cost_in_flight("250 KB in fragments each", &Hello::up_to_3_0(), &requests).await;
    // In a buffer that doubles when it grows.
    assert!(each <= 20 * 2 * 256 * KIB + 256 * KIB, "{each} bytes");
}
