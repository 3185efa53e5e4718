//! Connections beyond `max_connections`.

mod support;

use std::time::Duration;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::spop::{FrameType, Status};
use spop_tokio::{Server, health_check};
use support::haproxy::disconnect_status;
use support::{Haproxy, Running, echo, name_of, soon, types};
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
/// How many connections wait at most.
const PLACES: usize = 32;

fn mux() -> Config {
    Config::new(Engine::Mux)
}

/// A connection that has said HELLO and has no answer yet.
async fn waiting(running: &Running) -> Haproxy<DuplexStream> {
    let mut haproxy = Haproxy::new(running.open().0, mux());
    haproxy.hello().await;
    haproxy
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_a_connection_waits_until_another_one_ends() {
    let running = Running::start(Server::new(echo()).max_connections(2));
    let (a, _) = running.connect().await;
    let (_b, _) = running.connect().await;
    let (io, writes) = running.open();
    let mut haproxy = Haproxy::new(io, mux());
    haproxy.hello().await;
    assert!(timeout(SECOND, haproxy.event()).await.is_err(), "a third one was served");
    drop(a);
    haproxy.event().await.unwrap().expect("AGENT-HELLO");
    assert_eq!(types(&writes.take().concat()), [FrameType::AGENT_HELLO]);
    haproxy.ask("m").await;
    assert_eq!(name_of(&haproxy.ack().await), "m");
}

#[tokio::test(start_paused = true)]
async fn connections_have_their_turns_in_the_order_in_which_they_came() {
    let running = Running::start(Server::new(echo()).max_connections(1));
    let (open, _) = running.connect().await;
    let (mut first, mut second) = (waiting(&running).await, waiting(&running).await);
    sleep(SECOND).await;
    drop(open);
    first.event().await.unwrap().expect("AGENT-HELLO");
    assert!(timeout(SECOND, second.event()).await.is_err(), "both were served");
    drop(first);
    second.event().await.unwrap().expect("AGENT-HELLO");
}

#[tokio::test(start_paused = true)]
async fn health_checks_get_through_at_the_limit() {
    let running = Running::start(Server::new(echo()).max_connections(1));
    let (_open, _) = running.connect().await;
    for _ in 0..2 * PLACES {
        soon(health_check(running.open().0, mux())).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn health_checks_get_through_however_many_wait() {
    let running = Running::start(Server::new(echo()).max_connections(1));
    let (_open, _) = running.connect().await;
    for silent in [false, true] {
        let mut others = Vec::new();
        for _ in 0..2 * PLACES {
            others.push(if silent { Haproxy::new(running.open().0, mux()) } else { waiting(&running).await });
        }
        soon(health_check(running.open().0, mux())).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_one_that_has_waited_longest_is_refused_when_too_many_wait() {
    let running = Running::start(Server::new(echo()).max_connections(1));
    let (_open, _) = running.connect().await;
    let mut first = waiting(&running).await;
    let mut others = Vec::new();
    for _ in 1..PLACES {
        others.push(waiting(&running).await);
    }
    assert!(timeout(SECOND, first.event()).await.is_err(), "all can wait");
    let _one_more = waiting(&running).await;
    assert_eq!(disconnect_status(&first.rest().await), Status::RESOURCE);
    assert!(timeout(SECOND, others[0].event()).await.is_err(), "the others go on waiting");
}

#[tokio::test(start_paused = true)]
async fn a_connection_waits_for_its_turn_no_longer_than_the_hello_timeout() {
    let running = Running::start(Server::new(echo()).max_connections(1).hello_timeout(3 * SECOND));
    let (_open, _) = running.connect().await;
    let start = Instant::now();
    let (mut speaks, mut silent) = (waiting(&running).await, Haproxy::new(running.open().0, mux()));
    for haproxy in [&mut speaks, &mut silent] {
        assert_eq!(disconnect_status(&haproxy.rest().await), Status::RESOURCE);
        assert_eq!(start.elapsed().as_secs(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_no_haproxy_is_told_so_when_its_turn_has_come() {
    let running = Running::start(Server::new(echo()).max_connections(1));
    let (open, _) = running.connect().await;
    let mut stranger = Haproxy::new(running.open().0, mux());
    stranger.send(b"GET / HTTP/1.1\r\n\r\n").await;
    sleep(SECOND).await;
    drop(open);
    assert_eq!(disconnect_status(&stranger.rest().await), Status::TOO_BIG);
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_when_the_end_starts_are_served_too() {
    let running = Running::start(Server::new(echo()).max_connections(1));
    let (open, _) = running.connect().await;
    let mut waits = waiting(&running).await;
    sleep(SECOND).await;
    let stopped = running.stop().await;
    waits.event().await.unwrap().expect("AGENT-HELLO");
    waits.ask("m").await;
    assert_eq!(name_of(&waits.ack().await), "m");
    assert_eq!(waits.disconnected().await, Status::NORMAL);
    drop((open, waits));
    assert_eq!(stopped.unanswered().await, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_refused_in_a_burst_is_told() {
    let running = Running::start(Server::new(echo()).max_connections(1));
    let (_open, _) = running.connect().await;
    // Nothing is awaited, so they are all there before any of them is looked at.
    let mut burst: Vec<_> = (0..2 * PLACES).map(|_| Haproxy::new(running.open().0, mux())).collect();
    for haproxy in &mut burst[..PLACES] {
        assert_eq!(disconnect_status(&haproxy.rest().await), Status::RESOURCE);
    }
}
