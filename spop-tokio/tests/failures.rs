//! Requests that fail: each is answered at once with the fallback, and nobody else notices.

mod support;

use std::error::Error;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::{Actions, BoxError, Failure, FailureKind, Request, Scope, Server, Service, service_fn};
use support::{Haproxy, failure_of, frame, held, name_of, serve, serve_recorded, variable};
use tokio::io::DuplexStream;
use tokio::time::Instant;

/// What a handler does, by the name of the message.
async fn misbehave(request: Request) -> Result<Actions, BoxError> {
    let name = request.messages().next().ok_or("no message")?.name().to_string();
    if name.starts_with("late") {
        tokio::task::yield_now().await;
    }
    match name.trim_start_matches("late-") {
        "error" => Err("it did not work".into()),
        "panic" => panic!("a handler's panic"),
        "hang" => pending().await,
        "big" => Ok(big(20_000)),
        _ => Ok(support::answer(&name)),
    }
}

/// Actions of more than `len` bytes.
fn big(len: usize) -> Actions {
    let mut actions = Actions::new();
    actions.set_var(Scope::Transaction, "big", "x".repeat(len).as_str()).unwrap();
    actions
}

/// A HAProxy whose requests [`misbehave`] answers.
async fn haproxy(server: impl FnOnce(Server<Misbehaving>) -> Server<Misbehaving>) -> Haproxy<DuplexStream> {
    let (io, _serving) = serve(server(Server::new(Misbehaving)), 1 << 16);
    Haproxy::connect(io).await
}

struct Misbehaving;

impl Service for Misbehaving {
    type Error = BoxError;

    fn call(&self, request: Request) -> impl Future<Output = Result<Actions, BoxError>> + Send {
        assert!(request.message("sync-panic").is_none(), "a panic before there is a future");
        misbehave(request)
    }
}

/// The fallback's word for a request between two that go well, and that these do.
async fn word_among_neighbours(name: &str) -> String {
    let mut haproxy = haproxy(|server| server).await;
    let ids = haproxy.ask_all(&["late-before", name, "late-after"]).await;
    let acks = haproxy.acks(&ids).await;
    assert_eq!((name_of(&acks[0]), name_of(&acks[2])), ("late-before".into(), "late-after".into()));
    haproxy.ask("next").await;
    assert_eq!(name_of(&haproxy.ack().await), "next", "the connection lives");
    failure_of(&acks[1])
}

#[tokio::test(start_paused = true)]
async fn a_handlers_error_is_answered_with_error() {
    let start = Instant::now();
    assert_eq!(word_among_neighbours("error").await, "error");
    assert_eq!(word_among_neighbours("late-error").await, "error");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_answered_with_panic() {
    let start = Instant::now();
    for name in ["panic", "late-panic", "sync-panic"] {
        assert_eq!(word_among_neighbours(name).await, "panic", "{name}");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_answer_too_big_for_a_frame_is_answered_with_too_big() {
    let start = Instant::now();
    assert_eq!(word_among_neighbours("big").await, "too-big");
    assert_eq!(word_among_neighbours("late-big").await, "too-big");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_answered_with_timeout_at_its_time() {
    let mut haproxy = haproxy(|server| server.request_timeout(Duration::from_millis(300))).await;
    let start = Instant::now();
    haproxy.ask_all(&["hang", "late-quick"]).await;
    assert_eq!(name_of(&haproxy.ack().await), "late-quick");
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(failure_of(&haproxy.ack().await), "timeout");
    // The runtime's timers count in milliseconds.
    assert!((300..=301).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn every_handler_has_its_own_time() {
    let mut haproxy = haproxy(|server| server.request_timeout(Duration::from_millis(300))).await;
    let start = Instant::now();
    let mut asked = Vec::new();
    for _ in 0..4 {
        asked.push((haproxy.ask("hang").await, start.elapsed()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (id, at) in asked {
        let ack = haproxy.ack().await;
        assert_eq!((ack.id(), failure_of(&ack).as_str()), (id, "timeout"));
        let took = (start.elapsed() - at).as_millis();
        assert!((300..=302).contains(&took), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_timed_out_is_dropped() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server.request_timeout(Duration::from_millis(300)), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    let mut call = calls.next().await;
    call.dropped().await;
    assert_eq!(failure_of(&haproxy.ack().await), "timeout");
}

#[tokio::test(start_paused = true)]
async fn the_default_request_timeout_is_half_a_second() {
    let mut haproxy = haproxy(|server| server).await;
    let start = Instant::now();
    haproxy.ask("hang").await;
    assert_eq!(failure_of(&haproxy.ack().await), "timeout");
    assert!((500..=501).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_a_request_timeout_a_handler_has_all_the_time() {
    let (server, mut calls) = held();
    let (io, _serving) = serve(server.request_timeout(None), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    let call = calls.next().await;
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    call.echo();
    assert_eq!(name_of(&haproxy.ack().await), "m");
}

#[tokio::test]
async fn the_longest_answer_is_a_byte_shorter_than_negotiated() {
    // With its length prefix it leaves a byte of HAProxy's buffer free; a full one wedges HAProxy from 3.1.
    for (len, fits) in [(16_379, true), (16_380, false)] {
        // Header 7, action 3, name 1 + 3, type 1, length 3.
        let text = "x".repeat(len - 18);
        let service = service_fn(move |_: Request| {
            let mut actions = Actions::new();
            actions.set_var(Scope::Transaction, "big", text.as_str()).unwrap();
            async { Ok::<_, BoxError>(actions) }
        });
        let (io, writes, _serving) = serve_recorded(Server::new(service));
        let mut haproxy = Haproxy::connect(io).await;
        writes.take();
        haproxy.ask("m").await;
        let name = variable(&haproxy.ack().await).0;
        assert_eq!(name, if fits { "txn.big" } else { "txn.failure" });
        // The second AGENT-HELLO that ends pipelining stands in front of it.
        assert_eq!(writes.take().concat().ends_with(&"x".repeat(len - 18).into_bytes()), fits);
    }
}

#[tokio::test]
async fn a_fallback_that_does_not_fit_makes_an_empty_answer() {
    for engine in [Engine::Mux, Engine::Applet] {
        let server = Server::new(Misbehaving).on_failure(|_| big(300));
        let (io, _serving) = serve(server, 1 << 16);
        let mut haproxy = Haproxy::connect_as(io, Config::new(engine).max_frame_size(256)).await;
        let id = haproxy.ask("error").await;
        let ack = haproxy.ack().await;
        assert_eq!((ack.id(), ack.actions().count()), (id, 0));
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_answered_with_malformed() {
    let mut haproxy = haproxy(|server| server).await;
    // No count of arguments; an argument too few; no name; a reserved type; a string past the end; bytes after the
    // last.
    for payload in
        [&b"\x01m"[..], b"\x01m\x01", b"\0\0", b"\x01m\x01\0\x0f", b"\x01m\x01\0\x08\x09x", b"\x01m\0\x01"]
    {
        let (id, _) = haproxy.notify("m");
        haproxy.send(&frame(3, 1, (id.stream_id, id.frame_id), payload)).await;
        let ack = haproxy.ack().await;
        assert_eq!((ack.id(), failure_of(&ack).as_str()), (id, "malformed"), "{}", payload.escape_ascii());
    }
    haproxy.ask("next").await;
    assert_eq!(name_of(&haproxy.ack().await), "next", "the connection lives");
}

#[tokio::test]
async fn the_fallback_is_the_users_to_choose() {
    let closed = |failure: &Failure| {
        let mut actions = Actions::new();
        let verdict = format!("deny, {}", failure.kind());
        actions.set_var(Scope::Session, "verdict", verdict.as_str()).unwrap();
        actions
    };
    let mut haproxy = haproxy(|server| server.on_failure(closed)).await;
    haproxy.ask("panic").await;
    assert_eq!(variable(&haproxy.ack().await), ("sess.verdict".into(), "deny, panic".into()));
}

#[tokio::test(start_paused = true)]
async fn the_fallback_sees_what_failed() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let see = move |failure: &Failure| {
        let error = failure.error().map(<dyn Error + Send + Sync>::to_string);
        sees.lock().unwrap().push((failure.id(), failure.kind(), error));
        Actions::new()
    };
    let mut haproxy = haproxy(|server| server.on_failure(see)).await;
    let mut ids = haproxy.ask_all(&["error", "panic", "big", "hang"]).await;
    ids.insert(3, haproxy.notify("m").0);
    haproxy.send(&frame(3, 1, (ids[3].stream_id, ids[3].frame_id), b"\x01m")).await;
    haproxy.acks(&ids).await;
    let big = "frame would be longer than the 16379 bytes the peer accepts";
    let cut = "the frame ends in the middle of an item (at byte 9 of the frame)";
    let want = [
        (FailureKind::Error, Some("it did not work")),
        (FailureKind::Panic, None),
        (FailureKind::TooBig, Some(big)),
        (FailureKind::Malformed, Some(cut)),
        (FailureKind::Timeout, None),
    ];
    let seen = seen.lock().unwrap();
    let seen: Vec<_> = seen.iter().map(|(id, kind, error)| (*id, (*kind, error.as_deref()))).collect();
    assert_eq!(seen, ids.into_iter().zip(want).collect::<Vec<_>>());
}

/// A future that panics when it is dropped, ready at the poll after `pending` ones.
struct PanicsInDrop {
    pending: usize,
    in_drop: bool,
}

impl Future for PanicsInDrop {
    type Output = Result<Actions, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.pending.checked_sub(1) {
            Some(left) => {
                self.pending = left;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(Ok(support::answer("done"))),
        }
    }
}

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        assert!(!self.in_drop, "a panic in drop");
    }
}

/// How requests are answered whose futures are ready at the poll after `pending` ones and panic in drop.
async fn drop_panics(pending: usize) -> [(String, String); 2] {
    let service = service_fn(move |request: Request| PanicsInDrop {
        pending,
        in_drop: request.message("panics").is_some(),
    });
    let (io, _serving) = serve(Server::new(service).request_timeout(Duration::from_secs(1)), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let ids = haproxy.ask_all(&["panics", "does-not"]).await;
    let acks = haproxy.acks(&ids).await;
    haproxy.ask("does-not").await;
    haproxy.ack().await;
    [variable(&acks[0]), variable(&acks[1])]
}

#[tokio::test]
async fn an_answer_counts_even_if_its_future_panics_in_drop() {
    for pending in [0, 1, 10] {
        let done = || ("txn.name".to_owned(), "done".to_owned());
        assert_eq!(drop_panics(pending).await, [done(), done()], "after {pending} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_panics_in_drop_when_its_time_is_over_is_answered_with_timeout() {
    let service = service_fn(|request: Request| async move {
        let _panics = PanicsInDrop { pending: 0, in_drop: request.message("panics").is_some() };
        pending::<Result<Actions, BoxError>>().await
    });
    let (io, _serving) = serve(Server::new(service), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let ids = haproxy.ask_all(&["panics", "does-not"]).await;
    for ack in haproxy.acks(&ids).await {
        assert_eq!(failure_of(&ack), "timeout");
    }
}

#[tokio::test]
async fn a_fallback_that_panics_is_replaced_by_the_default_and_nobody_else_notices() {
    let mut haproxy = haproxy(|server| server.on_failure(|_| panic!("a fallback's panic"))).await;
    let ids = haproxy.ask_all(&["late-before", "error", "late-error", "late-after"]).await;
    let acks = haproxy.acks(&ids).await;
    assert_eq!([&acks[1], &acks[2]].map(failure_of), ["error", "error"]);
    assert_eq!([&acks[0], &acks[3]].map(name_of), ["late-before", "late-after"]);
}
