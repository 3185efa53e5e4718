//! Peers that mean no good, or are no HAProxy at all, once the HELLOs are exchanged. What they can do before is in
//! `hello.rs` and `timeouts.rs`.

mod support;

use std::time::Duration;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{FrameType, Status};
use spop_tokio::{Server, Service};
use support::haproxy::disconnect_status;
use support::{Haproxy, echo, ended, frame, name_of, serve, soon};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const NOTIFY: u8 = FrameType::NOTIFY.0;
const UNSET: u8 = FrameType::UNSET.0;

async fn connected<S: Service>(server: Server<S>) -> Haproxy<DuplexStream> {
    let (io, _serving) = serve(server, 1 << 16);
    Haproxy::connect_as(io, Config::new(Engine::Applet)).await
}

/// Sends `bytes` behind the HELLOs; returns the status of the DISCONNECT that must be all there is to the answer.
async fn status_after(bytes: &[u8]) -> Status {
    let (io, serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.send(bytes).await;
    let status = disconnect_status(&haproxy.rest().await);
    drop(haproxy);
    assert_eq!(ended(serving).await.unwrap_err().status(), Some(status), "the caller gets to know it too");
    status
}

#[tokio::test]
async fn bytes_of_other_protocols_are_refused_at_once() {
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let random = b"\x9a\x1f\x07\xe3\x55\x80\xc1\x22\x0d\xfe";
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n", tls, random] {
        assert_eq!(status_after(bytes).await, Status::TOO_BIG, "{}", bytes.escape_ascii());
    }
}

#[tokio::test]
async fn a_length_that_no_frame_has_is_refused_before_anything_follows() {
    for length in 0..7u32 {
        assert_eq!(status_after(&length.to_be_bytes()).await, Status::INVALID, "{length}");
    }
    for length in [16_381, 0x7fff_ffff, u32::MAX] {
        assert_eq!(status_after(&length.to_be_bytes()).await, Status::TOO_BIG, "{length}");
    }
}

#[tokio::test]
async fn a_frame_is_held_against_our_own_limit_whatever_was_agreed_on() {
    let (io, _serving) = serve(Server::new(echo()).max_frame_size(1_000), 1 << 16);
    let mut haproxy = Haproxy::connect_as(io, Config::new(Engine::Mux).max_frame_size(256)).await;
    let of = |len: usize, id| frame(NOTIFY, 1, id, &[b"\x01m\x01\0\x09", &*padding(len - 7 - 5)].concat());
    // The ids are taken, and its frame is not sent.
    let (id, _) = haproxy.notify("m");
    haproxy.send(&of(1_000, (id.stream_id, id.frame_id))).await;
    assert_eq!(name_of(&haproxy.ack().await), "m");
    haproxy.send(&of(1_001, (3, 1))).await;
    assert_eq!(haproxy.disconnected().await, Status::TOO_BIG);
}

/// A length of two bytes and as many as fit.
fn padding(len: usize) -> Vec<u8> {
    let content = vec![b'x'; len - 2];
    let mut bytes = spop_tokio::spop::varint::encode(content.len() as u64, &mut [0; 10]).to_vec();
    assert_eq!(bytes.len(), 2);
    bytes.extend(content);
    bytes
}

#[tokio::test]
async fn an_id_that_cannot_be_read_is_refused() {
    for id in [&[0xff; 12][..], &[1, 0xff, 0x80]] {
        let body = [&[NOTIFY, 0, 0, 0, 1][..], id].concat();
        let frame = [&(body.len() as u32).to_be_bytes()[..], &body].concat();
        assert_eq!(status_after(&frame).await, Status::INVALID, "{id:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_given_up_at_the_idle_timeout() {
    let mut haproxy = connected(Server::new(echo()).idle_timeout(2 * SECOND)).await;
    let (_, request) = haproxy.notify("m");
    let start = Instant::now();
    haproxy.send(&request[..request.len() - 1]).await;
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    assert!(start.elapsed() < 4 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_in_fragments_that_never_ends_is_given_up_at_the_idle_timeout() {
    let mut haproxy = connected(Server::new(echo()).idle_timeout(2 * SECOND)).await;
    let start = Instant::now();
    haproxy.send(&frame(NOTIFY, 0, (1, 1), b"\x01m\x01")).await;
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    assert!(start.elapsed() < 4 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_ends_is_given_up_at_the_age_and_the_drain_timeout() {
    for fragment in [false, true] {
        let server = Server::new(echo()).max_connection_age(4 * SECOND).drain_timeout(2 * SECOND);
        let mut haproxy = connected(server).await;
        let (_, request) = haproxy.notify("m");
        let start = Instant::now();
        let first = frame(NOTIFY, 0, (1, 1), b"\x01m\x01");
        haproxy.send(if fragment { &first } else { &request[..request.len() - 1] }).await;
        haproxy.rest().await;
        assert!(start.elapsed() < 8 * SECOND, "{:?}, in fragments: {fragment}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_a_byte_a_second_is_answered_in_the_end() {
    let mut haproxy = connected(Server::new(echo())).await;
    let (_, request) = haproxy.notify("m");
    for byte in &request[..] {
        haproxy.send(&[*byte]).await;
        sleep(SECOND).await;
    }
    assert_eq!(name_of(&haproxy.ack().await), "m");
}

/// How many bytes the server takes from a peer that reads nothing, over buffers of 64 KiB each way.
async fn taken_from_one_that_never_reads(bytes: &[u8]) -> usize {
    let mut haproxy = connected(Server::new(echo()).write_timeout(3600 * SECOND)).await;
    let mut taken = 0;
    while let Ok(written) = tokio::time::timeout(SECOND, haproxy.io.write(bytes)).await {
        taken += written.unwrap();
        assert!(taken < 1 << 26, "it is read without end");
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_and_never_reads_is_not_read_from_for_long() {
    let small: Vec<_> = (0..1_000).flat_map(|id| frame(NOTIFY, 1, (id, 1), b"\x01m\0")).collect();
    let malformed: Vec<_> = (0..1_000).flat_map(|id| frame(NOTIFY, 1, (id, 1), b"\xc8")).collect();
    for bytes in [small, malformed] {
        let taken = taken_from_one_that_never_reads(&bytes).await;
        // Answers are longer than these requests: 320 KiB of them wait at most, and 64 KiB are on their way.
        assert!(taken < 1 << 20, "{taken} bytes");
    }
}

#[tokio::test]
async fn fragments_that_follow_no_notify_are_refused() {
    assert_eq!(status_after(&frame(UNSET, 1, (1, 1), b"")).await, Status::INVALID);
}

#[tokio::test]
async fn a_neighbour_does_not_notice() {
    let server = std::sync::Arc::new(Server::new(echo()));
    let (good, _good) = support::serve_one_more(&server, 1 << 16);
    let mut good = Haproxy::connect(good).await;
    for bytes in [&[0xff; 8][..], &[0; 4], b"GET / HTTP/1.1\r\n\r\n"] {
        let (bad, bad_end) = support::serve_one_more(&server, 1 << 16);
        let mut bad = Haproxy::connect(bad).await;
        bad.send(bytes).await;
        soon(bad.io.shutdown()).await.unwrap();
        bad.rest().await;
        ended(bad_end).await.unwrap_err();
        good.ask("m").await;
        assert_eq!(name_of(&good.ack().await), "m");
    }
}
