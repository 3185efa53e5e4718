//! SIGTERM and SIGINT, which the whole process gets: there is one test for all of it.

mod support;

use std::pin::pin;
use std::process::{Command, id};
use std::time::Duration;

use spop_tokio::shutdown_signal;
use support::{Running, held, soon};
use tokio::time::timeout;

fn send(signal: &str) {
    assert!(Command::new("kill").args([signal, &id().to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn the_first_signal_starts_the_end_and_the_second_one_forces_it() {
    for (first, second) in [("-TERM", "-INT"), ("-INT", "-TERM")] {
        let (server, mut calls) = held();
        let running = Running::start_until(server, shutdown_signal().unwrap());
        let (mut haproxy, _) = running.connect().await;
        haproxy.ask("m").await;
        let _in_flight = calls.next().await;
        send(first);
        let mut end = pin!(running.stop().await.unanswered());
        assert!(timeout(Duration::from_millis(100), &mut end).await.is_err(), "the request is waited for");
        send(second);
        assert_eq!(soon(end).await, 1);
    }
}
