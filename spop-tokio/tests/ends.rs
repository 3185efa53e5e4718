//! How connections and requests end before their time.

mod support;

use std::future::pending;
use std::time::Duration;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{Frame, Status};
use spop_tokio::{Actions, BoxError, Error, Request, Server, Service, service_fn};
use support::haproxy::{disconnect_status, hello};
use support::{Calls, Haproxy, Serving, echo, ended, frame, held, name_of, serve, serve_recorded, soon};
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A connection with two requests in flight.
async fn two_in_flight() -> (Haproxy<DuplexStream>, Calls, [support::Call; 2], Serving) {
    let (server, mut calls) = held();
    let (io, serving) = serve(server, 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask_all(&["a", "b"]).await;
    let in_flight = calls.take(2).await.try_into().ok().unwrap();
    (haproxy, calls, in_flight, serving)
}

/// HAProxy's and the server's end of a TCP connection, the latter served.
async fn serve_tcp<S: Service>(server: Server<S>) -> (TcpStream, Serving) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = TcpStream::connect(listener.local_addr().unwrap());
    let (haproxy, agent) = tokio::join!(soon(connect), soon(listener.accept()));
    let agent = agent.unwrap().0;
    (haproxy.unwrap(), tokio::spawn(async move { server.serve_connection(agent).await }))
}

#[tokio::test]
async fn a_request_with_ids_in_flight_already_supersedes_the_old_one() {
    let (server, mut calls) = held();
    let (io, writes, _serving) = serve_recorded(server);
    let mut haproxy = Haproxy::connect(io).await;
    let (id, first) = haproxy.notify("first");
    haproxy.send(&first).await;
    let mut first = calls.next().await;
    haproxy.send(&frame(3, 1, (id.stream_id, id.frame_id), b"\x06second\0")).await;
    first.dropped().await;
    writes.take();
    calls.next().await.echo();
    assert_eq!(name_of(&haproxy.ack().await), "second");
    // Nothing but one ACK has come when the next request is answered.
    haproxy.ask("next").await;
    calls.next().await.echo();
    assert_eq!(name_of(&haproxy.ack().await), "next");
    let acks = writes.take().concat();
    assert_eq!(support::types(&acks).len(), 2);
}

#[tokio::test]
async fn the_old_handler_is_dropped_before_the_one_that_supersedes_it_starts() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server, 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let id = haproxy.ask("first").await;
    let first = calls.next().await;
    let again = frame(3, 1, (id.stream_id, id.frame_id), b"\x06second\0");
    haproxy.send(&again).await;
    let second = calls.next().await;
    assert!(first.is_dropped());
    haproxy.send(&again).await;
    let third = calls.next().await;
    assert!(second.is_dropped() && !third.is_dropped());
}

#[tokio::test]
async fn handlers_are_dropped_when_the_peer_closes() {
    let (haproxy, _calls, [mut a, mut b], serving) = two_in_flight().await;
    drop(haproxy);
    a.dropped().await;
    b.dropped().await;
    assert_eq!(ended(serving).await.unwrap(), 2, "requests without an answer");
}

#[tokio::test]
async fn handlers_are_dropped_when_the_connection_is_reset() {
    let (server, mut calls) = held();
    let (io, serving) = serve_tcp(server).await;
    io.set_zero_linger().unwrap();
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    let mut call = calls.next().await;
    drop(haproxy);
    call.dropped().await;
    assert_eq!(ended(serving).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn handlers_are_dropped_at_once_when_haproxy_disconnects() {
    let (mut haproxy, _calls, [mut a, mut b], serving) = two_in_flight().await;
    let start = Instant::now();
    haproxy.disconnect(Status::TIMEOUT).await;
    // It keeps the stream open.
    a.dropped().await;
    b.dropped().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(ended(serving).await.unwrap(), 2);
}

#[tokio::test]
async fn a_future_that_panics_in_drop_when_the_connection_ends_harms_nobody() {
    struct PanicsInDrop(mpsc::UnboundedSender<()>);
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
            panic!("a panic in drop");
        }
    }
    let (sender, mut dropped) = mpsc::unbounded_channel();
    let service = service_fn(move |_: Request| {
        let panics = PanicsInDrop(sender.clone());
        async move {
            let _panics = panics;
            pending::<Result<Actions, BoxError>>().await
        }
    });
    let (io, serving) = serve(Server::new(service), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask_all(&["a", "b", "c"]).await;
    // Whatever comes in is there before the end of the stream.
    drop(haproxy);
    for _ in 0..3 {
        soon(dropped.recv()).await.unwrap();
    }
    assert_eq!(ended(serving).await.unwrap(), 3);
}

#[tokio::test]
async fn haproxys_disconnect_is_answered_and_is_a_normal_end() {
    for status in [Status::NORMAL, Status::TIMEOUT, Status::IO] {
        let (io, serving) = serve(Server::new(echo()), 1 << 16);
        let mut haproxy = Haproxy::connect_as(io, Config::new(Engine::Applet)).await;
        haproxy.disconnect(status).await;
        assert_eq!(haproxy.disconnected().await, Status::NORMAL);
        drop(haproxy);
        assert_eq!(ended(serving).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn requests_before_haproxys_disconnect_are_answered_before_ours() {
    let (io, writes, _serving) = serve_recorded(Server::new(echo()));
    let mut haproxy = Haproxy::connect(io).await;
    writes.take();
    let notify = haproxy.notify("m").1;
    haproxy.send(&notify).await;
    haproxy.disconnect(Status::NORMAL).await;
    let frames = haproxy.rest().await;
    assert!(matches!(frames[..], [Frame::Ack(_), Frame::AgentDisconnect(_)]), "{frames:?}");
    assert_eq!(writes.take().len(), 1);
}

#[tokio::test]
async fn a_peer_that_closes_is_a_normal_end() {
    let (io, serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    haproxy.ack().await;
    drop(haproxy);
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_resets_is_a_normal_end() {
    let (io, serving) = serve_tcp(Server::new(echo())).await;
    io.set_zero_linger().unwrap();
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    haproxy.ack().await;
    drop(haproxy);
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_is_gone_when_it_is_answered_is_a_normal_end() {
    let (server, mut calls) = held();
    let (io, serving) = serve_tcp(server.max_in_flight(1)).await;
    io.set_zero_linger().unwrap();
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    let call = calls.next().await;
    drop(haproxy);
    // Handlers are looked at before the stream, so the write is the first to tell.
    call.echo();
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn a_local_peer_that_is_gone_when_it_is_answered_is_a_normal_end() {
    let (server, mut calls) = held();
    let (io, agent) = UnixStream::pair().unwrap();
    let server = server.max_in_flight(1);
    let serving = tokio::spawn(async move { server.serve_connection(agent).await });
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    let call = calls.next().await;
    drop(haproxy);
    call.echo();
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_closes_in_the_middle_of_a_frame_is_an_error() {
    let (io, serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let notify = haproxy.notify("m").1;
    haproxy.send(&notify[..notify.len() - 1]).await;
    drop(haproxy);
    let error = ended(serving).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the peer broke the protocol: the peer closed the connection in the middle of a frame"
    );
}

/// Sends `bytes` on a running connection; returns the frames that come until the server closes, and the error.
async fn after<S: Service>(server: Server<S>, bytes: &[u8]) -> (Vec<Frame<bytes::Bytes>>, Error) {
    let (io, serving) = serve(server, 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.send(bytes).await;
    let frames = haproxy.rest().await;
    drop(haproxy);
    (frames, ended(serving).await.unwrap_err())
}

#[tokio::test]
async fn what_breaks_the_protocol_is_told_before_the_connection_is_closed() {
    let second_hello = hello(Config::new(Engine::Mux));
    let ids_cut = [0, 0, 0, 7, 3, 0, 0, 0, 1, 1, 0xff];
    let fragment = frame(3, 0, (1, 1), b"\x01");
    let interlaced = [fragment.clone(), frame(3, 1, (3, 1), b"")].concat();
    let foreign = [fragment, frame(0, 1, (3, 1), b"")].concat();
    for (what, bytes, status) in [
        ("a second HELLO", &second_hello[..], Status::INVALID),
        ("a fragment of nothing", &frame(0, 1, (1, 1), b""), Status::INVALID),
        ("ids that cannot be read", &ids_cut, Status::INVALID),
        ("a length below 7", &[0, 0, 0, 6], Status::INVALID),
        ("a length past the limit", &[0, 0, 0x40, 0], Status::TOO_BIG),
        ("a request among the fragments of another", &interlaced, Status::INTERLACED_FRAMES),
        ("fragments of two requests", &foreign, Status::INTERLACED_FRAMES),
        ("a DISCONNECT with ids", &frame(2, 1, (1, 0), b""), Status::INVALID),
    ] {
        let (frames, error) = after(Server::new(echo()), bytes).await;
        assert_eq!(disconnect_status(&frames), status, "{what}");
        assert_eq!(error.status(), Some(status), "{what}");
    }
}

#[tokio::test]
async fn a_fragment_is_refused_where_fragments_are_switched_off() {
    let server = Server::new(echo()).fragments(0, 0);
    let (frames, _) = after(server, &frame(3, 0, (1, 1), b"\x01")).await;
    assert_eq!(disconnect_status(&frames), Status::FRAGMENTATION_NOT_SUPPORTED);
}

#[tokio::test]
async fn requests_before_a_fault_are_answered_before_the_disconnect() {
    let bytes = [frame(3, 1, (1, 1), b"\x01m\0"), frame(3, 1, (3, 1), b"\x01m\0"), vec![0; 4]].concat();
    let (frames, _) = after(Server::new(echo()), &bytes).await;
    assert!(matches!(frames[..], [Frame::Ack(_), Frame::Ack(_), Frame::AgentDisconnect(_)]), "{frames:?}");
}

#[tokio::test]
async fn handlers_in_flight_do_not_put_the_end_off() {
    let (mut haproxy, _calls, [mut a, mut b], serving) = two_in_flight().await;
    haproxy.send(&[0; 4]).await;
    assert_eq!(haproxy.disconnected().await, Status::INVALID);
    drop(haproxy);
    a.dropped().await;
    b.dropped().await;
    ended(serving).await.unwrap_err();
}
