//! Services of tower's around ours, and ours around tower's.

use std::future::pending;
use std::time::Duration;

use spop_tokio::spop::{Ack, TypedData};
use spop_tokio::test::TestHaproxy;
use spop_tokio::tower::{FromTower, ToTower};
use spop_tokio::{Request, Router, Service, Var};
use tower::ServiceBuilder;

const SEEN: Var = Var::transaction("seen");
const FAILURE: Var = Var::transaction("failure");

fn agent() -> ToTower<Router> {
    let router = Router::new()
        .message("check", || (SEEN, 1))
        .message("panics", || -> () { panic!("a handler's panic") })
        .message("hangs", pending::<()>);
    ToTower::new(router)
}

async fn ask(haproxy: &mut TestHaproxy, message: &str) -> Ack<bytes::Bytes> {
    haproxy.ask(Request::builder().message(message)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_towers_is_a_failure_at_once() {
    let stack = ServiceBuilder::new().timeout(Duration::from_millis(50)).service(agent());
    let mut haproxy = TestHaproxy::new(FromTower::new(stack)).await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(ask(&mut haproxy, "hangs").await.get(FAILURE), Some(TypedData::String("error".into())));
    assert!(start.elapsed() < Duration::from_millis(100));
    assert_eq!(ask(&mut haproxy, "check").await.get(SEEN), Some(1.into()));
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_of_towers_lets_others_wait() {
    let stack = ServiceBuilder::new().concurrency_limit(1).service(agent());
    let mut haproxy = TestHaproxy::new(FromTower::new(stack)).await.unwrap();
    let first = haproxy.send(Request::builder().message("hangs")).await.unwrap();
    // The first one's time is over, and the place is free.
    assert_eq!(ask(&mut haproxy, "check").await.get(SEEN), None);
    assert!(haproxy.answer(first).await.unwrap().get(FAILURE).is_some());
    assert_eq!(ask(&mut haproxy, "check").await.get(SEEN), Some(1.into()));
}

#[tokio::test(start_paused = true)]
async fn load_shed_of_towers_fails_one_more_at_once() {
    let stack = ServiceBuilder::new().load_shed().concurrency_limit(1).service(agent());
    let mut haproxy = TestHaproxy::new(FromTower::new(stack)).await.unwrap();
    let first = haproxy.send(Request::builder().message("hangs")).await.unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(ask(&mut haproxy, "check").await.get(FAILURE), Some(TypedData::String("error".into())));
    assert!(start.elapsed() < Duration::from_millis(100));
    assert_eq!(haproxy.answer(first).await.unwrap().get(FAILURE), Some(TypedData::String("timeout".into())));
}

#[tokio::test]
async fn a_panic_and_the_answers_of_other_messages_get_through_towers_layers() {
    let stack = ServiceBuilder::new().load_shed().timeout(Duration::from_secs(1)).service(agent());
    let mut haproxy = TestHaproxy::new(FromTower::new(stack)).await.unwrap();
    let answer = haproxy.ask(Request::builder().message("check").message("panics")).await.unwrap();
    assert_eq!(answer.get(SEEN), Some(1.into()));
    assert_eq!(answer.get(FAILURE), Some(TypedData::String("panic".into())));
}

#[test]
fn the_messages_of_what_is_inside_can_be_said_again() {
    let router = Router::new().message("check", || ());
    let messages = router.messages();
    let service = FromTower::new(ToTower::new(router)).with_messages(messages);
    assert_eq!(service.messages()[0].name, "check");
}
