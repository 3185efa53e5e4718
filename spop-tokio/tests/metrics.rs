//! Each metric counts what its row of the table says.

mod support;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use metrics::Unit;
use spop_tokio::metrics::{
    ACK_BYTES, CONNECTIONS, CONNECTIONS_TOTAL, DISCONNECTS, FAILURES, HEALTH_CHECKS, NOTIFIES,
    REQUEST_DURATION, REQUESTS_IN_FLIGHT,
};
use spop_tokio::spop::Status;
use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::{Actions, BoxError, Request, Router, Scope, Server, Service, health_check, service_fn};
use support::metrics::Metrics;
use support::{
    Haproxy, Held, Running, answer, echo, ended, frame, held, serve, serve_one_more, serve_recorded, soon,
    tables,
};
use tokio::io::DuplexStream;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

fn mux() -> Config {
    Config::new(Engine::Mux)
}

async fn connected<S: Service>(server: Server<S>) -> (Haproxy<DuplexStream>, support::Serving) {
    let (io, serving) = serve(server, 1 << 16);
    (Haproxy::connect(io).await, serving)
}

#[test]
fn connections_are_open_until_they_end() {
    Metrics::record(async |metrics| {
        let server = Arc::new(Server::new(echo()));
        let of = || (metrics.get(CONNECTIONS), metrics.get(CONNECTIONS_TOTAL));
        let (first, first_end) = serve_one_more(&server, 1 << 16);
        let _first = Haproxy::connect(first).await;
        let (second, second_end) = serve_one_more(&server, 1 << 16);
        let second = Haproxy::connect(second).await;
        assert_eq!(of(), (Some(2.0), Some(2.0)));
        drop(second);
        ended(second_end).await.unwrap();
        assert_eq!(of(), (Some(1.0), Some(2.0)));
        first_end.abort();
        soon(first_end).await.unwrap_err();
        assert_eq!(of(), (Some(0.0), Some(2.0)), "one that is not served to its end");
        let ends = [r#"by="agent",status="none""#, r#"by="haproxy",status="none""#];
        assert_eq!(metrics.by_labels(DISCONNECTS), ends.map(|end| (end.to_owned(), 1.0)));
    });
}

/// How the end is counted of a connection on which `end` is done after the HELLOs.
fn end_after(end: impl AsyncFnOnce(Haproxy<DuplexStream>)) -> String {
    end_of(async |server| {
        let (haproxy, serving) = connected(server).await;
        end(haproxy).await;
        let _ = ended(serving).await;
    })
}

fn end_of(test: impl AsyncFnOnce(Server<Held>)) -> String {
    let mut end = String::new();
    Metrics::record(async |metrics| {
        let (server, _calls) = held();
        test(server.idle_timeout(5 * SECOND).write_timeout(5 * SECOND)).await;
        let ends = metrics.by_labels(DISCONNECTS);
        let [(labels, 1.0)] = &ends[..] else { panic!("{ends:?}") };
        end.clone_from(labels);
    });
    end
}

#[test]
fn disconnects_are_counted_by_who_and_why() {
    let ends = [
        end_after(async |haproxy| drop(haproxy)),
        end_after(async |mut haproxy| haproxy.send(&[0, 0]).await),
        end_after(async |mut haproxy| haproxy.disconnect(Status::NORMAL).await),
        end_after(async |mut haproxy| haproxy.disconnect(Status::TIMEOUT).await),
        end_after(async |mut haproxy| haproxy.disconnect(Status(77)).await),
        end_after(async |mut haproxy| {
            haproxy.send(b"GET / HTTP/1.1\r\n\r\n").await;
            haproxy.rest().await;
        }),
        end_after(async |mut haproxy| assert_eq!(haproxy.disconnected().await, Status::NORMAL)),
        end_of(async |server| {
            let (_io, serving) = serve(server, 64);
            ended(serving).await.unwrap_err();
        }),
    ];
    let want = [
        r#"by="haproxy",status="none""#,
        r#"by="haproxy",status="none""#,
        r#"by="haproxy",status="0""#,
        r#"by="haproxy",status="2""#,
        r#"by="haproxy",status="99""#,
        r#"by="agent",status="3""#,
        r#"by="agent",status="0""#,
        r#"by="agent",status="2""#,
    ];
    assert_eq!(ends, want);
}

#[test]
fn health_checks_are_counted_by_what_they_were_told_and_are_no_disconnects() {
    Metrics::record(async |metrics| {
        let mut running = Running::start(Server::new(echo()).drain_checks(1));
        for _ in 0..2 {
            soon(health_check(running.open().0, mux())).await.unwrap();
        }
        running.signal();
        soon(health_check(running.open().0, mux())).await.unwrap_err();
        running.stop().await.unanswered().await;
        let checks = [(r#"result="failed""#.to_owned(), 1.0), (r#"result="passed""#.to_owned(), 2.0)];
        assert_eq!(metrics.by_labels(HEALTH_CHECKS), checks);
        assert_eq!(metrics.by_labels(DISCONNECTS), []);
        assert_eq!(metrics.get(CONNECTIONS_TOTAL), Some(3.0));
    });
}

#[test]
fn notifies_are_counted_by_the_names_that_are_known_and_no_others() {
    Metrics::record(async |metrics| {
        let router = Router::new().message("a", || ());
        let server = Server::new(Arc::new(router)).message_labels(["b"]);
        let (mut haproxy, _serving) = connected(server).await;
        for name in ["a", "b", "c", "d", "a"] {
            haproxy.ask(name).await;
            haproxy.ack().await;
        }
        haproxy.ask_together(&["a", "b"]).await;
        haproxy.ack().await;
        let counts = [("a", 3.0), ("b", 2.0), ("other", 2.0)];
        let counts = counts.map(|(name, count)| (format!("message=\"{name}\""), count));
        assert_eq!(metrics.by_labels(NOTIFIES), counts);
    });
}

#[test]
fn requests_are_in_flight_while_their_handlers_wait() {
    Metrics::record(async |metrics| {
        let (server, mut calls) = held();
        let (mut haproxy, serving) = connected(server).await;
        haproxy.ask_all(&["a", "b", "c"]).await;
        let [a, _b, _c] = calls.take(3).await.try_into().ok().unwrap();
        assert_eq!(metrics.get(REQUESTS_IN_FLIGHT), Some(3.0));
        a.echo();
        haproxy.ack().await;
        assert_eq!(metrics.get(REQUESTS_IN_FLIGHT), Some(2.0));
        drop(haproxy);
        assert_eq!(ended(serving).await.unwrap(), 2);
        assert_eq!(metrics.get(REQUESTS_IN_FLIGHT), Some(0.0), "those that nobody waits for are gone");
    });
}

#[test]
fn a_request_that_is_answered_at_once_is_never_in_flight() {
    Metrics::record(async |metrics| {
        let (mut haproxy, _serving) = connected(Server::new(echo())).await;
        haproxy.ask("m").await;
        haproxy.ack().await;
        assert_eq!(metrics.samples(REQUESTS_IN_FLIGHT), 0);
    });
}

#[test]
fn the_duration_is_from_the_notify_to_the_ack() {
    Metrics::record(async |metrics| {
        let service = service_fn(|request: Request| async move {
            if request.message("late").is_some() {
                sleep(Duration::from_millis(300)).await;
            }
            Ok::<_, BoxError>(answer("m"))
        });
        let (mut haproxy, _serving) = connected(Server::new(service)).await;
        for (name, samples, sum) in [("prompt", 1, 0.0), ("late", 2, 0.3), ("late", 3, 0.6)] {
            haproxy.ask(name).await;
            haproxy.ack().await;
            assert_eq!(metrics.samples(REQUEST_DURATION), samples);
            let total = metrics.get(REQUEST_DURATION).unwrap();
            assert!((total - sum).abs() < 0.01, "{total} after {samples}");
        }
    });
}

#[test]
fn a_request_that_haproxy_gave_up_has_no_duration() {
    Metrics::record(async |metrics| {
        let (server, mut calls) = held();
        let (mut haproxy, _serving) = connected(server).await;
        let id = haproxy.ask("first").await;
        let _first = calls.next().await;
        haproxy.send(&frame(3, 1, (id.stream_id, id.frame_id), b"\x06second\0")).await;
        calls.next().await.echo();
        haproxy.ack().await;
        assert_eq!(metrics.samples(REQUEST_DURATION), 1);
        assert_eq!(metrics.get(REQUESTS_IN_FLIGHT), Some(0.0));
        assert_eq!(metrics.by_labels(FAILURES), []);
    });
}

/// What a handler does, by the name of the message.
async fn misbehave(request: Request) -> Result<Actions, BoxError> {
    let name = request.messages().next().ok_or("no message")?.name().to_string();
    match name.as_str() {
        "error" => Err("it did not work".into()),
        "panic" => panic!("a handler's panic"),
        "timeout" => pending().await,
        "too-big" => {
            let mut actions = Actions::new();
            actions.set_var(Scope::Transaction, "big", "x".repeat(20_000).as_str())?;
            Ok(actions)
        }
        _ => Ok(Actions::new()),
    }
}

#[test]
fn failures_are_counted_by_kind() {
    Metrics::record(async |metrics| {
        let server = Server::new(service_fn(misbehave)).max_requests(1);
        let running = Running::start(server.drain_checks(0).drain_timeout(SECOND / 10));
        let (mut haproxy, _) = running.connect().await;
        // The second is one too many.
        haproxy.ask_all(&["timeout", "fine"]).await;
        haproxy.ack().await;
        haproxy.ack().await;
        for name in ["error", "panic", "too-big", "fine"] {
            haproxy.ask(name).await;
            haproxy.ack().await;
        }
        let (id, _) = haproxy.notify("malformed");
        haproxy.send(&frame(3, 1, (id.stream_id, id.frame_id), b"\x01m")).await;
        haproxy.ack().await;
        haproxy.ask("timeout").await;
        // It is cut off.
        running.stop().await.unanswered().await;
        let kinds = ["error", "malformed", "overload", "panic", "shutdown", "timeout", "too-big"];
        assert_eq!(metrics.by_labels(FAILURES), kinds.map(|kind| (format!("kind=\"{kind}\""), 1.0)));
    });
}

#[test]
fn ack_bytes_are_those_of_all_ack_frames() {
    Metrics::record(async |metrics| {
        let server = Server::new(service_fn(misbehave)).idle_timeout(SECOND);
        let (io, writes, _serving) = serve_recorded(server);
        let mut haproxy = Haproxy::connect(io).await;
        writes.take();
        haproxy.ask_all(&["fine", "error", "too-big"]).await;
        for _ in 0..3 {
            haproxy.ack().await;
        }
        assert_eq!(metrics.get(ACK_BYTES), Some(writes.take().concat().len() as f64));
        let bytes = metrics.get(ACK_BYTES);
        assert_eq!(haproxy.disconnected().await, Status::NORMAL);
        assert_eq!(metrics.get(ACK_BYTES), bytes, "a DISCONNECT is none");
    });
}

#[test]
fn the_answer_that_takes_the_disconnect_with_it_counts_without_it() {
    Metrics::record(async |metrics| {
        let (held, mut calls) = Held::new();
        let running = Running::start(Server::new(held));
        let (mut haproxy, writes) = running.connect_as(Config::new(Engine::Mux).pipelining(false)).await;
        writes.take();
        haproxy.ask("m").await;
        let call = calls.next().await;
        let _stopped = running.stop().await;
        sleep(Duration::from_millis(200)).await;
        call.echo();
        haproxy.ack().await;
        assert_eq!(haproxy.disconnected().await, Status::NORMAL);
        let sent = writes.take().concat();
        let ack = 4 + u32::from_be_bytes(sent[..4].try_into().unwrap()) as usize;
        assert!(ack < sent.len());
        assert_eq!(metrics.get(ACK_BYTES), Some(ack as f64));
    });
}

#[test]
fn all_metrics_are_there_before_the_first_connection() {
    Metrics::record(async |metrics| {
        let _running = Server::new(echo()).serve(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
        let mut names = metrics.names();
        names.dedup();
        // Its labels are not known before.
        names.push(DISCONNECTS.into());
        names.sort();
        assert_eq!(names, metrics.described().into_keys().collect::<Vec<_>>());
    });
}

#[test]
fn bytes_and_seconds_are_the_units() {
    Metrics::record(async |metrics| {
        let (_haproxy, _serving) = connected(Server::new(echo())).await;
        let mut units = metrics.described();
        units.retain(|_, (_, unit)| *unit != Some(Unit::Count));
        let bytes = (ACK_BYTES.to_owned(), ("counter", Some(Unit::Bytes)));
        let seconds = (REQUEST_DURATION.to_owned(), ("histogram", Some(Unit::Seconds)));
        assert_eq!(units, [bytes, seconds].into());
    });
}

#[test]
fn the_tables_have_every_metric() {
    let docs = include_str!("../src/metrics.rs").replace("//! ", "");
    Metrics::record(async |metrics| {
        let (_haproxy, _serving) = connected(Server::new(echo())).await;
        let described = metrics.described();
        let described: Vec<_> = described.iter().map(|(name, (kind, _))| (&**name, *kind)).collect();
        for (file, first) in [(include_str!("../../docs/operations.md"), "metric"), (&docs, "name")] {
            let rows = tables::rows(file, first);
            let kinds = rows.iter().map(|row| {
                // In the module's table it is a link.
                let name = row[0].trim_start_matches("[`").split('`').next().unwrap_or_default();
                (name, row[1])
            });
            let mut rows: Vec<_> = kinds.collect();
            rows.sort_unstable();
            assert_eq!(rows, described);
        }
    });
}

#[test]
fn a_hostile_peer_adds_no_metric() {
    Metrics::record(async |metrics| {
        let server = Arc::new(Server::new(echo()));
        let attack = async |index: u32| {
            let (io, _serving) = serve_one_more(&server, 1 << 16);
            let mut haproxy = Haproxy::connect_as(io, mux().engine_id(&index.to_be_bytes())).await;
            haproxy.ask(&format!("name-{index}")).await;
            haproxy.ack().await;
            haproxy.disconnect(Status(1000 + index)).await;
            haproxy.rest().await;
        };
        attack(0).await;
        sleep(2 * SECOND).await;
        let names = metrics.names();
        for index in 1..20 {
            attack(index).await;
        }
        sleep(2 * SECOND).await;
        assert_eq!(metrics.names(), names);
        assert_eq!(metrics.get(CONNECTIONS), Some(0.0));
    });
}
