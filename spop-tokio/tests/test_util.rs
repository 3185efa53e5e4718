//! The test kit: a handler alone, a service alone, and a whole agent in memory.

use std::future::pending;
use std::time::Duration;

use spop_tokio::spop::TypedData;
use spop_tokio::test::{RequestBuilder, TestHaproxy};
use spop_tokio::{EngineId, MessageRequest, Peer, Request, Router, Server, Service, Var};

const SEEN: Var = Var::transaction("seen");
const FAILURE: Var = Var::transaction("failure");

fn echo(request: MessageRequest) -> (Var, String) {
    (SEEN, request.message().to_string())
}

fn check() -> RequestBuilder {
    Request::builder().message("check").arg("n", 7).arg("", "text")
}

fn agent() -> Router {
    Router::new().message("check", echo).message("hang", pending::<()>)
}

#[test]
fn a_handler_is_called_with_a_message_of_the_builders() {
    assert_eq!(echo(check().build_message()), (SEEN, r#"check n=7 "text""#.to_owned()));
}

#[tokio::test]
async fn a_service_is_called_with_a_request_of_the_builders() {
    let actions = agent().call(check().message("check").build()).await.unwrap();
    assert_eq!(actions.to_string(), r#"txn.seen="check n=7 \"text\"" txn.seen="check""#);
}

#[tokio::test]
async fn a_request_of_the_builders_has_a_peer_an_engine_and_a_time_limit() {
    let look = |peer: Peer, id: EngineId, request: Request| {
        (SEEN, format!("{peer} {id} {:?}", request.time_limit()))
    };
    let request = check().peer(Peer::Unix).engine_id("e1").time_limit(Duration::from_secs(1)).build();
    let actions = Router::new().message("check", look).call(request).await.unwrap();
    assert_eq!(actions.to_string(), r#"txn.seen="unix e1 Some(1s)""#);
}

#[tokio::test]
async fn an_agent_answers_in_memory() {
    let mut haproxy = TestHaproxy::new(agent()).await.unwrap();
    let answer = haproxy.ask(check()).await.unwrap();
    assert_eq!(answer.get(SEEN), Some(TypedData::String(r#"check n=7 "text""#.into())));
    haproxy.disconnect().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_are_awaited_in_any_order() {
    let mut haproxy = TestHaproxy::new(agent()).await.unwrap();
    let hangs = haproxy.send(Request::builder().message("hang")).await.unwrap();
    let first = haproxy.send(check()).await.unwrap();
    assert!(haproxy.answer(hangs).await.unwrap().get(FAILURE).is_some());
    assert!(haproxy.answer(first).await.unwrap().get(SEEN).is_some());
}

#[tokio::test]
async fn a_flood_is_answered_in_the_order_of_its_requests() {
    let mut haproxy = TestHaproxy::new(agent()).await.unwrap();
    let answers = haproxy.flood(20, check()).await.unwrap();
    assert!(answers.len() == 20 && answers.iter().all(|answer| answer.get(SEEN).is_some()));
    assert!(answers.is_sorted_by_key(|answer| answer.id().stream_id));
    haproxy.flood(21, check()).await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn a_request_is_given_up_after_timeout_processing() {
    let server = Server::new(agent()).request_timeout(None);
    let mut haproxy = TestHaproxy::with_server(server).await.unwrap();
    let limit = Duration::from_millis(100);
    assert!(haproxy.ask_within(limit, Request::builder().message("hang")).await.unwrap().is_none());
    assert!(haproxy.ask_within(limit, check()).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_answers_is_an_error() {
    let server = Server::new(agent()).request_timeout(None);
    let mut haproxy = TestHaproxy::with_server(server).await.unwrap();
    let error = haproxy.ask(Request::builder().message("hang")).await.unwrap_err();
    assert!(error.is_timeout() && error.to_string() == "the agent does not answer", "{error}");
}

#[tokio::test]
async fn a_connection_can_be_cut_in_the_middle_of_a_request() {
    let haproxy = TestHaproxy::new(agent()).await.unwrap();
    let error = haproxy.cut(9, check()).await.unwrap_err();
    assert!(error.status().is_some(), "{error}");
}

#[tokio::test]
async fn a_connection_can_be_aborted_with_a_request_in_flight() {
    let mut haproxy = TestHaproxy::new(agent()).await.unwrap();
    haproxy.send(Request::builder().message("hang")).await.unwrap();
    // The agent has it: it has answered what came later.
    haproxy.ask(check()).await.unwrap();
    assert_eq!(haproxy.abort().await.unwrap(), 1);
}

#[tokio::test]
async fn bytes_that_no_haproxy_sends_can_be_sent() {
    let mut haproxy = TestHaproxy::new(agent()).await.unwrap();
    haproxy.send_bytes(b"\0\0\0\x01x").await.unwrap();
    let error = haproxy.ask(check()).await.unwrap_err();
    assert!(error.is_closed(), "{error}");
}
