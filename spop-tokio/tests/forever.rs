//! Times as long as there can be: no knob of the server overflows.

mod support;

use std::time::Duration;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::{BoxError, Request, Server, service_fn};
use support::{Held, Running, answer, held, name_of};

/// Goes through a connection's whole life: HELLO, a request whose handler waits, an answer, a graceful end.
async fn lives(server: impl FnOnce(Server<Held>) -> Server<Held>) {
    let (held, mut calls) = held();
    let running = Running::start(server(held));
    let (mut haproxy, _) = running.connect_as(Config::new(Engine::Applet)).await;
    haproxy.ask("m").await;
    let call = calls.next().await;
    let stopped = running.stop().await;
    call.echo();
    assert_eq!(name_of(&haproxy.ack().await), "m");
    haproxy.disconnected().await;
    drop(haproxy);
    assert_eq!(stopped.unanswered().await, 0);
}

#[tokio::test(start_paused = true)]
async fn the_hello_timeout_may_be_for_ever() {
    lives(|server| server.hello_timeout(Duration::MAX)).await;
}

#[tokio::test(start_paused = true)]
async fn the_idle_timeout_may_be_for_ever() {
    lives(|server| server.idle_timeout(Duration::MAX)).await;
}

#[tokio::test(start_paused = true)]
async fn the_request_timeout_may_be_for_ever() {
    lives(|server| server.request_timeout(Duration::MAX)).await;
}

#[tokio::test(start_paused = true)]
async fn the_connections_age_may_be_for_ever() {
    lives(|server| server.max_connection_age(Duration::MAX)).await;
}

#[tokio::test(start_paused = true)]
async fn the_drain_timeout_may_be_for_ever() {
    lives(|server| server.drain_timeout(Duration::MAX)).await;
}

#[tokio::test(start_paused = true)]
async fn the_write_timeout_may_be_for_ever() {
    let big = service_fn(|_: Request| async { Ok::<_, BoxError>(answer(&"x".repeat(16_000))) });
    let running = Running::start(Server::new(big).write_timeout(Duration::MAX));
    let (mut haproxy, _) = running.connect_as(Config::new(Engine::Applet)).await;
    // More than the stream holds, so that the rest has to wait.
    let ids = haproxy.ask_all(&["m"; 20]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(haproxy.acks(&ids).await.len(), 20);
}
