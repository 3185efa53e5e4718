//! Every timeout of a connection, on paused time.

mod support;

use std::time::Duration;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{Frame, FrameType, Status};
use spop_tokio::{Actions, BoxError, Error, Request, Scope, Server, service_fn};
use support::haproxy::{disconnect_status, hello};
use support::{Haproxy, Serving, echo, ended, held, name_of, serve, serve_recorded, soon, types};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// The time from `start` on in tenths of a second: the runtime's timers count in milliseconds.
fn tenths(start: Instant) -> u128 {
    (start.elapsed().as_millis() + 5) / 100
}

async fn fails(serving: Serving) -> Error {
    ended(serving).await.expect_err("the connection failed")
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_speaks_is_told_and_closed_at_the_hello_timeout() {
    let start = Instant::now();
    let (io, serving) = serve(Server::new(echo()).hello_timeout(3 * SECOND), 1 << 16);
    let mut haproxy = Haproxy::new(io, Config::new(Engine::Mux));
    assert_eq!(disconnect_status(&haproxy.rest().await), Status::TIMEOUT);
    assert_eq!(tenths(start), 30);
    drop(haproxy);
    assert!(fails(serving).await.is_timeout());
}

#[tokio::test(start_paused = true)]
async fn the_hello_timeout_is_for_the_whole_hello() {
    let start = Instant::now();
    let (io, serving) = serve(Server::new(echo()), 1 << 16);
    let config = Config::new(Engine::Mux);
    let mut haproxy = Haproxy::new(io, config.clone());
    for byte in &hello(config)[..9] {
        haproxy.send(&[*byte]).await;
        sleep(SECOND / 2).await;
    }
    assert_eq!(disconnect_status(&haproxy.rest().await), Status::TIMEOUT);
    assert_eq!(tenths(start), 50, "the default is 5 s");
    drop(haproxy);
    assert!(fails(serving).await.is_timeout());
}

#[tokio::test(start_paused = true)]
async fn after_the_hello_its_timeout_is_over() {
    let (io, _serving) = serve(Server::new(echo()).hello_timeout(SECOND), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    sleep(24 * 3600 * SECOND).await;
    haproxy.ask("m").await;
    assert_eq!(name_of(&haproxy.ack().await), "m");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_with_a_disconnect_at_the_idle_timeout() {
    let (io, serving) = serve(Server::new(echo()).idle_timeout(2 * SECOND), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let start = Instant::now();
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    assert_eq!(tenths(start), 20);
    drop(haproxy);
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn every_request_puts_the_idle_timeout_off() {
    let (io, _serving) = serve(Server::new(echo()).idle_timeout(2 * SECOND), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    let start = Instant::now();
    for _ in 0..5 {
        sleep(SECOND).await;
        haproxy.ask("m").await;
        haproxy.ack().await;
    }
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    assert_eq!(tenths(start), 70);
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_a_request_in_flight_is_not_idle() {
    let (server, mut calls) = held();
    let server = server.idle_timeout(2 * SECOND);
    let (io, _serving) = serve(server, 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    let call = calls.next().await;
    sleep(60 * SECOND).await;
    call.echo();
    assert_eq!(name_of(&haproxy.ack().await), "m");
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
}

/// A server whose answers are of about 1 kB.
fn verbose() -> Server<impl spop_tokio::Service> {
    let service = service_fn(|_: Request| async {
        let mut actions = Actions::new();
        actions.set_var(Scope::Transaction, "text", "x".repeat(1000).as_str())?;
        Ok::<_, BoxError>(actions)
    });
    Server::new(service).write_timeout(3 * SECOND)
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_is_given_up_at_the_write_timeout() {
    let (io, serving) = serve(verbose(), 512);
    let mut haproxy = Haproxy::connect(io).await;
    let start = Instant::now();
    haproxy.ask("m").await;
    assert!(fails(serving).await.is_timeout());
    assert_eq!(tenths(start), 30);
    drop(haproxy);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_is_not_given_up() {
    let (io, _serving) = serve(verbose(), 512);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    for _ in 0..10 {
        sleep(2 * SECOND).await;
        soon(haproxy.io.read_exact(&mut [0; 100])).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_not_read_from() {
    let (io, _serving) = serve(verbose().write_timeout(60 * SECOND), 512);
    let mut haproxy = Haproxy::connect(io).await;
    let many: Vec<_> = (0..20).flat_map(|_| haproxy.notify("a-request-of-some-length").1).collect();
    let many = many.repeat(3);
    let stuck = tokio::time::timeout(SECOND, haproxy.io.write_all(&many));
    assert!(stuck.await.is_err(), "all of it was read");
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_that_is_quiet_ends_at_its_age_and_up_to_a_tenth_of_it_earlier() {
    let mut ages = std::collections::HashSet::new();
    for _ in 0..20 {
        let start = Instant::now();
        let (io, serving) = serve(Server::new(echo()).max_connection_age(10 * SECOND), 1 << 16);
        let mut haproxy = Haproxy::connect(io).await;
        sleep(3 * SECOND).await;
        assert_eq!(haproxy.disconnected().await, Status::NORMAL);
        let age = start.elapsed().as_millis();
        assert!((9_000..=10_010).contains(&age), "{age}");
        ages.insert(age);
        drop(haproxy);
        assert_eq!(ended(serving).await.unwrap(), 0);
    }
    assert!(ages.len() > 10, "all end together: {ages:?}");
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_ends_with_the_last_answer_that_is_due() {
    let (server, mut calls) = held();
    let server = server.max_connection_age(4 * SECOND);
    let (io, writes, serving) = serve_recorded(server);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    let call = calls.next().await;
    sleep(10 * SECOND).await;
    writes.take();
    call.echo();
    let frames = haproxy.rest().await;
    assert!(matches!(frames[..], [.., Frame::Ack(_), Frame::AgentDisconnect(_)]), "{frames:?}");
    assert_eq!(writes.take().len(), 1);
    drop(haproxy);
    assert_eq!(ended(serving).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_whose_request_goes_on_ends_at_the_drain_timeout() {
    let (server, mut calls) = held();
    let server = server.max_connection_age(4 * SECOND).drain_timeout(2 * SECOND);
    let (io, serving) = serve(server, 1 << 16);
    let start = Instant::now();
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    let _call = calls.next().await;
    assert_eq!(support::failure_of(&haproxy.ack().await), "shutdown");
    assert!((56..=60).contains(&tenths(start)), "{:?}", start.elapsed());
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(ended(serving).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_close_after_the_disconnect_is_left_after_a_second() {
    let (io, writes, serving) = serve_recorded(Server::new(echo()));
    let mut haproxy = Haproxy::new(io, Config::new(Engine::Mux).healthcheck(true));
    let start = Instant::now();
    haproxy.hello().await;
    assert_eq!(ended(serving).await.unwrap(), 0);
    assert_eq!(tenths(start), 10);
    assert_eq!(types(&writes.take().concat()), [FrameType::AGENT_HELLO]);
}
