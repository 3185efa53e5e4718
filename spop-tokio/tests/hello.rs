//! The start of a connection: HELLOs, health checks, and peers that speak no SPOP.

mod support;

use std::time::Duration;

use bytes::BytesMut;
use spop_tokio::Server;
use spop_tokio::spop::haproxy::{Config, Engine, Event};
use spop_tokio::spop::{
    AgentHello, Capabilities, Frame, FrameType, NotifyId, NotifyWriter, Status, TypedData, Version,
};
use support::haproxy::{disconnect_status, hello};
use support::{Haproxy, echo, ended, frame, serve, serve_recorded, types};
use tokio::time::Instant;

const HELLO: u8 = FrameType::HAPROXY_HELLO.0;

/// Sends `bytes` and nothing more; returns the status of the DISCONNECT that must be all there is to the answer, at
/// once.
async fn status_after(bytes: &[u8]) -> Status {
    tokio::time::pause();
    let start = Instant::now();
    let (io, serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::new(io, Config::new(Engine::Mux));
    haproxy.send(bytes).await;
    let status = disconnect_status(&haproxy.rest().await);
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(haproxy);
    assert_eq!(ended(serving).await.unwrap_err().status(), Some(status), "the caller gets to know it too");
    tokio::time::resume();
    status
}

/// A HAPROXY-HELLO of these items.
fn hello_of(items: &[(&str, TypedData<'_>)]) -> Vec<u8> {
    // The items of a HELLO look like the arguments of a message.
    let mut out = BytesMut::new();
    let mut notify = NotifyWriter::new(NotifyId { stream_id: 0, frame_id: 0 }, 16_380, &mut out);
    notify.message("m").unwrap();
    for &(name, value) in items {
        notify.arg(name, value).unwrap();
    }
    notify.finish();
    let arguments = 4 + 7 + 3;
    frame(HELLO, 1, (0, 0), &out[arguments..])
}

fn text(text: &str) -> TypedData<'_> {
    TypedData::from(text)
}

#[tokio::test]
async fn a_hello_is_answered_in_one_write() {
    let (io, writes, _serving) = serve_recorded(Server::new(echo()));
    Haproxy::connect(io).await;
    let writes = writes.take();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(types(&writes[0]), [FrameType::AGENT_HELLO]);
}

#[tokio::test]
async fn a_hello_that_comes_byte_by_byte_is_answered_in_one_write() {
    let (io, writes, _serving) = serve_recorded(Server::new(echo()));
    let config = Config::new(Engine::Mux);
    let mut haproxy = Haproxy::new(io, config.clone());
    for byte in hello(config) {
        haproxy.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    haproxy.event().await.unwrap().expect("AGENT-HELLO");
    assert_eq!(writes.take().len(), 1);
}

#[tokio::test]
async fn a_hello_takes_haproxys_size_up_to_its_own() {
    for (offered, own, want) in [(16_380, 16_380, 16_380), (8188, 16_380, 8188), (65_532, 20_000, 20_000)] {
        let (io, _serving) = serve(Server::new(echo()).max_frame_size(own), 1 << 16);
        let mut haproxy = Haproxy::new(io, Config::new(Engine::Mux).max_frame_size(offered));
        haproxy.hello().await;
        let Some(Event::Connected(negotiated)) = haproxy.event().await.unwrap() else {
            panic!("no AGENT-HELLO");
        };
        assert_eq!(negotiated.max_frame_size, want);
    }
}

#[tokio::test]
async fn a_health_check_is_answered_by_one_frame_and_closed() {
    let (io, writes, serving) = serve_recorded(Server::new(echo()));
    let mut haproxy = Haproxy::new(io, Config::new(Engine::Mux).healthcheck(true));
    haproxy.hello().await;
    let frames = haproxy.rest().await;
    let [Frame::AgentHello(AgentHello { version, max_frame_size, capabilities })] = &frames[..] else {
        panic!("want AGENT-HELLO and no more, got {frames:?}");
    };
    // HAProxy from 3.1 wants all three items.
    assert_eq!((*version, *max_frame_size), (Version::V2_0, Some(256)));
    assert_eq!(*capabilities, Some(Capabilities::NONE));
    assert_eq!(writes.take().len(), 1);
    drop(haproxy);
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn bytes_behind_a_health_check_are_not_looked_at() {
    let (io, serving) = serve(Server::new(echo()), 1 << 16);
    let config = Config::new(Engine::Mux).healthcheck(true);
    let mut haproxy = Haproxy::new(io, config.clone());
    haproxy.send(&[hello(config), b"GET / HTTP/1.1\r\n".to_vec()].concat()).await;
    assert_eq!(haproxy.rest().await.len(), 1);
    drop(haproxy);
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn a_disconnect_instead_of_a_hello_is_a_normal_end() {
    let (io, serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::new(io, Config::new(Engine::Applet));
    haproxy.disconnect(Status::NORMAL).await;
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn a_peer_that_closes_before_its_hello_is_a_normal_end() {
    let (io, serving) = serve(Server::new(echo()), 1 << 16);
    drop(io);
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_hello_lacks_is_said() {
    let versions = ("supported-versions", text("2.0"));
    let size = ("max-frame-size", TypedData::Uint32(16_380));
    let capabilities = ("capabilities", text(""));
    for (items, status) in [
        (&[size, capabilities][..], Status::NO_VERSION),
        (&[versions, capabilities], Status::NO_FRAME_SIZE),
        (&[versions, size], Status::NO_CAPABILITIES),
        (&[("supported-versions", text("1.0,3.0")), size, capabilities], Status::BAD_VERSION),
        (&[versions, ("max-frame-size", TypedData::Uint32(255)), capabilities], Status::BAD_FRAME_SIZE),
        (&[versions, ("max-frame-size", text("16380")), capabilities], Status::INVALID),
        (&[("supported-versions", TypedData::Null), size, capabilities], Status::INVALID),
        (&[], Status::NO_VERSION),
    ] {
        assert_eq!(status_after(&hello_of(items)).await, status, "{items:?}");
    }
}

#[tokio::test]
async fn a_hello_with_a_wrong_header_is_refused() {
    let payload = hello(Config::new(Engine::Mux)).split_off(4 + 7);
    for (frame, status) in [
        (frame(HELLO, 0, (0, 0), &payload), Status::FRAGMENTATION_NOT_SUPPORTED),
        (frame(HELLO, 1, (1, 0), &payload), Status::INVALID),
        (frame(HELLO, 1, (0, 1), &payload), Status::INVALID),
    ] {
        assert_eq!(status_after(&frame).await, status, "{frame:?}");
    }
}

#[tokio::test]
async fn any_other_frame_before_the_hello_is_refused() {
    for frame_type in [0, 3, 4, 101, 103, 255] {
        assert_eq!(status_after(&frame(frame_type, 1, (1, 1), b"")).await, Status::INVALID, "{frame_type}");
    }
}

#[tokio::test]
async fn first_bytes_of_other_protocols_are_refused_at_once() {
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let random = b"\x9a\x1f\x07\xe3\x55\x80\xc1\x22\x0d\xfe";
    for first in
        [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n", b"SSH-2.0-x\r\n", tls, random]
    {
        assert_eq!(status_after(first).await, Status::TOO_BIG, "{}", first.escape_ascii());
    }
}

#[tokio::test]
async fn a_length_that_no_frame_has_is_refused_before_anything_follows() {
    for length in 0..7u32 {
        assert_eq!(status_after(&length.to_be_bytes()).await, Status::INVALID, "{length}");
    }
    for length in [16_381, u32::MAX] {
        assert_eq!(status_after(&length.to_be_bytes()).await, Status::TOO_BIG, "{length}");
    }
}
