//! Long answers: HAProxy from 3.1 loses a connection for good on which it finds 16384 bytes to read (wire pitfall P1).

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{FrameType, LENGTH_PREFIX};
use spop_tokio::{Actions, BoxError, Request, Scope, Server, service_fn};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::support::{
    Calls, Haproxy, MAX_FRAME, Running, Writes, ended, frame, held, serve, serve_recorded, soon,
};

const WINDOW: usize = 20;
/// HAProxy's `tune.bufsize`.
const BUFFER: usize = MAX_FRAME as usize + 4;

fn answer(length: usize) -> Actions {
    let mut actions = Actions::new();
    actions.set_var(Scope::Transaction, "long", "x".repeat(length)).unwrap();
    actions
}

/// All of a full window are asked, answered together with `length` bytes each, and read.
async fn answer_a_window(config: Config, length: usize) -> (Writes, Vec<usize>) {
    let (server, mut calls): (_, Calls) = held();
    let (io, writes, _serving) = serve_recorded(server.request_timeout(None));
    let mut haproxy = Haproxy::connect_as(io, config).await;
    let ids = haproxy.ask_all(&["m"; WINDOW]).await;
    let calls = calls.take(WINDOW).await;
    writes.take();
    for call in calls {
        call.answer(answer(length));
    }
    let acks = haproxy.acks(&ids).await;
    assert_eq!(acks.len(), WINDOW);
    let sizes = writes.take().iter().map(Vec::len).collect();
    (writes, sizes)
}

#[tokio::test(start_paused = true)]
async fn long_answers_leave_in_parts_that_haproxy_can_take() {
    for length in [830, 2_000, 10_000, 16_000] {
        let start = Instant::now();
        let (_, sizes) = soon(answer_a_window(Config::new(Engine::Mux), length)).await;
        assert!(sizes.iter().all(|&size| size < BUFFER), "{length}: {sizes:?}");
        assert!(sizes.len() > 1 && start.elapsed().as_millis() >= 50, "{length}: {sizes:?} without a pause");
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_long_answer_ends_pipelining_before_it_is_sent() {
    let (server, mut calls) = held();
    let (io, writes, _serving) = serve_recorded(server);
    let mut haproxy = Haproxy::connect_as(io, Config::new(Engine::Mux)).await;
    let id = haproxy.ask("m").await;
    writes.take();
    calls.next().await.answer(answer(830));
    soon(haproxy.acks(&[id])).await;
    let sent = writes.take().concat();
    assert_eq!(sent[LENGTH_PREFIX], FrameType::AGENT_HELLO.0);
    assert_eq!(haproxy.window(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_server_remembers_that_answers_are_long() {
    let (server, mut calls) = held();
    let running = Running::start(server);
    let (mut early, _) = running.connect().await;
    let (mut first, _) = running.connect().await;
    let id = first.ask("m").await;
    calls.next().await.answer(answer(2_000));
    soon(first.acks(&[id])).await;
    let (late, _) = running.connect().await;
    assert_eq!(late.window(), 1);
    let id = early.ask("m").await;
    calls.next().await.answer(answer(10));
    soon(early.acks(&[id])).await;
    assert_eq!(early.window(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_pipelining_answers_of_a_seventh_of_the_buffer_never_wait() {
    assert_eq!(ask_one_by_one(2_300, 100).await, 0);
}

#[tokio::test(start_paused = true)]
async fn without_pipelining_longer_ones_leave_ten_milliseconds_after_their_request() {
    assert_eq!(ask_one_by_one(16_000, 100).await, 99 * 10);
}

/// How many milliseconds `requests` take, one after the other, each answered at once with `length` bytes.
async fn ask_one_by_one(length: usize, requests: usize) -> u128 {
    let (server, mut calls) = held();
    let (io, writes, _serving) = serve_recorded(server.pipelining(false));
    let mut haproxy = Haproxy::connect_as(io, Config::new(Engine::Mux)).await;
    let start = Instant::now();
    for _ in 0..requests {
        let ids = haproxy.ask_all(&["m"]).await;
        calls.next().await.answer(answer(length));
        soon(haproxy.acks(&ids)).await;
    }
    assert!(writes.take().iter().all(|write| write.len() < BUFFER));
    start.elapsed().as_millis()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_haproxy_gave_up_is_cancelled_and_not_answered() {
    let (server, mut calls) = held();
    let (io, _writes, _serving) = serve_recorded(server.pipelining(false));
    let mut haproxy = Haproxy::connect_as(io, Config::new(Engine::Mux)).await;
    let given_up = haproxy.ask("m").await;
    let mut call = calls.next().await;
    haproxy.abandon(given_up);
    let next = haproxy.ask("n").await;
    let other = calls.next().await;
    call.dropped().await;
    other.answer(answer(10));
    // The ACK to the other one would be a LateAck.
    soon(haproxy.acks(&[next])).await;
}

#[tokio::test]
async fn a_peer_that_asks_much_and_reads_nothing_is_not_answered_more_than_fits_a_window() {
    const NOTIFYS: u64 = 2000;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let service = service_fn(move |_: Request| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, BoxError>(answer(16_000)) }
    });
    let (io, serving) = serve(Server::new(service), 64 * 1024);
    let mut haproxy = Haproxy::connect_as(io, Config::new(Engine::Applet)).await;
    let asks: Vec<u8> = (0..NOTIFYS).flat_map(|id| frame(3, 1, (id, 1), &[])).collect();
    haproxy.send(&asks).await;
    // Half a close, so that the server has seen everything by the time it ends.
    soon(haproxy.io.shutdown()).await.unwrap();
    drop(haproxy);
    let _ = ended(serving).await;
    let called = calls.load(Ordering::Relaxed);
    assert!((1..=40).contains(&called), "{called} answers of 16 kB were made for nobody");
}

#[tokio::test(start_paused = true)]
async fn answers_that_fit_the_buffer_together_do_not_wait() {
    let start = Instant::now();
    let (_, sizes) = soon(answer_a_window(Config::new(Engine::Mux), 350)).await;
    assert_eq!(sizes.len(), 1, "{sizes:?}");
    assert_eq!(start.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn haproxy_up_to_3_0_gets_long_answers_at_once() {
    let start = Instant::now();
    soon(answer_a_window(Config::new(Engine::Applet), 10_000)).await;
    assert_eq!(start.elapsed().as_millis(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_a_few_bytes_at_a_time_gets_every_answer() {
    for length in [100, 830, 2_000, 16_000] {
        let (server, mut calls) = held();
        let (io, _serving) = serve(server.request_timeout(None), 100);
        let mut haproxy = Haproxy::connect_as(io, Config::new(Engine::Mux)).await;
        let ids = haproxy.ask_all(&["m"; WINDOW]).await;
        for call in calls.take(WINDOW).await {
            call.answer(answer(length));
        }
        assert_eq!(soon(haproxy.acks(&ids)).await.len(), WINDOW, "{length}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_larger_buffer_of_haproxy_takes_more_at_a_time() {
    let config = Config::new(Engine::Mux).max_frame_size(65_532);
    let (server, mut calls) = held();
    let (io, writes, _serving) = serve_recorded(server.max_frame_size(65_532).request_timeout(None));
    let mut haproxy = Haproxy::connect_as(io, config).await;
    let ids = haproxy.ask_all(&["m"; 4]).await;
    let calls = calls.take(4).await;
    writes.take();
    for call in calls {
        call.answer(answer(40_000));
    }
    soon(haproxy.acks(&ids)).await;
    let sizes: Vec<usize> = writes.take().iter().map(Vec::len).collect();
    assert_eq!(sizes.len(), 4, "{sizes:?}");
    assert!(sizes.iter().all(|&size| size > 40_000 && size < 65_536), "{sizes:?}");
}
