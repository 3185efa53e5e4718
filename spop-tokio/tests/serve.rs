//! A server at a listener: accepting, limits, and the graceful end.

mod support;

use std::convert::Infallible;
use std::future::{IntoFuture, pending};
use std::io::ErrorKind;
use std::time::Duration;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{Frame, FrameType, Status};
use spop_tokio::{
    Actions, BoxError, Drained, Error, Listener, Peer, Request, Server, Service, SocketListener, service_fn,
};
use support::haproxy::disconnect_status;
use support::{Haproxy, Recorder, Writes, echo, failure_of, held, name_of, soon, types};
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

const SECOND: Duration = Duration::from_secs(1);

type Io = Recorder<DuplexStream>;

/// A listener whose connections the test makes.
struct Connections(mpsc::UnboundedReceiver<Io>);

impl Listener for Connections {
    type Io = Io;

    async fn accept(&mut self) -> (Io, Peer) {
        match self.0.recv().await {
            Some(io) => (io, Peer::Other),
            None => pending().await,
        }
    }
}

/// A server that runs.
struct Running {
    connections: mpsc::UnboundedSender<Io>,
    stop: oneshot::Sender<Infallible>,
    end: JoinHandle<Result<Drained, Error>>,
}

fn start<S: Service>(server: Server<S>) -> Running {
    let (connections, accepted) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel();
    let signal = async {
        let Err(_) = stopped.await;
    };
    let end = tokio::spawn(server.serve(Connections(accepted)).with_graceful_shutdown(signal).into_future());
    Running { connections, stop, end }
}

impl Running {
    fn open(&self) -> (DuplexStream, Writes) {
        let (haproxy, agent) = tokio::io::duplex(1 << 16);
        let (agent, writes) = Recorder::new(agent);
        self.connections.send(agent).expect("the server accepts");
        (haproxy, writes)
    }

    async fn connect(&self) -> (Haproxy<DuplexStream>, Writes) {
        let (io, writes) = self.open();
        (Haproxy::connect(io).await, writes)
    }

    /// Starts the graceful end, and waits until no more connections are accepted.
    async fn stop(self) -> JoinHandle<Result<Drained, Error>> {
        drop(self.stop);
        soon(self.connections.closed()).await;
        self.end
    }
}

async fn unanswered(end: JoinHandle<Result<Drained, Error>>) -> usize {
    soon(end).await.unwrap().unwrap().unanswered
}

#[tokio::test]
async fn connections_are_served_side_by_side() {
    let running = start(Server::new(echo()));
    let (mut a, _) = running.connect().await;
    let (mut b, _) = running.connect().await;
    for name in ["one", "two"] {
        for haproxy in [&mut a, &mut b] {
            haproxy.ask(name).await;
            assert_eq!(name_of(&haproxy.ack().await), name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_graceful_end_says_goodbye_to_idle_connections_at_once() {
    let running = start(Server::new(echo()));
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask("m").await;
    haproxy.ack().await;
    let start = Instant::now();
    let end = running.stop().await;
    assert_eq!(haproxy.goodbye().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(unanswered(end).await, 0);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_graceful_end_without_connections_is_immediate() {
    let end = start(Server::new(echo())).stop().await;
    assert_eq!(unanswered(end).await, 0);
}

#[tokio::test]
async fn a_graceful_end_finishes_what_is_at_work_and_says_goodbye_in_the_same_write() {
    let (server, mut calls) = held();
    let running = start(server);
    let (mut haproxy, writes) = running.connect().await;
    haproxy.ask_all(&["a", "b"]).await;
    let [a, b] = calls.take(2).await.try_into().ok().unwrap();
    let end = running.stop().await;
    a.echo();
    assert_eq!(name_of(&haproxy.ack().await), "a");
    writes.take();
    b.echo();
    let rest = haproxy.rest().await;
    assert!(matches!(rest[..], [Frame::Ack(_), Frame::AgentDisconnect(_)]), "{rest:?}");
    assert_eq!(disconnect_status(&rest[1..]), Status::NORMAL);
    let writes = writes.take();
    assert_eq!(writes.len(), 1);
    assert_eq!(types(&writes[0]), [FrameType::ACK, FrameType::AGENT_DISCONNECT]);
    drop(haproxy);
    assert_eq!(unanswered(end).await, 0);
}

#[tokio::test]
async fn requests_that_come_while_others_are_finished_are_answered_too() {
    let (server, mut calls) = held();
    let running = start(server);
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask("a").await;
    let a = calls.next().await;
    let end = running.stop().await;
    haproxy.ask("b").await;
    let b = calls.next().await;
    for call in [a, b] {
        let name = call.name.clone();
        call.echo();
        assert_eq!(name_of(&haproxy.ack().await), name);
    }
    assert_eq!(haproxy.goodbye().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(unanswered(end).await, 0);
}

#[tokio::test]
async fn a_request_that_has_arrived_when_the_end_starts_is_answered() {
    let running = start(Server::new(echo()));
    let (mut haproxy, _) = running.connect().await;
    let notify = haproxy.notify("arrived").1;
    let Running { stop, end, .. } = running;
    drop(stop);
    // No await in between: the connection sees both at the same time.
    assert_eq!(try_write(&mut haproxy.io, &notify), notify.len());
    assert_eq!(name_of(&haproxy.ack().await), "arrived");
    assert_eq!(haproxy.goodbye().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(unanswered(end).await, 0);
}

/// Writes without waiting.
fn try_write(io: &mut DuplexStream, bytes: &[u8]) -> usize {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match tokio::io::AsyncWrite::poll_write(std::pin::Pin::new(io), &mut cx, bytes) {
        std::task::Poll::Ready(written) => written.unwrap(),
        std::task::Poll::Pending => 0,
    }
}

#[tokio::test]
async fn a_connection_without_a_hello_yet_gets_a_goodbye() {
    let running = start(Server::new(echo()));
    let (io, _) = running.open();
    let (_, _) = running.connect().await;
    let end = running.stop().await;
    let mut haproxy = Haproxy::new(io, Config::new(Engine::Mux));
    assert_eq!(disconnect_status(&haproxy.rest().await), Status::NORMAL);
    drop(haproxy);
    assert_eq!(unanswered(end).await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_comes_at_the_drain_timeout_and_tells_how_many_were_left() {
    let (server, mut calls) = held();
    let running = start(server.drain_timeout(3 * SECOND));
    let (mut a, _) = running.connect().await;
    let (mut b, _) = running.connect().await;
    a.ask_all(&["m", "m"]).await;
    b.ask_all(&["m", "m", "quick"]).await;
    let mut calls = calls.take(5).await;
    let start = Instant::now();
    let end = running.stop().await;
    calls.pop().unwrap().echo();
    assert_eq!(unanswered(end).await, 4);
    assert_eq!(start.elapsed().as_secs(), 3);
    for call in &mut calls {
        call.dropped().await;
    }
    a.closed().await;
}

#[tokio::test(start_paused = true)]
async fn the_default_drain_timeout_is_10_seconds() {
    let (server, mut calls) = held();
    let running = start(server);
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask("m").await;
    let _call = calls.next().await;
    let start = Instant::now();
    assert_eq!(unanswered(running.stop().await).await, 1);
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn handlers_that_time_out_do_not_wait_for_the_drain_timeout() {
    let (server, mut calls) = held();
    let running = start(server.request_timeout(SECOND / 2));
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask("m").await;
    let _call = calls.next().await;
    let end = running.stop().await;
    assert_eq!(failure_of(&haproxy.ack().await), "timeout");
    assert_eq!(haproxy.goodbye().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(unanswered(end).await, 0);
}

#[tokio::test]
async fn requests_whose_haproxy_leaves_meanwhile_count_as_unanswered() {
    let (server, mut calls) = held();
    let running = start(server);
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask_all(&["a", "b"]).await;
    let _at_work = calls.take(2).await;
    let end = running.stop().await;
    drop(haproxy);
    assert_eq!(unanswered(end).await, 2);
}

#[tokio::test(start_paused = true)]
async fn at_the_connection_limit_no_more_are_accepted_until_one_ends() {
    let running = start(Server::new(echo()).max_connections(2));
    let (a, _) = running.connect().await;
    let (_b, _) = running.connect().await;
    let (io, writes) = running.open();
    let mut haproxy = Haproxy::new(io, Config::new(Engine::Mux));
    haproxy.hello().await;
    assert!(timeout(SECOND, haproxy.event()).await.is_err(), "a third one was accepted");
    drop(a);
    haproxy.event().await.unwrap().expect("AGENT-HELLO");
    assert_eq!(types(&writes.take().concat()), [FrameType::AGENT_HELLO]);
}

#[tokio::test]
async fn a_fallback_that_panics_ends_its_own_connection_only() {
    let service =
        service_fn(
            |request: Request| async move { request.message("good").map(|_| Actions::new()).ok_or("bad") },
        );
    let running = start(Server::new(service).on_failure(|_| panic!("a fallback's panic")));
    let (mut bad, _) = running.connect().await;
    let (mut good, _) = running.connect().await;
    bad.ask("bad").await;
    bad.closed().await;
    good.ask("good").await;
    good.ack().await;
    let (mut next, _) = running.connect().await;
    next.ask("good").await;
    next.ack().await;
}

#[tokio::test]
async fn a_tcp_listener_is_served_and_closed_at_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<Infallible>();
    let signal = async {
        let Err(_) = stopped.await;
    };
    let serve = Server::new(echo()).serve(listener).with_graceful_shutdown(signal);
    let end = tokio::spawn(serve.into_future());
    let mut haproxy = Haproxy::connect(soon(TcpStream::connect(address)).await.unwrap()).await;
    haproxy.ask("m").await;
    assert_eq!(name_of(&haproxy.ack().await), "m");
    drop(stop);
    assert_eq!(haproxy.goodbye().await, Status::NORMAL);
    let refused = soon(TcpStream::connect(address)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    drop(haproxy);
    assert_eq!(unanswered(end).await, 0);
}

#[tokio::test]
async fn tcp_connections_are_accepted_without_delay() {
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = soon(Listener::accept(&mut listener));
    let (peer, (accepted, from)) = tokio::join!(soon(TcpStream::connect(address)), accept);
    assert!(accepted.nodelay().unwrap());
    assert_eq!(from, Peer::Tcp(peer.unwrap().local_addr().unwrap()));
}

#[tokio::test]
async fn a_socket_listener_tells_the_port_it_got() {
    let mut listener = SocketListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.tcp_addr().unwrap();
    assert_eq!(listener.to_string(), address.to_string());
    let (peer, (_, from)) =
        tokio::join!(soon(TcpStream::connect(address)), soon(Listener::accept(&mut listener)));
    assert_eq!(from, Peer::Tcp(peer.unwrap().local_addr().unwrap()));
}

#[tokio::test]
async fn what_is_no_address_is_said() {
    for address in ["nonsense", "127.0.0.1", "127.0.0.1:65536", ""] {
        let error = SocketListener::bind(address).await.unwrap_err().to_string();
        assert!(error.contains(&format!("cannot listen at {address}: ")), "{error}");
        assert!(error.contains("(want HOST:PORT or unix:PATH)"), "{error}");
    }
}

#[tokio::test]
async fn a_unix_listener_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let service = service_fn(|request: Request| async move {
        assert_eq!(*request.connection().peer(), Peer::Unix);
        Ok::<_, BoxError>(support::answer("unix"))
    });
    tokio::spawn(Server::new(service).serve(UnixListener::bind(&path).unwrap()).into_future());
    let mut haproxy = Haproxy::connect(soon(UnixStream::connect(&path)).await.unwrap()).await;
    haproxy.ask("m").await;
    assert_eq!(name_of(&haproxy.ack().await), "unix");
}
