//! A server at a listener: accepting, and limits.

mod support;

use std::convert::Infallible;
use std::future::{IntoFuture, Ready, pending, ready};
use std::io::{self, ErrorKind};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use spop_tokio::spop::Status;
use spop_tokio::{BoxError, Listener, Peer, Request, Server, SocketListener, service_fn};
use support::{Haproxy, Running, echo, name_of, soon};
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn connections_are_served_side_by_side() {
    let running = Running::start(Server::new(echo()));
    let (mut a, _) = running.connect().await;
    let (mut b, _) = running.connect().await;
    for name in ["one", "two"] {
        for haproxy in [&mut a, &mut b] {
            haproxy.ask(name).await;
            assert_eq!(name_of(&haproxy.ack().await), name);
        }
    }
}

/// A listener at which there is always one more.
struct Flood;

impl Listener for Flood {
    type Io = DuplexStream;
    type Setup = Ready<io::Result<(DuplexStream, Peer)>>;

    async fn accept(&mut self) -> Self::Setup {
        ready(Ok((duplex(64).0, Peer::Other)))
    }
}

#[tokio::test]
async fn a_flood_of_connections_does_not_keep_a_shutdown_waiting() {
    let (stop, stopped) = oneshot::channel::<Infallible>();
    let signal = async {
        let Err(_) = stopped.await;
    };
    let serve = Server::new(echo()).serve(Flood).with_graceful_shutdown(signal);
    let end = tokio::spawn(serve.into_future());
    drop(stop);
    assert_eq!(soon(end).await.unwrap().unwrap().unanswered, 0);
}

#[tokio::test]
async fn a_burst_of_connections_finds_room_while_none_is_accepted() {
    // HAProxy opens a connection for each of a burst's first requests.
    const BURST: usize = 300;
    let listener = SocketListener::bind("localhost:0").await.unwrap();
    let address = listener.tcp_addr().unwrap();
    soon(try_join_all((0..BURST).map(|_| TcpStream::connect(address)))).await.unwrap();

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let _listener = SocketListener::bind_unix(&path, None).unwrap();
    soon(try_join_all((0..BURST).map(|_| UnixStream::connect(&path)))).await.unwrap();
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
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    let refused = soon(TcpStream::connect(address)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    drop(haproxy);
    assert_eq!(soon(end).await.unwrap().unwrap().unanswered, 0);
}

#[tokio::test]
async fn tcp_connections_are_accepted_without_delay() {
    let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accept = soon(Listener::accept(&mut listener));
    let (peer, setup) = tokio::join!(soon(TcpStream::connect(address)), accept);
    let (accepted, from) = setup.await.unwrap();
    assert!(accepted.nodelay().unwrap());
    assert_eq!(from, Peer::Tcp(peer.unwrap().local_addr().unwrap()));
}

#[tokio::test]
async fn a_socket_listener_tells_the_port_it_got() {
    let mut listener = SocketListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.tcp_addr().unwrap();
    assert_eq!(listener.to_string(), address.to_string());
    let (peer, setup) =
        tokio::join!(soon(TcpStream::connect(address)), soon(Listener::accept(&mut listener)));
    let (_, from) = setup.await.unwrap();
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

/// A listener whose connections are set up by what the test says.
struct SettingUp(mpsc::UnboundedReceiver<BoxFuture<'static, io::Result<(DuplexStream, Peer)>>>);

impl Listener for SettingUp {
    type Io = DuplexStream;
    type Setup = BoxFuture<'static, io::Result<(DuplexStream, Peer)>>;

    async fn accept(&mut self) -> Self::Setup {
        match self.0.recv().await {
            Some(setup) => setup,
            None => pending().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_never_set_up_ends_at_the_hello_timeout() {
    let (setups, listener) = mpsc::unbounded_channel();
    let server = Server::new(echo()).max_connections(1).hello_timeout(3 * SECOND);
    tokio::spawn(server.serve(SettingUp(listener)).into_future());
    let (held, ended) = oneshot::channel::<Infallible>();
    let never = async move {
        let _held = held;
        pending().await
    };
    let start = Instant::now();
    assert!(setups.send(never.boxed()).is_ok());
    let Err(_) = soon(ended).await;
    assert_eq!(start.elapsed().as_secs(), 3);

    let failed = async { Err(io::Error::other("no certificate")) };
    assert!(setups.send(failed.boxed()).is_ok());
    let (io, agent) = duplex(1 << 16);
    let late = async move {
        sleep(SECOND).await;
        Ok((agent, Peer::Other))
    };
    assert!(setups.send(late.boxed()).is_ok());
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    assert_eq!(name_of(&haproxy.ack().await), "m");
}
