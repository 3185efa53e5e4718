//! Listeners made of others, and of an accept loop of the user's own.

mod support;

use std::future::IntoFuture;
use std::net::SocketAddr;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::{
    BoxError, Listener, Peer, Request, Server, Service, SocketListener, health_check, service_fn,
};
use support::{Haproxy, answer, echo, name_of, soon};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot};

/// Answers with who has connected.
fn who() -> impl Service {
    service_fn(|request: Request| async move {
        Ok::<_, BoxError>(answer(&request.connection().peer().to_string()))
    })
}

async fn peer_of(io: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    name_of(&haproxy.ack().await)
}

async fn tcp() -> (SocketListener, SocketAddr) {
    let listener = SocketListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.tcp_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn several_listeners_of_a_kind_are_served_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("agent.sock");
    let (first, address) = tcp().await;
    let listeners = vec![first, SocketListener::bind_unix(&path, None).unwrap()];
    tokio::spawn(Server::new(who()).serve(listeners).into_future());
    for _ in 0..3 {
        assert!(peer_of(TcpStream::connect(address).await.unwrap()).await.starts_with("127.0.0.1:"));
        assert_eq!(peer_of(UnixStream::connect(&path).await.unwrap()).await, "unix");
    }
}

#[tokio::test]
async fn listeners_of_a_kind_have_their_turns() {
    let ((first, a), (second, b)) = (tcp().await, tcp().await);
    let mut listeners = vec![first, second];
    let mut waiting = Vec::new();
    for address in [a, a, a, b] {
        waiting.push(soon(TcpStream::connect(address)).await.unwrap());
    }
    let mut peers = Vec::new();
    for _ in 0..2 {
        peers.push(soon(listeners.accept()).await.await.unwrap().1);
    }
    let last = Peer::Tcp(waiting[3].local_addr().unwrap());
    assert!(peers.contains(&last), "{peers:?} without {last}");
}

#[tokio::test]
async fn two_listeners_need_not_be_of_a_kind() {
    let (sender, channel) = mpsc::channel::<(DuplexStream, Peer)>(1);
    let (listener, address) = tcp().await;
    tokio::spawn(Server::new(who()).serve((listener, channel)).into_future());
    assert!(peer_of(TcpStream::connect(address).await.unwrap()).await.starts_with("127.0.0.1:"));
    let (haproxy, agent) = duplex(1 << 16);
    sender.send((agent, Peer::Other)).await.unwrap();
    assert_eq!(peer_of(haproxy).await, "stream");
}

#[tokio::test]
async fn several_listeners_are_taken_over_when_all_are() {
    let ((first, a), (second, b)) = (tcp().await, tcp().await);
    let listeners = vec![first, second];
    let _one = SocketListener::take_over(&a.to_string()).await.unwrap();
    assert!(!listeners.is_taken_over());
    let _other = SocketListener::take_over(&b.to_string()).await.unwrap();
    assert!(listeners.is_taken_over());
}

#[tokio::test]
async fn an_accept_loop_of_ones_own_has_limits_peers_and_a_graceful_end() {
    let (sender, channel) = mpsc::channel(8);
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = Server::new(who()).max_connections(1).drain_checks(0).serve(channel);
    let end = tokio::spawn(serve.with_graceful_shutdown(async { drop(stopped.await) }).into_future());
    let peer = Peer::Tcp(SocketAddr::from(([192, 0, 2, 1], 4711)));
    let open = async || {
        let (haproxy, agent) = duplex(1 << 16);
        sender.send((agent, peer.clone())).await.unwrap();
        haproxy
    };
    let mut first = Haproxy::connect(open().await).await;
    let mut second = Haproxy::new(open().await, Config::new(Engine::Mux));
    second.hello().await;
    soon(health_check(open().await, Config::new(Engine::Mux))).await.unwrap();
    first.ask("m").await;
    assert_eq!(name_of(&first.ack().await), peer.to_string());
    drop(first);
    second.event().await.unwrap().expect("AGENT-HELLO");

    let waits = open().await;
    drop(stop);
    assert_eq!(peer_of(waits).await, peer.to_string(), "what the channel has is served");
    soon(sender.closed()).await;
    drop(second);
    assert_eq!(soon(end).await.unwrap().unwrap().unanswered, 0);
}

#[tokio::test]
async fn without_senders_the_connections_go_on() {
    let (sender, channel) = mpsc::channel(1);
    tokio::spawn(Server::new(echo()).serve(channel).into_future());
    let (haproxy, agent) = duplex(1 << 16);
    sender.send((agent, Peer::Other)).await.unwrap();
    drop(sender);
    let mut haproxy = Haproxy::connect(haproxy).await;
    haproxy.ask("m").await;
    assert_eq!(name_of(&haproxy.ack().await), "m");
}
