//! The graceful end of a server: nothing that HAProxy has sent is lost, and it ends in time.

mod support;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use spop_tokio::spop::haproxy::{Config, Connection, Engine, Event};
use spop_tokio::spop::{Capabilities, Frame, FrameType, Status};
use spop_tokio::{BoxError, Error, ForceShutdown, Request, Server, health_check, service_fn};
use support::haproxy::disconnect_status;
use support::{Haproxy, Running, answer, echo, failure_of, held, name_of, soon, types};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// The time from `start` on in tenths of a second: the runtime's timers count in milliseconds.
fn tenths(start: Instant) -> u128 {
    (start.elapsed().as_millis() + 5) / 100
}

/// HAProxy up to 3.0 with `option pipelining`.
fn applet() -> Config {
    Config::new(Engine::Applet)
}

/// HAProxy from 3.1.
fn mux() -> Config {
    Config::new(Engine::Mux)
}

/// Asks whether the agent is well.
async fn check(running: &Running) -> Result<(), Error> {
    soon(health_check(running.open().0, mux())).await.map(drop)
}

/// The next answer takes the AGENT-DISCONNECT with it.
async fn disconnects_with_the_answer(haproxy: &mut Haproxy<DuplexStream>, writes: &support::Writes) {
    haproxy.ack().await;
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    let writes = writes.take();
    assert_eq!(writes.len(), 1);
    assert_eq!(types(&writes[0]), [FrameType::ACK, FrameType::AGENT_DISCONNECT]);
}

#[tokio::test]
async fn without_connections_the_end_is_immediate() {
    assert_eq!(Running::start(Server::new(echo())).stop().await.unanswered().await, 0);
}

#[tokio::test(start_paused = true)]
async fn quiet_connections_end_at_once() {
    let running = Running::start(Server::new(echo()));
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask("m").await;
    haproxy.ack().await;
    sleep(3 * SECOND).await;
    let start = Instant::now();
    let stopped = running.stop().await;
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(stopped.unanswered().await, 0);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn connections_with_requests_lately_end_after_a_quiet_second() {
    for (config, tenths_of_a_second) in [(mux(), 11), (mux().pipelining(false), 10), (applet(), 10)] {
        let running = Running::start(Server::new(echo()));
        let (mut haproxy, _) = running.connect_as(config).await;
        haproxy.ask("m").await;
        haproxy.ack().await;
        let start = Instant::now();
        let stopped = running.stop().await;
        assert_eq!(haproxy.disconnected().await, Status::NORMAL);
        assert_eq!(tenths(start), tenths_of_a_second);
        drop(haproxy);
        assert_eq!(stopped.unanswered().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_the_next_request_takes_the_disconnect_with_it() {
    for config in [mux(), mux().pipelining(false), applet(), applet().pipelining(false)] {
        let running = Running::start(Server::new(echo()));
        let (mut haproxy, writes) = running.connect_as(config).await;
        haproxy.ask("m").await;
        haproxy.ack().await;
        let stopped = running.stop().await;
        sleep(SECOND / 2).await;
        writes.take();
        haproxy.ask("next").await;
        disconnects_with_the_answer(&mut haproxy, &writes).await;
        drop(haproxy);
        assert_eq!(stopped.unanswered().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_is_finished_and_the_last_answer_takes_the_disconnect_with_it() {
    for config in [mux(), applet()] {
        let (server, mut calls) = held();
        let running = Running::start(server);
        let (mut haproxy, writes) = running.connect_as(config).await;
        haproxy.ask_all(&["a", "b"]).await;
        let [a, b] = calls.take(2).await.try_into().ok().unwrap();
        let stopped = running.stop().await;
        a.echo();
        assert_eq!(name_of(&haproxy.ack().await), "a");
        sleep(SECOND).await;
        writes.take();
        b.echo();
        disconnects_with_the_answer(&mut haproxy, &writes).await;
        drop(haproxy);
        assert_eq!(stopped.unanswered().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_meanwhile_are_answered_too() {
    let (server, mut calls) = held();
    let running = Running::start(server);
    let (mut haproxy, _) = running.connect_as(applet()).await;
    haproxy.ask("a").await;
    let a = calls.next().await;
    let stopped = running.stop().await;
    haproxy.ask("b").await;
    let b = calls.next().await;
    for call in [a, b] {
        let name = call.name.clone();
        call.echo();
        assert_eq!(name_of(&haproxy.ack().await), name);
    }
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(stopped.unanswered().await, 0);
}

#[tokio::test(start_paused = true)]
async fn haproxy_from_3_1_is_asked_to_have_one_request_under_way_at_most() {
    let running = Running::start(Server::new(echo()));
    let (mut haproxy, writes) = running.connect().await;
    haproxy.ask("m").await;
    haproxy.ack().await;
    writes.take();
    let stopped = running.stop().await;
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    let sent = support::frames(&mut BytesMut::from(&writes.take()[0][..]));
    let [Frame::AgentHello(hello)] = &sent[..] else { panic!("want AGENT-HELLO, got {sent:?}") };
    assert!(!hello.capabilities.unwrap().contains(Capabilities::PIPELINING));
    drop(haproxy);
    stopped.unanswered().await;
}

/// A HAProxy that always has as many requests under way as it may; returns how many those were when the agent sent its
/// DISCONNECT, and how many were answered.
async fn busy(mut io: DuplexStream, config: Config) -> (usize, usize) {
    let mut connection = Connection::new(config);
    let (mut input, mut out, mut answered) = (BytesMut::new(), BytesMut::new(), 0);
    connection.hello(&mut out).unwrap();
    loop {
        io.write_all(&out).await.unwrap();
        out.clear();
        input.reserve(1 << 16);
        io.read_buf(&mut input).await.unwrap();
        // All that has come is handled before anything is sent, as HAProxy does it.
        while let Some(event) = connection.handle_input(&mut input, &mut out).unwrap() {
            match event {
                Event::Ack(_) => answered += 1,
                Event::Disconnected(_) => return (connection.in_flight(), answered),
                _ => {}
            }
        }
        while connection.window() > 0 {
            let mut notify = connection.notify(&mut out).unwrap();
            notify.message("m").unwrap();
            notify.finish();
        }
    }
}

/// Answers within a few milliseconds, in no order.
fn jumbled() -> Server<impl spop_tokio::Service> {
    let service = service_fn(|request: Request| async move {
        sleep(Duration::from_millis(request.id().stream_id * 7 % 5)).await;
        Ok::<_, BoxError>(answer("m"))
    });
    Server::new(service)
}

#[tokio::test(start_paused = true)]
async fn busy_connections_lose_nothing() {
    for config in [mux(), mux().pipelining(false), applet().pipelining(false)] {
        let running = Running::start(jumbled());
        let busy: Vec<_> = (0..20).map(|_| tokio::spawn(busy(running.open().0, config.clone()))).collect();
        sleep(SECOND).await;
        let stopped = running.stop().await;
        for haproxy in busy {
            let (lost, answered) = soon(haproxy).await.unwrap();
            assert_eq!(lost, 0, "{config:?}");
            assert!(answered > 200, "{answered}");
        }
        assert_eq!(stopped.unanswered().await, 0);
    }
}

#[tokio::test]
async fn a_request_that_has_arrived_when_the_end_starts_is_answered() {
    let mut running = Running::start(Server::new(echo()));
    let (mut haproxy, _) = running.connect_as(applet()).await;
    let notify = haproxy.notify("arrived").1;
    running.signal();
    // No await in between: the connection sees both at the same time.
    assert_eq!(try_write(&mut haproxy.io, &notify), notify.len());
    assert_eq!(name_of(&haproxy.ack().await), "arrived");
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(running.stop().await.unanswered().await, 0);
}

/// Writes without waiting.
fn try_write(io: &mut DuplexStream, bytes: &[u8]) -> usize {
    match Pin::new(io).poll_write(&mut Context::from_waker(Waker::noop()), bytes) {
        Poll::Ready(written) => written.unwrap(),
        Poll::Pending => 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_made_just_before_is_accepted_and_its_first_request_answered() {
    for config in [mux(), applet()] {
        let mut running = Running::start(Server::new(echo()));
        let (io, writes) = running.open();
        running.signal();
        let stopped = running.stop().await;
        let mut haproxy = Haproxy::connect_as(io, config).await;
        assert_eq!(haproxy.negotiated().capabilities, Capabilities::NONE);
        writes.take();
        haproxy.ask("m").await;
        disconnects_with_the_answer(&mut haproxy, &writes).await;
        drop(haproxy);
        assert_eq!(stopped.unanswered().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_hello_gets_a_disconnect_after_a_second() {
    let running = Running::start(Server::new(echo()));
    let (io, _) = running.open();
    let start = Instant::now();
    let stopped = running.stop().await;
    let mut haproxy = Haproxy::new(io, mux());
    assert_eq!(disconnect_status(&haproxy.rest().await), Status::NORMAL);
    assert_eq!(tenths(start), 10);
    drop(haproxy);
    assert_eq!(stopped.unanswered().await, 0);
}

#[tokio::test(start_paused = true)]
async fn at_the_drain_timeout_what_is_left_gets_the_fallback_and_is_counted() {
    let (server, mut calls) = held();
    let running = Running::start(server.drain_timeout(3 * SECOND));
    let (mut a, writes) = running.connect().await;
    let (mut b, _) = running.connect_as(applet()).await;
    a.ask_all(&["m", "m"]).await;
    b.ask_all(&["m", "m", "quick"]).await;
    let mut calls = calls.take(5).await;
    let start = Instant::now();
    let stopped = running.stop().await;
    calls.pop().unwrap().echo();
    sleep(SECOND).await;
    writes.take();
    for _ in 0..2 {
        assert_eq!(failure_of(&a.ack().await), "shutdown");
    }
    assert_eq!(a.disconnected().await, Status::NORMAL);
    let write = types(&writes.take().concat());
    assert_eq!(write, [FrameType::ACK, FrameType::ACK, FrameType::AGENT_DISCONNECT]);
    assert_eq!(name_of(&b.ack().await), "quick");
    for call in &mut calls {
        call.dropped().await;
    }
    drop((a, b));
    assert_eq!(stopped.unanswered().await, 4);
    assert_eq!(tenths(start), 30);
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_room_at_the_drain_timeout_get_the_fallback_too() {
    let (server, mut calls) = held();
    let running = Running::start(server.drain_timeout(3 * SECOND).max_in_flight(2));
    let (mut haproxy, _) = running.connect().await;
    let ids = haproxy.ask_all(&["m"; 7]).await;
    let _in_flight = calls.take(2).await;
    let stopped = running.stop().await;
    for ack in haproxy.acks(&ids).await {
        assert_eq!(failure_of(&ack), "shutdown");
    }
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(stopped.unanswered().await, 7);
}

#[tokio::test(start_paused = true)]
async fn the_default_drain_timeout_is_10_seconds() {
    let (server, mut calls) = held();
    let running = Running::start(server);
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask("m").await;
    let _call = calls.next().await;
    let start = Instant::now();
    let stopped = running.stop().await;
    assert_eq!(failure_of(&haproxy.ack().await), "shutdown");
    assert_eq!(tenths(start), 100);
    drop(haproxy);
    assert_eq!(stopped.unanswered().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_its_last_answers_is_left_a_second_after_the_drain_timeout() {
    let big = service_fn(|_: Request| async { Ok::<_, BoxError>(answer(&"x".repeat(16_000))) });
    let running = Running::start(Server::new(big).drain_timeout(3 * SECOND).write_timeout(60 * SECOND));
    let (mut haproxy, _) = running.connect_as(applet()).await;
    haproxy.ask_all(&["m"; 20]).await;
    sleep(SECOND).await;
    let start = Instant::now();
    let stopped = running.stop().await;
    stopped.unanswered().await;
    assert_eq!(tenths(start), 40);
}

#[tokio::test(start_paused = true)]
async fn handlers_that_time_out_do_not_wait_for_the_drain_timeout() {
    let (server, mut calls) = held();
    let running = Running::start(server.request_timeout(SECOND / 2));
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask("m").await;
    let _call = calls.next().await;
    let stopped = running.stop().await;
    assert_eq!(failure_of(&haproxy.ack().await), "timeout");
    assert_eq!(haproxy.disconnected().await, Status::NORMAL);
    drop(haproxy);
    assert_eq!(stopped.unanswered().await, 0);
}

#[tokio::test]
async fn requests_whose_haproxy_leaves_meanwhile_count_as_unanswered() {
    let (server, mut calls) = held();
    let running = Running::start(server);
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask_all(&["a", "b"]).await;
    let _in_flight = calls.take(2).await;
    let stopped = running.stop().await;
    drop(haproxy);
    assert_eq!(stopped.unanswered().await, 2);
}

#[tokio::test(start_paused = true)]
async fn health_checks_fail_first_and_all_else_goes_on_until_three_have() {
    let mut running = Running::start(Server::new(echo()));
    let (mut old, _) = running.connect().await;
    check(&running).await.unwrap();
    running.signal();
    for failed in 0..3 {
        let (mut new, _) = running.connect().await;
        assert_eq!(new.negotiated().capabilities, Capabilities::PIPELINING);
        for haproxy in [&mut old, &mut new] {
            haproxy.ask("m").await;
            assert_eq!(name_of(&haproxy.ack().await), "m", "after {failed} failed checks");
        }
        sleep(SECOND).await;
        assert!(!running.is_closed());
        let error = check(&running).await.unwrap_err();
        assert_eq!(error.status(), Some(Status::UNKNOWN));
    }
    running.closed().await;
    assert_eq!(old.disconnected().await, Status::NORMAL);
}

#[tokio::test(start_paused = true)]
async fn as_many_health_checks_fail_as_is_asked_for() {
    let mut running = Running::start(Server::new(echo()).drain_checks(1));
    check(&running).await.unwrap();
    running.signal();
    check(&running).await.unwrap_err();
    running.closed().await;
}

/// How long connections go on being accepted after the signal, in tenths of a second.
async fn goes_on_for(mut running: Running) -> u128 {
    let start = Instant::now();
    running.signal();
    running.closed().await;
    tenths(start)
}

#[tokio::test(start_paused = true)]
async fn health_checks_that_do_not_come_are_waited_for_two_thirds_of_the_drain_timeout() {
    let running = Running::start(Server::new(echo()).drain_timeout(6 * SECOND));
    check(&running).await.unwrap();
    assert_eq!(goes_on_for(running).await, 40);
}

#[tokio::test(start_paused = true)]
async fn no_health_check_is_waited_for_if_none_has_come_lately_or_none_is_to_fail() {
    let never = Running::start(Server::new(echo()));
    assert_eq!(goes_on_for(never).await, 0);
    let long_ago = Running::start(Server::new(echo()));
    check(&long_ago).await.unwrap();
    sleep(7 * SECOND).await;
    assert_eq!(goes_on_for(long_ago).await, 0);
    let none = Running::start(Server::new(echo()).drain_checks(0));
    check(&none).await.unwrap();
    assert_eq!(goes_on_for(none).await, 0);
}

#[tokio::test(start_paused = true)]
async fn requests_that_end_while_health_checks_fail_are_counted_too() {
    let (server, mut calls) = held();
    let mut running = Running::start(server);
    let (mut haproxy, _) = running.connect().await;
    check(&running).await.unwrap();
    haproxy.ask("m").await;
    let mut call = calls.next().await;
    running.signal();
    tokio::task::yield_now().await;
    drop(haproxy);
    call.dropped().await;
    assert_eq!(running.stop().await.unanswered().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_is_left_behind() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let service = service_fn(move |_: Request| {
        released.lock().unwrap().recv().ok();
        async { Ok::<_, BoxError>(answer("late")) }
    });
    let running = Running::start(Server::new(service).drain_timeout(SECOND / 10));
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask("m").await;
    let start = Instant::now();
    assert_eq!(running.stop().await.unanswered().await, 1);
    // The three seconds are for those that are ending.
    assert!(start.elapsed() < 8 * SECOND, "{:?}", start.elapsed());
    drop(release);
}

#[tokio::test(start_paused = true)]
async fn a_forced_end_closes_all_at_once_and_counts_what_was_in_flight() {
    let (server, mut calls) = held();
    let (stop, stopped) = oneshot::channel::<()>();
    let (force, forced) = oneshot::channel::<()>();
    let signal = async {
        stopped.await.ok();
        ForceShutdown::when(async { drop(forced.await) })
    };
    let running = Running::start_until(server, signal);
    let (mut busy, _) = running.connect().await;
    let (mut idle, _) = running.connect().await;
    busy.ask_all(&["a", "b"]).await;
    let mut in_flight = calls.take(2).await;
    drop(stop);
    let start = Instant::now();
    let stopped = running.stop().await;
    sleep(SECOND / 10).await;
    drop(force);
    assert_eq!(stopped.unanswered().await, 2);
    assert_eq!(tenths(start), 1);
    for call in &mut in_flight {
        call.dropped().await;
    }
    for haproxy in [&mut busy, &mut idle] {
        haproxy.rest().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_end_waits_for_no_health_check() {
    let (force, forced) = oneshot::channel::<()>();
    let (stop, stopped) = oneshot::channel::<()>();
    let signal = async {
        stopped.await.ok();
        ForceShutdown::when(async { drop(forced.await) })
    };
    let running = Running::start_until(Server::new(echo()), signal);
    check(&running).await.unwrap();
    drop(stop);
    tokio::task::yield_now().await;
    assert!(!running.is_closed(), "health checks are waited for");
    let start = Instant::now();
    drop(force);
    assert_eq!(running.stop().await.unanswered().await, 0);
    assert_eq!(tenths(start), 0);
}
