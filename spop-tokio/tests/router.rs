//! Handlers by message name, and what is too much for one of them or for the server.

mod support;

use std::error::Error;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use spop_tokio::spop::FrameDecoder;
use spop_tokio::{
    Actions, BoxError, Failure, FailureKind, MessageFailure, MessageRef, MessageRequest, Route, Router,
    Server, Service, State, Var,
};
use support::{
    Haproxy, Held, MAX_FRAME, PATIENCE, answer, echo, failure_of, frame, held, name_of, serve,
    serve_one_more, soon, texts, variables,
};
use tokio::io::{AsyncReadExt, DuplexStream};

/// A handler that answers with `text`.
fn say(text: &'static str) -> impl Fn(MessageRequest) -> std::future::Ready<Result<Actions, BoxError>> {
    move |_| std::future::ready(Ok(answer(text)))
}

/// A handler that fails.
async fn fail(request: MessageRequest) -> Result<Actions, BoxError> {
    Err(format!("{} did not work", request.message().name()).into())
}

/// A handler that blocks its thread until the test sends something, once for each call.
fn blocked()
-> (impl Fn(MessageRequest) -> Result<Actions, BoxError> + Send + Sync + 'static, mpsc::Sender<()>) {
    let (go, gate) = mpsc::channel();
    let gate = Mutex::new(gate);
    let handler = move |_: MessageRequest| {
        gate.lock().unwrap().recv_timeout(PATIENCE)?;
        Ok(answer("blocked"))
    };
    (handler, go)
}

/// A HAProxy whose requests `router` answers, without a time limit.
async fn haproxy(router: Router) -> Haproxy<DuplexStream> {
    haproxy_of(Server::new(router).request_timeout(None)).await
}

async fn haproxy_of(server: Server<Router>) -> Haproxy<DuplexStream> {
    let (io, _serving) = serve(server, 1 << 16);
    Haproxy::connect(io).await
}

#[tokio::test]
async fn a_message_is_answered_by_the_handler_of_its_name() {
    let mut haproxy = haproxy(Router::new().message("a", say("by a")).message("b", say("by b"))).await;
    for (name, want) in [("b", "by b"), ("a", "by a")] {
        haproxy.ask(name).await;
        assert_eq!(name_of(&haproxy.ack().await), want);
    }
}

#[tokio::test]
async fn the_last_handler_given_for_a_name_counts() {
    let router = Router::new().message("a", fail).message("b", say("by b")).message("a", say("by the last"));
    let mut haproxy = haproxy(router).await;
    haproxy.ask("a").await;
    assert_eq!(name_of(&haproxy.ack().await), "by the last");
}

#[tokio::test]
async fn a_message_without_a_handler_is_ignored() {
    let mut haproxy = haproxy(Router::new().message("known", say("by known"))).await;
    haproxy.ask("unknown").await;
    assert_eq!(haproxy.ack().await.actions().count(), 0);
    haproxy.ask_together(&["unknown", "known", "unknown"]).await;
    assert_eq!(name_of(&haproxy.ack().await), "by known");
}

#[tokio::test]
async fn the_fallback_answers_messages_that_no_other_handler_is_for() {
    let fallback = |request: MessageRequest| async move { answer(&request.message().name().to_string()) };
    let mut haproxy = haproxy(Router::new().message("known", say("by known")).fallback(fallback)).await;
    haproxy.ask_together(&["other", "known", "another"]).await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=other", "txn.name=by known", "txn.name=another"]);
}

#[tokio::test]
async fn a_handler_gets_its_message_and_the_request_with_the_others() {
    let look = |request: MessageRequest| async move {
        let all: Vec<_> = request.request().messages().map(|message| message.name().to_string()).collect();
        answer(&format!("{} of {}", request.message().name(), all.join(" ")))
    };
    let mut haproxy = haproxy(Router::new().fallback(look)).await;
    haproxy.ask_together(&["a", "b"]).await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=a of a b", "txn.name=b of a b"]);
}

#[tokio::test]
async fn messages_of_a_request_are_answered_in_one_ack_in_their_order_whichever_finishes_last() {
    let (held, mut calls) = Held::new();
    let mut haproxy = haproxy(Router::new().fallback(held.handler())).await;
    let id = haproxy.ask_together(&["a", "b", "c"]).await;
    // All have started before any has answered.
    let [a, b, c] = calls.take(3).await.try_into().ok().unwrap();
    for call in [c, b, a] {
        call.echo();
    }
    let ack = haproxy.ack().await;
    assert_eq!(ack.id(), id);
    assert_eq!(texts(&ack), ["txn.name=a", "txn.name=b", "txn.name=c"]);
}

#[tokio::test]
async fn an_error_of_the_only_message_is_answered_with_error() {
    let mut haproxy = haproxy(Router::new().message("fails", fail)).await;
    haproxy.ask("fails").await;
    assert_eq!(failure_of(&haproxy.ack().await), "error");
}

#[tokio::test]
async fn if_one_message_fails_the_actions_of_the_others_come_before_the_fallback() {
    let router = Router::new().message("a", say("by a")).message("fails", fail).message("b", say("by b"));
    let mut haproxy = haproxy(router).await;
    haproxy.ask_together(&["a", "fails", "b"]).await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=by a", "txn.name=by b", "txn.failure=error"]);
}

#[tokio::test]
async fn if_several_messages_fail_there_is_one_fallback_for_the_first_error() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let see = move |failure: &Failure| {
        let error = failure.error().map(<dyn Error + Send + Sync>::to_string);
        sees.lock().unwrap().push((failure.kind(), failure.message().map(str::to_owned), error));
        answer("fallback")
    };
    let router = Router::new().message("a", say("by a")).fallback(fail);
    let mut haproxy = haproxy_of(Server::new(router).on_failure(see)).await;
    haproxy.ask_together(&["first", "a", "second"]).await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=by a", "txn.name=fallback"]);
    assert_eq!(
        *seen.lock().unwrap(),
        [(FailureKind::Error, Some("first".to_owned()), Some("first did not work".to_owned()))]
    );
}

#[tokio::test]
async fn a_panic_over_one_message_keeps_the_actions_of_the_others() {
    async fn late_panic(_: MessageRequest) -> Result<Actions, BoxError> {
        tokio::task::yield_now().await;
        panic!("a handler's panic")
    }
    fn early_panic(_: MessageRequest) -> std::future::Ready<Result<Actions, BoxError>> {
        panic!("a panic before there is a future")
    }
    let router =
        Router::new().message("a", say("by a")).message("late", late_panic).message("early", early_panic);
    let mut haproxy = haproxy(router).await;
    for panics in ["late", "early"] {
        haproxy.ask_together(&[panics, "a"]).await;
        assert_eq!(texts(&haproxy.ack().await), ["txn.name=by a", "txn.failure=panic"], "{panics}");
    }
}

#[tokio::test]
async fn if_the_others_actions_do_not_fit_with_the_fallback_it_comes_alone() {
    // Fits into the frame, with fewer bytes to spare than the fallback has.
    let big = || (Var::transaction("big"), "x".repeat(MAX_FRAME as usize - 30));
    let mut haproxy = haproxy(Router::new().message("big", big).message("fails", fail)).await;
    haproxy.ask_together(&["big", "unknown"]).await;
    assert_eq!(variables(&haproxy.ack().await)[0].0, "txn.big");
    haproxy.ask_together(&["big", "fails"]).await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.failure=error"]);
}

#[tokio::test]
async fn one_message_over_the_limit_fails_with_overload_while_another_is_served() {
    let (held, mut calls) = Held::new();
    let router = Router::new()
        .message("slow", Route::new(held.handler()).concurrency(2))
        .message("quick", say("by quick"));
    let mut haproxy = haproxy(router).await;
    haproxy.ask_all(&["slow", "slow"]).await;
    let in_flight = calls.take(2).await;
    haproxy.ask("slow").await;
    assert_eq!(failure_of(&haproxy.ack().await), "overload");
    haproxy.ask("quick").await;
    assert_eq!(name_of(&haproxy.ack().await), "by quick");
    assert!(calls.is_empty(), "a handler too many");
    for call in in_flight {
        call.echo();
        assert_eq!(name_of(&haproxy.ack().await), "slow");
    }
}

#[tokio::test]
async fn overload_of_one_message_keeps_the_actions_of_the_others() {
    let (held, mut calls) = Held::new();
    let router = Router::new()
        .message("slow", Route::new(held.handler()).concurrency(1))
        .message("quick", say("by quick"));
    let mut haproxy = haproxy(router).await;
    haproxy.ask("slow").await;
    let _in_flight = calls.next().await;
    haproxy.ask_together(&["slow", "quick"]).await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=by quick", "txn.failure=overload"]);
}

#[tokio::test]
async fn a_place_is_free_again_once_the_handler_has_answered() {
    let (held, mut calls) = Held::new();
    let mut haproxy = haproxy(Router::new().message("slow", Route::new(held.handler()).concurrency(1))).await;
    for _ in 0..3 {
        haproxy.ask("slow").await;
        calls.next().await.echo();
        assert_eq!(name_of(&haproxy.ack().await), "slow");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_once_the_handlers_time_is_over() {
    let (held, mut calls) = Held::new();
    let router = Router::new().message("slow", Route::new(held.handler()).concurrency(1));
    let mut haproxy = haproxy_of(Server::new(router)).await;
    haproxy.ask("slow").await;
    let _in_flight = calls.next().await;
    assert_eq!(failure_of(&haproxy.ack().await), "timeout");
    haproxy.ask("slow").await;
    calls.next().await.echo();
    assert_eq!(name_of(&haproxy.ack().await), "slow");
}

// The runtime has one thread: if the handler were on it, nothing would be answered.
#[tokio::test(flavor = "current_thread")]
async fn while_a_blocking_handler_blocks_the_runtime_goes_on() {
    let (blocked, go) = blocked();
    let router = Router::new()
        .message("slow", Route::blocking(blocked).concurrency(1))
        .message("quick", say("by quick"));
    let mut haproxy = haproxy(router).await;
    haproxy.ask_all(&["slow", "quick"]).await;
    assert_eq!(name_of(&haproxy.ack().await), "by quick");
    go.send(()).unwrap();
    assert_eq!(name_of(&haproxy.ack().await), "blocked");
}

#[tokio::test]
async fn a_panic_in_a_blocking_handler_is_answered_with_panic_and_frees_its_place() {
    fn panics() {
        panic!("a handler's panic")
    }
    let mut haproxy = haproxy(Router::new().message("m", Route::blocking(panics).concurrency(1))).await;
    for _ in 0..2 {
        haproxy.ask("m").await;
        assert_eq!(failure_of(&haproxy.ack().await), "panic");
    }
}

#[tokio::test]
async fn a_blocking_handler_holds_its_place_until_its_thread_is_done_even_if_its_time_is_over() {
    let (blocked, go) = blocked();
    let server = Server::new(Router::new().message("slow", Route::blocking(blocked).concurrency(1)));
    let mut haproxy = haproxy_of(server.request_timeout(Duration::from_millis(10))).await;
    for word in ["timeout", "overload", "overload"] {
        haproxy.ask("slow").await;
        assert_eq!(failure_of(&haproxy.ack().await), word);
    }
    // Once for the first call, once for the one that gets its place.
    go.send(()).unwrap();
    go.send(()).unwrap();
    soon(async {
        loop {
            haproxy.ask("slow").await;
            if texts(&haproxy.ack().await) != ["txn.failure=overload"] {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn at_max_requests_one_more_is_not_started_on_any_connection_and_fails_with_overload() {
    let (server, mut calls) = held();
    let server = Arc::new(server.max_requests(2));
    let mut busy = Haproxy::connect(serve_one_more(&server, 1 << 16).0).await;
    let mut other = Haproxy::connect(serve_one_more(&server, 1 << 16).0).await;
    busy.ask("a").await;
    other.ask("b").await;
    let _in_flight = calls.take(2).await;
    for haproxy in [&mut busy, &mut other] {
        haproxy.ask("more").await;
        assert_eq!(failure_of(&haproxy.ack().await), "overload");
    }
    assert!(calls.is_empty(), "a handler too many");
}

#[tokio::test]
async fn below_max_requests_again_requests_are_served_again() {
    let (server, mut calls) = held();
    let server = Arc::new(server.max_requests(1));
    let mut busy = Haproxy::connect(serve_one_more(&server, 1 << 16).0).await;
    let mut other = Haproxy::connect(serve_one_more(&server, 1 << 16).0).await;
    busy.ask("a").await;
    let in_flight = calls.next().await;
    other.ask("more").await;
    assert_eq!(failure_of(&other.ack().await), "overload");
    in_flight.echo();
    assert_eq!(name_of(&busy.ack().await), "a");
    other.ask("b").await;
    calls.next().await.echo();
    assert_eq!(name_of(&other.ack().await), "b");
}

#[tokio::test]
async fn a_connection_that_ends_takes_its_requests_off_max_requests() {
    let (server, mut calls) = held();
    let server = Arc::new(server.max_requests(1));
    let (io, serving) = serve_one_more(&server, 1 << 16);
    let mut busy = Haproxy::connect(io).await;
    let mut other = Haproxy::connect(serve_one_more(&server, 1 << 16).0).await;
    busy.ask("a").await;
    let _in_flight = calls.next().await;
    drop(busy);
    assert_eq!(support::ended(serving).await.unwrap(), 1);
    other.ask("b").await;
    calls.next().await.echo();
    assert_eq!(name_of(&other.ack().await), "b");
}

#[tokio::test]
async fn requests_that_are_answered_at_once_do_not_count_against_max_requests() {
    let (io, _serving) = serve(Server::new(echo()).max_requests(1), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let ids = haproxy.ask_all(&["a", "b", "c"]).await;
    let names: Vec<_> = haproxy.acks(&ids).await.iter().map(name_of).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

/// How long it takes to have `count` NOTIFYs answered that have `messages` of the shortest messages each.
async fn time_to_answer(count: u64, messages: usize) -> Duration {
    let router = Router::new().message("m", |request: MessageRequest| assert_eq!(request.name(), "m"));
    let (io, _serving) = serve(Server::new(router.max_messages(usize::MAX)).request_timeout(None), 1 << 20);
    let mut haproxy = Haproxy::connect(io).await;
    let payload = b"\x01m\0".repeat(messages);
    let notifies: Vec<u8> = (1..=count).flat_map(|id| frame(3, 1, (id, 1), &payload)).collect();
    let start = Instant::now();
    haproxy.send(&notifies).await;
    let (decoder, mut input, mut acks) = (FrameDecoder::new(MAX_FRAME), BytesMut::new(), 0);
    while acks < count {
        soon(haproxy.io.read_buf(&mut input)).await.unwrap();
        while decoder.decode(&mut input).unwrap().is_some() {
            acks += 1;
        }
    }
    start.elapsed()
}

// With a walk to each message from the start the time would grow with the square: 64 times here.
#[tokio::test]
async fn the_time_for_a_notify_grows_with_its_messages_and_no_faster() {
    let (mut few, mut many) = (Duration::MAX, Duration::MAX);
    for _ in 0..3 {
        few = few.min(time_to_answer(64, 80).await);
        many = many.min(time_to_answer(1, 64 * 80).await);
    }
    assert!(many < 8 * few, "{many:?} for one NOTIFY, {few:?} for as many messages in 64");
}

#[tokio::test]
async fn a_notify_of_more_messages_than_may_be_fails_as_too_big() {
    let (held, calls) = Held::new();
    let mut haproxy = haproxy(Router::new().fallback(held.handler())).await;
    haproxy.ask_together(&["m"; 65]).await;
    assert_eq!(failure_of(&haproxy.ack().await), "too-big");
    assert!(calls.is_empty(), "a handler was called");
}

#[tokio::test]
async fn as_many_messages_as_may_be_are_answered() {
    let router = |max| Router::new().message("m", || answer("x")).max_messages(max);
    for (router, messages) in [(router(64), 64), (router(100), 100)] {
        let mut haproxy = haproxy(router).await;
        haproxy.ask_together(&vec!["m"; messages]).await;
        assert_eq!(haproxy.ack().await.actions().count(), messages);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_time_limit_is_over_fails_while_the_others_go_on() {
    let (held, mut calls) = Held::new();
    let limited = Route::new(held.handler()).time_limit(Duration::from_millis(100));
    let router = Router::new().message("limited", limited).fallback(held.handler());
    let mut haproxy = haproxy(router).await;
    haproxy.ask_together(&["a", "limited", "b"]).await;
    let [a, mut limited, b] = calls.take(3).await.try_into().ok().unwrap();
    limited.dropped().await;
    a.echo();
    b.echo();
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=a", "txn.name=b", "txn.failure=timeout"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_takes_longer_than_the_server_allows_keeps_the_answers_of_the_others() {
    let (held, mut calls) = Held::new();
    let router = Router::new().message("quick", say("by quick")).fallback(held.handler());
    let mut haproxy = haproxy_of(Server::new(router)).await;
    haproxy.ask_together(&["quick", "slow", "waits", "slow"]).await;
    let [slow, waits, again] = calls.take(3).await.try_into().ok().unwrap();
    waits.echo();
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=by quick", "txn.name=waits", "txn.failure=timeout"]);
    assert!(slow.is_dropped() && again.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_messages_own_fallback_takes_its_place_among_the_answers() {
    let (held, _calls) = Held::new();
    let own = |word: &'static str| move |_: &MessageFailure, _: &MessageRef<'_>| answer(word);
    let router = Router::new()
        .message("fails", Route::new(fail).on_failure(own("own")))
        .message("slow", Route::new(held.handler()).on_failure(own("too slow")))
        .message("a", say("by a"));
    let mut haproxy = haproxy_of(Server::new(router)).await;
    haproxy.ask_together(&["fails", "a", "slow"]).await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=own", "txn.name=by a", "txn.name=too slow"]);
    haproxy.ask("slow").await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=too slow"]);
}

#[tokio::test]
async fn a_messages_own_fallback_sees_the_failure_the_message_and_the_request() {
    let look = |failure: &MessageFailure, message: &MessageRef<'_>| {
        let all = message.to_request().messages().len();
        answer(&format!("{} {failure} {all}", message.message().name()))
    };
    let router = Router::new().message("fails", Route::new(fail).on_failure(look)).message("a", || ());
    let mut haproxy = haproxy(router).await;
    haproxy.ask_together(&["fails", "a"]).await;
    assert_eq!(name_of(&haproxy.ack().await), "fails message fails: fails did not work 2");
}

#[tokio::test]
async fn if_a_messages_own_fallback_fails_the_servers_is_taken() {
    fn panics(_: &MessageFailure, _: &MessageRef<'_>) {
        panic!("a fallback's panic");
    }
    let errs = |_: &MessageFailure, _: &MessageRef<'_>| Err::<(), _>("no fallback");
    let router = Router::new()
        .message("a", Route::new(fail).on_failure(panics))
        .message("b", Route::new(fail).on_failure(errs));
    let mut haproxy = haproxy(router).await;
    for name in ["a", "b"] {
        haproxy.ask(name).await;
        assert_eq!(failure_of(&haproxy.ack().await), "error");
    }
}

#[tokio::test]
async fn a_handler_that_panics_when_it_is_dropped_costs_the_others_nothing() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("a panic in a drop");
        }
    }
    async fn bomb() {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
    }
    let router = Router::new().message("bomb", bomb).message("a", say("by a"));
    let mut haproxy = haproxy_of(Server::new(router).request_timeout(Duration::from_millis(20))).await;
    haproxy.ask_together(&["bomb", "a"]).await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=by a", "txn.failure=timeout"]);
}

#[test]
fn a_router_knows_its_messages_and_which_of_them_never_wait() {
    const SCORE: Var = Var::session("ip_score");
    let router = Router::new()
        .message("plain", Route::new(|| ()).sets([SCORE]))
        .message("waits", async || ())
        .message("blocks", Route::blocking(|| ()))
        .message("stateful", |State(()): State<()>| ())
        .with_state(());
    let messages = router.messages();
    let known: Vec<_> = messages.iter().map(|m| (m.name.as_str(), m.at_once, m.vars.len())).collect();
    assert_eq!(known, [("plain", true, 1), ("waits", false, 0), ("blocks", false, 0), ("stateful", true, 0)]);
}
