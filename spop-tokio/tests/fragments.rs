//! Requests in fragments, as HAProxy up to 3.0 sends what does not fit a frame.

mod support;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{Flags, Frame, NotifyId};
use spop_tokio::{Actions, BoxError, Request, Scope, Server, TypedData, service_fn};
use support::{Haproxy, echo, failure_of, frame, frames, held, name_of, serve, serve_recorded, soon};
use tokio::io::DuplexStream;

/// The frames of the server are that short.
const SIZE: u32 = 300;
const FIN: u32 = 1;
const ABORT: u32 = 2;

fn applet() -> Config {
    Config::new(Engine::Applet)
}

/// A HAProxy whose requests [`echo`] answers.
async fn haproxy() -> Haproxy<DuplexStream> {
    let (io, _serving) = serve(Server::new(echo()).max_frame_size(SIZE), 1 << 16);
    Haproxy::connect_as(io, applet()).await
}

#[tokio::test]
async fn a_request_in_fragments_reaches_its_handler_whole() {
    let service = service_fn(|request: Request| async move {
        let message = request.message("upload").ok_or("no message")?;
        let body: &[u8] = message.get("body")?;
        let sum = body.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        let mut actions = Actions::new();
        actions.set_var(Scope::Transaction, "name", format!("{} {sum}", body.len()).as_str())?;
        Ok::<_, BoxError>(actions)
    });
    let (io, _serving) = serve(Server::new(service).max_frame_size(SIZE), 1 << 16);
    let mut haproxy = Haproxy::connect_as(io, applet()).await;
    let body: Vec<u8> = (0..100_000u32).map(|index| index as u8).collect();
    let (id, bytes) = haproxy.notify_with("upload", &[("body", TypedData::Binary(&body))]);
    assert!(frames(&mut bytes.clone()).len() > 300, "it leaves in many frames");
    haproxy.send(&bytes).await;
    let ack = haproxy.ack().await;
    let sum: u64 = body.iter().map(|&byte| u64::from(byte)).sum();
    assert_eq!((ack.id(), name_of(&ack)), (id, format!("100000 {sum}")));
}

#[tokio::test]
async fn fragments_that_come_byte_by_byte_are_put_together() {
    let mut haproxy = haproxy().await;
    let (_, bytes) = haproxy.notify_with("upload", &[("body", TypedData::Binary(&[7; 500]))]);
    for byte in bytes {
        haproxy.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(name_of(&haproxy.ack().await), "upload");
}

#[tokio::test]
async fn answers_leave_while_fragments_of_the_next_request_come() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server.max_frame_size(SIZE), 1 << 16);
    let mut haproxy = Haproxy::connect_as(io, applet()).await;
    haproxy.ask("first").await;
    let first = calls.next().await;
    let (_, bytes) = haproxy.notify_with("upload", &[("body", TypedData::Binary(&[7; 500]))]);
    haproxy.send(&bytes[..400]).await;
    first.echo();
    assert_eq!(name_of(&haproxy.ack().await), "first");
    haproxy.send(&bytes[400..]).await;
    calls.next().await.echo();
    assert_eq!(name_of(&haproxy.ack().await), "upload");
}

#[tokio::test]
async fn a_request_given_up_half_way_gets_no_answer() {
    let (io, writes, _serving) = serve_recorded(Server::new(echo()));
    let mut haproxy = Haproxy::connect_as(io, applet()).await;
    writes.take();
    let (NotifyId { stream_id, frame_id }, _) = haproxy.notify("upload");
    let id = (stream_id, frame_id);
    haproxy.send(&[frame(3, 0, id, b"\x06upload"), frame(0, FIN | ABORT, id, b"")].concat()).await;
    haproxy.ask("next").await;
    assert_eq!(name_of(&haproxy.ack().await), "next");
    assert_eq!(support::types(&writes.take().concat()).len(), 1);
}

#[tokio::test]
async fn a_request_past_the_limit_fails_and_the_connection_lives() {
    let server = Server::new(echo()).max_frame_size(SIZE).fragments(1000, 4096);
    let (io, writes, _serving) = serve_recorded(server);
    let mut haproxy = Haproxy::connect_as(io, applet()).await;
    writes.take();
    let (id, bytes) = haproxy.notify_with("upload", &[("body", TypedData::Binary(&[7; 5000]))]);
    haproxy.send(&bytes).await;
    let fallback = haproxy.ack().await;
    assert_eq!((fallback.id(), failure_of(&fallback)), (id, "too-big".to_owned()));
    assert_eq!(fallback.flags(), Flags(FIN), "with ABORT, HAProxy would not use the connection again");
    haproxy.ask("next").await;
    assert_eq!(name_of(&haproxy.ack().await), "next");
    let sent = frames(&mut writes.take().concat()[..].into());
    assert!(matches!(sent[..], [Frame::Ack(_), Frame::Ack(_)]), "{sent:?}");
}

#[tokio::test]
async fn a_request_of_too_many_fragments_fails() {
    let (io, _serving) = serve(Server::new(echo()).fragments(1 << 20, 3), 1 << 16);
    let mut haproxy = Haproxy::connect_as(io, applet()).await;
    let (id, _) = haproxy.notify("m");
    let id = (id.stream_id, id.frame_id);
    let parts =
        [frame(3, 0, id, b"\x01m"), frame(0, 0, id, b""), frame(0, 0, id, b""), frame(0, FIN, id, b"\0")];
    haproxy.send(&parts.concat()).await;
    assert_eq!(failure_of(&haproxy.ack().await), "too-big");
}

#[tokio::test]
async fn fragments_are_announced_unless_they_are_switched_off() {
    for (server, announced) in [(Server::new(echo()), true), (Server::new(echo()).fragments(0, 0), false)] {
        let (io, writes, _serving) = serve_recorded(server);
        Haproxy::connect_as(io, applet()).await;
        let hello = writes.take().concat();
        let frames = frames(&mut hello[..].into());
        let [Frame::AgentHello(hello)] = &frames[..] else { panic!("{frames:?}") };
        let capabilities = hello.capabilities.unwrap();
        assert_eq!(capabilities.contains(spop_tokio::spop::Capabilities::FRAGMENTATION), announced);
    }
}

#[tokio::test]
async fn a_first_fragment_with_ids_in_flight_supersedes_the_old_request() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server, 1 << 16);
    let mut haproxy = Haproxy::connect_as(io, applet()).await;
    let id = haproxy.ask("first").await;
    let mut first = calls.next().await;
    let id = (id.stream_id, id.frame_id);
    haproxy.send(&frame(3, 0, id, b"\x06second")).await;
    soon(first.dropped()).await;
    haproxy.send(&frame(0, FIN, id, b"\0")).await;
    calls.next().await.echo();
    assert_eq!(name_of(&haproxy.ack().await), "second");
}
