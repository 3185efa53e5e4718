//! A peer that never stops sending, over TCP, to a server of one thread: it puts off neither its own deadlines nor the
//! others.

mod support;

use std::future::pending;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use spop_tokio::spop::haproxy::{Config, Connection, Engine};
use spop_tokio::spop::{Frame, FrameDecoder};
use spop_tokio::{BoxError, Request, Server, service_fn};
use support::{MAX_FRAME, answer, failure_of, frame};
use tokio::sync::oneshot;

const NOTIFY: u8 = 3;
/// Much longer than anything takes here, and much shorter than a flood that is served to its end.
const PROMPT: Duration = Duration::from_millis(700);
const SLOW: (u64, u64) = (7, 7);

/// A server of one thread. The message "slow" is never answered by its handler.
struct Agent {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Agent {
    fn start(configure: impl FnOnce(Server<Echo>) -> Server<Echo> + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                let server = configure(Server::new(Echo)).drain_timeout(Duration::from_secs(1));
                let serve = server.serve(listener).with_graceful_shutdown(async { drop(stopped.await) });
                serve.await.unwrap();
            });
        });
        Self { address: told.recv().unwrap(), stop, thread }
    }

    /// Stops it; returns how long that took.
    fn stop(self) -> Duration {
        let start = Instant::now();
        drop(self.stop);
        self.thread.join().unwrap();
        start.elapsed()
    }
}

struct Echo;

impl spop_tokio::Service for Echo {
    type Error = BoxError;

    async fn call(&self, request: Request) -> Result<spop_tokio::Actions, BoxError> {
        match request.message("slow") {
            Some(_) => pending().await,
            None => Ok(answer("m")),
        }
    }
}

/// Exchanges the HELLOs.
fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let mut hello = BytesMut::new();
    Connection::new(Config::new(Engine::Applet)).hello(&mut hello).unwrap();
    stream.write_all(&hello).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    stream.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize]).unwrap();
    stream
}

/// Sends `bytes` again and again until it is dropped or the connection ends.
struct Flood {
    stream: TcpStream,
    over: Arc<AtomicBool>,
    sender: Option<thread::JoinHandle<()>>,
}

impl Flood {
    fn start(stream: &TcpStream, bytes: Vec<u8>) -> Self {
        let (stream, over) = (stream.try_clone().unwrap(), Arc::new(AtomicBool::new(false)));
        let (mut sending, stopped) = (stream.try_clone().unwrap(), Arc::clone(&over));
        let sender =
            thread::spawn(
                move || {
                    while !stopped.load(Ordering::Relaxed) && sending.write_all(&bytes).is_ok() {}
                },
            );
        Self { stream, over, sender: Some(sender) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.stream.shutdown(Shutdown::Both);
        self.sender.take().map(thread::JoinHandle::join);
    }
}

/// NOTIFYs of the message "m", each with ids of its own.
fn requests() -> Vec<u8> {
    (1000..3000).flat_map(|id| frame(NOTIFY, 1, (id, 1), b"\x01m\0")).collect()
}

fn slow(id: (u64, u64)) -> Vec<u8> {
    frame(NOTIFY, 1, id, b"\x04slow\0")
}

/// Reads until `wanted` comes, or the end of the stream.
fn read_until(stream: &mut TcpStream, mut wanted: impl FnMut(Frame<bytes::Bytes>) -> bool) -> bool {
    let (mut input, mut chunk) = (BytesMut::new(), vec![0; 64 * 1024]);
    let decoder = FrameDecoder::new(MAX_FRAME);
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        input.extend_from_slice(&chunk[..read]);
        while let Some(frame) = decoder.decode(&mut input).unwrap() {
            if wanted(Frame::parse(frame).unwrap()) {
                return true;
            }
        }
    }
    false
}

#[test]
fn a_request_times_out_in_time_under_a_flood_on_its_connection() {
    let agent = Agent::start(|server| server.request_timeout(Duration::from_millis(500)));
    let mut stream = connect(agent.address);
    stream.write_all(&slow(SLOW)).unwrap();
    let start = Instant::now();
    let _flood = Flood::start(&stream, requests());
    let found = read_until(&mut stream, |frame| match frame {
        Frame::Ack(ack) if ack.id().stream_id == SLOW.0 => failure_of(&ack) == "timeout",
        _ => false,
    });
    assert!(found);
    assert!(start.elapsed() < Duration::from_millis(500) + PROMPT, "{:?}", start.elapsed());
}

#[test]
fn a_connection_ends_at_its_age_under_a_flood() {
    let agent = Agent::start(|server| server.max_connection_age(Duration::from_secs(1)));
    let mut stream = connect(agent.address);
    let start = Instant::now();
    let _flood = Flood::start(&stream, requests());
    let disconnected = read_until(&mut stream, |frame| matches!(frame, Frame::AgentDisconnect(_)));
    assert!(disconnected);
    // The drain may take a second.
    assert!(start.elapsed() < Duration::from_secs(2) + PROMPT, "{:?}", start.elapsed());
}

#[test]
fn a_drain_ends_in_time_under_a_flood() {
    let agent = Agent::start(|server| server);
    let mut stream = connect(agent.address);
    let _flood = Flood::start(&stream, requests());
    let mut acks = 0;
    assert!(read_until(&mut stream, |_| {
        acks += 1;
        acks == 1000
    }));
    let reader = thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    let took = agent.stop();
    // A second for the drain, and one for the last bytes.
    assert!(took < Duration::from_secs(2) + PROMPT, "{took:?}");
    let _ = reader.join().unwrap();
}

#[test]
fn a_neighbour_is_answered_at_once_beside_a_flood() {
    let agent = Agent::start(|server| server);
    let mut flooding = connect(agent.address);
    let _flood = Flood::start(&flooding, requests());
    thread::spawn(move || read_until(&mut flooding, |_| false));
    assert_answered_at_once(agent.address);
}

/// Each makes the one before given up, whose handler waits.
#[test]
fn a_neighbour_is_answered_at_once_beside_a_flood_of_one_id() {
    let agent = Agent::start(|server| server);
    let mut flooding = connect(agent.address);
    let _flood = Flood::start(&flooding, slow(SLOW).repeat(2000));
    thread::spawn(move || read_until(&mut flooding, |_| false));
    assert_answered_at_once(agent.address);
}

fn assert_answered_at_once(address: SocketAddr) {
    let mut stream = connect(address);
    for id in 0..100 {
        let start = Instant::now();
        stream.write_all(&frame(NOTIFY, 1, (id, 1), b"\x01m\0")).unwrap();
        assert!(read_until(&mut stream, |frame| matches!(frame, Frame::Ack(_))));
        assert!(start.elapsed() < PROMPT, "request {id}: {:?}", start.elapsed());
    }
}

#[test]
fn an_error_that_panics_when_it_is_printed_or_dropped_costs_the_neighbours_nothing() {
    use std::fmt;

    #[derive(Debug)]
    struct Hostile;

    impl fmt::Display for Hostile {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("in Display")
        }
    }

    impl Drop for Hostile {
        fn drop(&mut self) {
            panic!("in Drop")
        }
    }

    impl std::error::Error for Hostile {}

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let service = service_fn(|request: Request| async move {
            if request.message("bad").is_some() { Err(Hostile) } else { Ok(answer("m")) }
        });
        let (io, _serving) = support::serve(Server::new(service), 1 << 16);
        let mut haproxy = support::Haproxy::connect(io).await;
        let ids = haproxy.ask_all(&["m", "bad", "m"]).await;
        let acks = haproxy.acks(&ids).await;
        assert_eq!(support::name_of(&acks[0]), "m");
        assert_eq!(failure_of(&acks[1]), "error");
        assert_eq!(support::name_of(&acks[2]), "m");
    });
}
