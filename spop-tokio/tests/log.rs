//! What is logged, and what is not.

mod support;

use std::collections::BTreeMap;
use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, io, mem};

use spop_tokio::spop::Status;
use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::{
    Actions, BoxError, MessageRequest, Request, Router, Scope, Server, Service, Var, service_fn,
};
use support::haproxy::hello;
use support::{Haproxy, Running, echo, ended, frame, serve, serve_one_more, soon, tables};
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};
use tracing::subscriber::DefaultGuard;
use tracing::{Level, info};

/// All that is logged in this thread, as a user sees it.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Until the guard is dropped.
    fn capture(level: Level) -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(move || writer.clone())
            .without_time()
            .with_ansi(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines since the last call.
    fn take(&self) -> Vec<String> {
        let bytes = mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn applet() -> Config {
    Config::new(Engine::Applet)
}

async fn connected<S: Service>(server: Server<S>) -> (Haproxy<DuplexStream>, support::Serving) {
    let (io, serving) = serve(server, 1 << 16);
    let config = Config::new(Engine::Mux).engine_id(b"0bad-cafe");
    (Haproxy::connect_as(io, config).await, serving)
}

/// Does what the message's name says, before and after it had to wait.
async fn misbehave(request: Request) -> Result<Actions, BoxError> {
    let name = request.messages().next().ok_or("no message")?.name().to_string();
    info!("a handler's first words");
    tokio::task::yield_now().await;
    info!("a handler's last words");
    match name.as_str() {
        "error" => Err("it did not work".into()),
        "arg" => Ok(request.message("arg").ok_or("no message")?.get::<u8>("body").map(|_| Actions::new())?),
        "panic" => panic!("a handler's panic"),
        "timeout" => pending().await,
        "too-big" => {
            let body: &str = request.message("too-big").ok_or("no message")?.get("body")?;
            let mut actions = Actions::new();
            actions.set_var(Scope::Transaction, "big", body.repeat(1_000).as_str())?;
            Ok(actions)
        }
        _ => Ok(support::answer(&name)),
    }
}

const SECRET: &str = "Xyzzy-4711-of-the-client";

/// A request of the message `name` with the secret.
fn request(haproxy: &mut Haproxy<DuplexStream>, name: &str) -> Vec<u8> {
    haproxy.notify_with(name, &[("body", SECRET.into()), ("bytes", SECRET.as_bytes().into())]).1.to_vec()
}

/// Sends `bytes` to a server that logs, until it closes.
async fn broken(bytes: &[u8]) {
    let running = Running::start(Server::new(echo()));
    let (mut haproxy, _) = running.connect_as(applet()).await;
    haproxy.send(bytes).await;
    haproxy.rest().await;
    running.stop().await.unanswered().await;
}

#[tokio::test(start_paused = true)]
async fn no_line_holds_what_a_client_sent() {
    let (log, _guard) = Log::capture(Level::TRACE);
    let running = Running::start(Server::new(service_fn(misbehave)).fragments(1_000, 100));
    let (mut haproxy, _) = running.connect_as(applet()).await;
    for name in ["fine", "error", "arg", "panic", "timeout", "too-big"] {
        let bytes = request(&mut haproxy, name);
        haproxy.send(&bytes).await;
        haproxy.ack().await;
    }
    let secret = SECRET.as_bytes();
    for payload in [&[b"\x01m\x01\0\x0f", secret].concat()[..], &[b"\x01m\x01\0\x08\x7f", secret].concat()] {
        let (id, _) = haproxy.notify("m");
        haproxy.send(&frame(3, 1, (id.stream_id, id.frame_id), payload)).await;
        haproxy.ack().await;
    }
    let (id, _) = haproxy.notify("m");
    haproxy.send(&frame(3, 0, (id.stream_id, id.frame_id), &secret.repeat(100))).await;
    haproxy.send(&frame(0, 1, (id.stream_id, id.frame_id), secret)).await;
    haproxy.ack().await;
    // A type that nobody knows is ignored.
    haproxy.send(&frame(99, 1, (0, 0), secret)).await;
    haproxy.disconnect(Status::TIMEOUT).await;
    haproxy.rest().await;
    running.stop().await.unanswered().await;
    broken(secret).await;
    broken(&frame(1, 1, (0, 0), secret)).await;
    broken(&frame(2, 1, (0, 0), secret)).await;
    broken(&frame(0, 1, (7, 7), secret)).await;

    let log = log.take();
    for word in ["error", "panic", "timeout", "too-big", "malformed"] {
        let is_failed =
            |line: &&String| line.contains("request failed") && line.contains(&format!("kind={word}"));
        assert!(log.iter().any(|line| is_failed(&line)), "{word} in {log:#?}");
    }
    assert!(log.iter().filter(|line| line.contains("connection failed")).count() >= 4, "{log:#?}");
    for line in &log {
        assert!(!line.contains("Xyzzy") && !line.contains("4711"), "{line}");
    }
}

#[tokio::test]
async fn a_handlers_own_lines_say_which_connection_and_request() {
    let (log, _guard) = Log::capture(Level::DEBUG);
    let (mut haproxy, _serving) = connected(Server::new(service_fn(misbehave))).await;
    let id = haproxy.ask_together(&["check-client-ip", "log-it"]).await;
    haproxy.ack().await;
    let lines = log.take();
    let spans = format!(
        "connection{{peer=stream engine_id=0bad-cafe}}:request{{stream_id={} frame_id={} \
         messages=check-client-ip,log-it}}: ",
        id.stream_id, id.frame_id
    );
    for words in ["a handler's first words", "a handler's last words"] {
        let line = lines.iter().find(|line| line.ends_with(words)).unwrap();
        assert!(line.contains(&spans), "{line}");
    }
}

#[tokio::test]
async fn a_failure_says_which_connection_and_request() {
    for (level, request) in [(Level::DEBUG, ":request{stream_id="), (Level::WARN, ": spop_tokio::")] {
        let (log, _guard) = Log::capture(level);
        let (mut haproxy, _serving) = connected(Server::new(service_fn(misbehave))).await;
        let id = haproxy.ask("error").await;
        haproxy.ack().await;
        let lines = log.take();
        let line = lines.iter().find(|line| line.contains("request failed")).unwrap();
        let spans = format!("connection{{peer=stream engine_id=0bad-cafe}}{request}");
        let fields = format!(" id={id} kind=error error=it did not work");
        assert!(line.contains(&spans) && line.ends_with(&fields), "{line}");
    }
}

#[tokio::test]
async fn a_request_is_traced_with_its_ids_and_messages() {
    let (log, _guard) = Log::capture(Level::TRACE);
    let (mut haproxy, _serving) = connected(Server::new(echo())).await;
    let id = haproxy.ask("check-client-ip").await;
    haproxy.ack().await;
    let lines = log.take();
    let line = lines.iter().find(|line| line.contains("request answered")).unwrap();
    assert!(line.contains(" messages=check-client-ip}") && line.ends_with(&format!(" id={id}")), "{line}");
}

#[tokio::test]
async fn names_of_a_hostile_peer_are_cut_and_escaped() {
    let (log, _guard) = Log::capture(Level::TRACE);
    let (io, _serving) = serve(Server::new(Router::new()), 1 << 20);
    let mut haproxy = Haproxy::connect_as(io, applet().engine_id(&[b'\n'; 5_000])).await;
    let long = format!("a\nWARN {}", "x".repeat(1_000));
    haproxy.ask_together(&[long.as_str(); 12]).await;
    haproxy.ack().await;
    let lines = log.take();
    let span = format!("messages={},...", vec![format!("a\\nWARN {}...", "x".repeat(57)); 8].join(","));
    assert!(lines.iter().any(|line| line.contains(&span)), "{}", lines[1]);
    assert!(lines.iter().all(|line| line.len() < 1_500 && !line.starts_with("WARN")), "{}", lines[1]);
}

#[tokio::test]
async fn an_error_with_a_hostile_peers_names_is_one_line_of_a_bound_length() {
    let (log, _guard) = Log::capture(Level::INFO);
    let service = service_fn(|request: Request| async move {
        let missing = request.messages().try_for_each(|message| message.get::<bool>("flag").map(drop));
        missing.map(|()| Actions::new())
    });
    let (mut haproxy, _serving) = connected(Server::new(service)).await;
    haproxy.ask(&format!("a\nWARN {}", "x".repeat(10_000))).await;
    haproxy.ack().await;
    let lines = log.take();
    let [line] = &lines[..] else { panic!("{} lines", lines.len()) };
    assert!(line.contains("error=message a\\nWARN xxx") && line.len() < 1_300, "{line}");
}

#[tokio::test]
async fn a_failed_request_is_logged_with_the_name_of_its_message() {
    let (log, _guard) = Log::capture(Level::INFO);
    let router =
        Router::new().message("check-client-ip", || Err::<(), _>("database down")).message("log", || ());
    let (mut haproxy, _serving) = connected(Server::new(router)).await;
    haproxy.ask_together(&["log", "check-client-ip"]).await;
    haproxy.ack().await;
    let lines = log.take();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.contains(" kind=error name=check-client-ip error=database down"), "{line}");
}

#[tokio::test]
async fn every_message_that_fails_is_logged_with_its_name() {
    let (log, _guard) = Log::capture(Level::INFO);
    let fail = |request: MessageRequest| Err::<(), _>(format!("no {}", request.name()));
    let (mut haproxy, _serving) = connected(Server::new(Router::new().fallback(fail))).await;
    haproxy.ask_together(&["a", "b"]).await;
    haproxy.ack().await;
    let lines = log.take();
    let [first, second] = &lines[..] else { panic!("{lines:?}") };
    assert!(first.contains("request failed") && first.contains(" name=a error=no a"), "{first}");
    let also = "another message of the request failed";
    assert!(second.contains(also) && second.contains(" error=message b: no b"), "{second}");
}

#[tokio::test]
async fn a_message_without_a_handler_is_warned_of_once_with_those_that_have_one() {
    let (log, _guard) = Log::capture(Level::DEBUG);
    let router = Router::new().message("check-request", || ()).message("check-response", || ());
    let (mut haproxy, _serving) = connected(Server::new(router)).await;
    for name in ["check-respons", "check-respons", "other", "check-response"] {
        haproxy.ask(name).await;
        haproxy.ack().await;
    }
    let lines = log.take();
    let warned: Vec<_> = lines.iter().filter(|line| line.contains("WARN")).collect();
    let [first, second] = &warned[..] else { panic!("{warned:?}") };
    let handlers = "handlers=check-request, check-response";
    assert!(first.contains("message without a handler is ignored name=check-respons "), "{first}");
    assert!(
        first.contains(handlers) && second.contains(" name=other ") && second.contains(handlers),
        "{second}"
    );
    assert_eq!(levels(&lines, "message without a handler"), [("DEBUG".into(), 1), ("WARN".into(), 2)].into());
}

#[tokio::test]
async fn a_peer_with_no_end_of_names_is_not_warned_of_without_end() {
    let (log, _guard) = Log::capture(Level::INFO);
    let (mut haproxy, _serving) = connected(Server::new(Router::new())).await;
    for name in 0..100 {
        haproxy.ask(&format!("m{name}")).await;
        haproxy.ack().await;
    }
    assert_eq!(log.take().len(), 16);
}

#[tokio::test]
async fn a_variable_that_is_too_long_for_its_prefix_is_logged_with_its_name() {
    const LONG: Var = Var::session("a_name_of_quite_some_bytes");
    let (log, _guard) = Log::capture(Level::INFO);
    let server = Server::new(Router::new().message("m", || (LONG, 1))).var_prefix(&"p".repeat(40)).unwrap();
    let (mut haproxy, _serving) = connected(server).await;
    haproxy.ask("m").await;
    assert_eq!(support::failure_of(&haproxy.ack().await), "error");
    let lines = log.take();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let want = "kind=error error=variable sess.a_name_of_quite_some_bytes: variable name of 26 bytes, at most 17 here";
    assert!(line.contains(want), "{line}");
}

/// The levels of the lines with `words`.
fn levels(lines: &[String], words: &str) -> BTreeMap<String, usize> {
    let mut levels = BTreeMap::new();
    for line in lines.iter().filter(|line| line.contains(words)) {
        *levels.entry(line.split_whitespace().next().unwrap().to_owned()).or_default() += 1;
    }
    levels
}

#[tokio::test(start_paused = true)]
async fn failures_of_a_kind_are_warned_of_once_a_second() {
    const COUNT: usize = 500;
    let (log, _guard) = Log::capture(Level::DEBUG);
    let server = Arc::new(Server::new(service_fn(misbehave)));
    let mut haproxies = Vec::new();
    for _ in 0..2 {
        haproxies.push(Haproxy::connect(serve_one_more(&server, 1 << 16).0).await);
    }
    for round in 0..2 {
        for name in ["error", "panic"] {
            for haproxy in &mut haproxies {
                for _ in 0..COUNT {
                    haproxy.ask(name).await;
                    haproxy.ack().await;
                }
            }
        }
        let lines = log.take();
        for kind in ["kind=error", "kind=panic"] {
            let failed: Vec<_> = lines.iter().filter(|line| line.contains(kind)).cloned().collect();
            let levels = levels(&failed, "request failed");
            assert_eq!(levels, [("DEBUG".to_owned(), 2 * COUNT - 1), ("WARN".to_owned(), 1)].into());
            let suppressed = format!(" suppressed={} ", 2 * COUNT - 1);
            let warned = failed.iter().find(|line| line.contains("WARN")).unwrap();
            assert_eq!(warned.contains(&suppressed), round == 1, "{warned}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn failed_connections_are_warned_of_once_a_second() {
    let (log, _guard) = Log::capture(Level::DEBUG);
    let running = Running::start(Server::new(echo()));
    for _ in 0..100 {
        let (io, _) = running.open();
        let mut haproxy = Haproxy::new(io, applet());
        haproxy.send(b"GET / HTTP/1.1\r\n\r\n").await;
        haproxy.rest().await;
    }
    running.stop().await.unanswered().await;
    let levels = levels(&log.take(), "connection failed");
    assert_eq!(levels, [("DEBUG".to_owned(), 99), ("WARN".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_peers_reset_is_at_debug() {
    let (log, _guard) = Log::capture(Level::DEBUG);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let signal = async { drop(stopped.await) };
    let serving =
        tokio::spawn(async { Server::new(echo()).serve(listener).with_graceful_shutdown(signal).await });
    let io = soon(TcpStream::connect(address)).await.unwrap();
    io.set_zero_linger().unwrap();
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    haproxy.ack().await;
    let peer = haproxy.io.local_addr().unwrap();
    drop(haproxy);
    drop(stop);
    soon(serving).await.unwrap().unwrap();
    let lines = log.take();
    for words in ["connection accepted", "connected", "connection reset by peer", "connection ended"] {
        let line = lines.iter().find(|line| line.contains(words)).unwrap();
        assert!(
            line.contains(&format!("connection{{peer={peer} ")) || words == "connection accepted",
            "{line}"
        );
    }
    let is_everyday =
        |line: &String| line.starts_with("DEBUG") || line.contains("INFO spop_tokio::server::open: shutdown");
    assert!(lines.iter().all(is_everyday), "{lines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_says_what_it_waits_for_and_how_long_at_most() {
    let (log, _guard) = Log::capture(Level::INFO);
    let (server, mut calls) = support::held();
    let mut running = Running::start(server.drain_timeout(Duration::from_secs(7)).drain_checks(2));
    let (mut haproxy, _) = running.connect().await;
    haproxy.ask_all(&["a", "b"]).await;
    let in_flight = calls.take(2).await;
    soon(spop_tokio::health_check(running.open().0, applet())).await.unwrap();
    // Its connection ends.
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.signal();
    tokio::task::yield_now().await;
    let lines = log.take();
    let [line] = &lines[..] else { panic!("want one line, got {lines:#?}") };
    assert!(line.trim_start().starts_with("INFO"), "{line}");
    assert!(line.ends_with("shutdown: waiting connections=1 requests=2 checks=2 at_most=10s"), "{line}");
    in_flight.into_iter().for_each(support::Call::echo);
}

#[tokio::test]
async fn a_shutdown_with_nothing_to_wait_for_says_nothing() {
    let (log, _guard) = Log::capture(Level::INFO);
    Running::start(Server::new(echo())).stop().await.unanswered().await;
    assert_eq!(log.take(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_refused_are_warned_of() {
    let (log, _guard) = Log::capture(Level::WARN);
    let running = Running::start(Server::new(echo()).max_connections(1));
    let (_open, _) = running.connect().await;
    Haproxy::new(running.open().0, applet()).rest().await;
    let lines = log.take();
    let [line] = &lines[..] else { panic!("want one line, got {lines:#?}") };
    assert!(line.contains("connection{peer=stream}: "), "{line}");
    assert!(line.ends_with("connection refused max_connections=1"), "{line}");
}

#[tokio::test]
async fn a_health_check_and_a_disconnect_are_at_debug() {
    let (log, _guard) = Log::capture(Level::DEBUG);
    let (io, serving) = serve(Server::new(echo()), 1 << 16);
    let mut haproxy = Haproxy::new(io, applet());
    haproxy.send(&hello(applet().healthcheck(true))).await;
    haproxy.rest().await;
    ended(serving).await.unwrap();
    let (mut haproxy, serving) = connected(Server::new(echo())).await;
    haproxy.disconnect(Status::NORMAL).await;
    haproxy.rest().await;
    ended(serving).await.unwrap();
    let lines = log.take();
    for words in ["health check passed=true", "disconnected by HAProxy status=0"] {
        assert!(lines.iter().any(|line| line.starts_with("DEBUG") && line.contains(words)), "{lines:#?}");
    }
}

/// Message and level of each event in a source file.
fn events(source: &str) -> Vec<(String, String)> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let of_macro = |name: &str, level: &str| {
        let start = format!("{name}!(");
        let calls = source.match_indices(&start).filter(|(at, _)| {
            // Not the end of another macro's name.
            !source[..*at]
                .ends_with(|before: char| before == '_' || before == ':' || before.is_alphanumeric())
        });
        // All messages are plain, and the last literal of the call.
        let message = |(at, _): (usize, &str)| {
            let mut depth = 0;
            let end = source[at..].find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                c == ')' && depth == 0
            });
            Some((source[at..][..end?].rsplit('"').nth(1)?.to_owned(), level.to_owned()))
        };
        calls.filter_map(message).collect::<Vec<_>>()
    };
    let levels = [
        ("trace", "trace"),
        ("debug", "debug"),
        ("info", "info"),
        ("warning", "warn"),
        ("limited_warning", "warn, limited"),
    ];
    levels.iter().flat_map(|(name, level)| of_macro(name, level)).collect()
}

#[test]
fn the_table_has_every_event() {
    let mut files = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.ends_with("log.rs") {
            found.extend(events(&fs::read_to_string(&path).unwrap()));
        }
    }
    found.sort();
    found.dedup();
    let rows = tables::rows(include_str!("../../docs/operations.md"), "event");
    let mut documented: Vec<_> = rows.iter().map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
    documented.sort();
    assert_eq!(found, documented);
}
