//! TCP ports: who may listen at one, and what becomes of peers that are gone.

mod support;

use std::future::IntoFuture;
use std::io::{self, ErrorKind};
use std::time::Duration;

use socket2::SockRef;
use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::{Listener, Server, SocketListener, health_check};
use support::{Haproxy, echo, name_of, soon};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_util::either::Either;

/// What the system knows of a connection that `listener` accepts: whether it asks for its peer, after how much silence,
/// how often and how many times.
async fn keepalive_of(mut listener: SocketListener) -> io::Result<Option<(Duration, Duration, u32)>> {
    let address = listener.tcp_addr().unwrap();
    let (_peer, setup) = tokio::join!(soon(TcpStream::connect(address)), soon(listener.accept()));
    let (Either::Left(stream), _) = setup.await? else { panic!("a TCP connection") };
    let socket = SockRef::from(&stream);
    let probes =
        (socket.tcp_keepalive_time()?, socket.tcp_keepalive_interval()?, socket.tcp_keepalive_retries()?);
    Ok(socket.keepalive()?.then_some(probes))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn a_silent_peer_is_asked_after_a_minute_whether_it_is_there() {
    let listener = SocketListener::bind("127.0.0.1:0").await.unwrap();
    assert_eq!(keepalive_of(listener).await.unwrap(), Some((seconds(60), seconds(10), 3)));
}

#[tokio::test]
async fn after_how_much_silence_peers_are_asked_can_be_set() {
    for (silence, wanted) in [
        (Some(seconds(12)), Some((seconds(12), seconds(2), 3))),
        (Some(Duration::ZERO), Some((seconds(1), seconds(1), 3))),
        (Some(Duration::MAX), Some((seconds(32_767), seconds(32_767), 3))),
        (None, None),
    ] {
        let listener = SocketListener::bind("127.0.0.1:0").await.unwrap().keepalive(silence).unwrap();
        assert_eq!(keepalive_of(listener).await.unwrap(), wanted);
    }
}

#[tokio::test]
async fn a_port_somebody_listens_at_is_refused() {
    let first = SocketListener::bind("127.0.0.1:0").await.unwrap();
    let address = first.to_string();
    let error = SocketListener::bind(&address).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[cfg(target_os = "linux")]
mod take_over {
    use super::*;

    #[tokio::test]
    async fn a_listener_knows_that_another_one_has_come() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let old = SocketListener::bind(address).await.unwrap();
            assert!(!old.is_taken_over(), "{address}");
            let new = SocketListener::take_over(&old.to_string()).await.unwrap();
            assert!(old.is_taken_over(), "{address}");
            drop(old);
            assert!(!new.is_taken_over(), "{address}");
        }
    }

    #[tokio::test]
    async fn a_port_nobody_listens_at_is_taken_over_too() {
        let first = SocketListener::take_over("127.0.0.1:0").await.unwrap();
        let error = SocketListener::bind(&first.to_string()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    }

    #[tokio::test]
    async fn a_port_of_another_program_is_not_taken_over() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap().to_string();
        let error = SocketListener::take_over(&address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
        assert!(error.to_string().contains(&address), "{error}");
    }

    #[tokio::test]
    async fn the_old_one_fails_no_check_and_all_new_connections_go_to_the_new_one_once_it_stops() {
        let old = SocketListener::bind("127.0.0.1:0").await.unwrap();
        let address = old.tcp_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = Server::new(echo()).serve(old).with_graceful_shutdown(async { drop(stopped.await) });
        let old = tokio::spawn(serve.into_future());
        let check = async || health_check(TcpStream::connect(address).await?, Config::new(Engine::Mux)).await;
        soon(check()).await.unwrap();
        let new = SocketListener::take_over(&address.to_string()).await.unwrap();
        tokio::spawn(Server::new(echo()).serve(new).into_future());

        drop(stop);
        // It waits for no health check to fail.
        assert_eq!(soon(old).await.unwrap().unwrap().unanswered, 0);
        for _ in 0..50 {
            soon(check()).await.unwrap();
            let mut haproxy = Haproxy::connect(soon(TcpStream::connect(address)).await.unwrap()).await;
            haproxy.ask("m").await;
            assert_eq!(name_of(&haproxy.ack().await), "m");
        }
    }
}
