//! HAProxy's bugs that an agent can step on: see docs/haproxy-versions.md. Those of versions that nobody can get any
//! more are tested without HAProxy, in `spop` and `spop-tokio`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use spop_tokio::spop::agent::{Config as Limits, Connection, Event};
use spop_tokio::spop::{FrameType, Instant, Status};
use spop_tokio::{Actions, BoxError, Request, Scope, Server, service_fn};
use testbed::check::wire::{FIN, frame, items, value};
use testbed::{Backend, Config, Spoe, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::bed::{
    Bed, Outcome, PATIENCE, Recorder, SOON, expect, expect_no_failed_event, prompt, with_one_connection,
};
use crate::log::above_debug;

/// HAProxy up to 3.0 asks with the same ids again when it has given a request up: the answer to the old one must not be
/// taken for that to the new one (P8).
pub(crate) async fn late_answer(bed: &Bed) -> Outcome {
    let (asked_again, over) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (started, mut starts) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request| {
        let (asked_again, over, started) = (asked_again.clone(), over.clone(), started.clone());
        async move {
            let is_first = request.message("first").is_some();
            started.send(is_first).ok();
            if is_first {
                // Answered, or dropped.
                let _over = Tell(over);
                asked_again.notified().await;
            } else {
                asked_again.notify_one();
                over.notified().await;
            }
            let mut actions = Actions::new();
            actions.set_var(Scope::Transaction, "asked", if is_first { "first" } else { "second" })?;
            Ok::<_, BoxError>(actions)
        }
    });
    let spoe = Spoe::new("late")
        // Time enough for the second answer, on a busy machine.
        .processing("2s")
        .agent("option continue-on-error")
        .message("first", &["event on-frontend-http-request"])
        .message("second", &["event on-http-response"]);
    let show = "http-after-response set-header x-asked %[var(txn.late.asked)]";
    let config = with_one_connection(Config::http(&spoe).frontend(show));
    let setup = bed.start(Server::new(service).request_timeout(None), config).await?;
    let response = setup.get("/").await?;
    // The error is that of the first event.
    assert_eq!((response.status, response.header("x-spoe-error")), (200, Some("1")), "{response:?}");
    assert_eq!(response.header("x-asked"), Some("second"), "{response:?}");
    assert_eq!((starts.recv().await, starts.recv().await), (Some(true), Some(false)));
    setup.finish_after_failures().await?;
    assert_eq!(above_debug(&bed.log().lines()), [""; 0]);
    Ok(())
}

/// Tells when it is dropped.
struct Tell(Arc<Notify>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A health check that is answered with a status without a text crashes HAProxy up to 3.0, so none leaves (P9).
pub(crate) async fn odd_status_in_check(bed: &Bed) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let agent = tokio::spawn(async move {
        for code in (14..=98).step_by(7).cycle() {
            let (mut io, _) = listener.accept().await?;
            // All of it, so that closing is no reset.
            let length = io.read_u32().await?;
            io.read_exact(&mut vec![0; length as usize]).await?;
            let mut connection = Connection::new(Limits::new(), Instant::default());
            connection.disconnect(Status(code), "");
            io.write_all(connection.poll_transmit(Instant::default())).await?;
        }
        Outcome::Ok(())
    });
    let spoe = Spoe::new("odd").message("never", &["event on-frontend-http-request if { always_false }"]);
    let config = Config::http(&spoe).agent(address).backend(address);
    let haproxy = bed.haproxy(&config).await?;
    let before = haproxy.pids();
    let down = haproxy.wait_server_status("agents", "agent1", "DOWN", SOON).await?;
    assert_eq!(down.check_status, "L7RSP", "{down:?}");
    assert_eq!(haproxy.pids(), before, "no worker has gone");
    agent.abort();
    Ok(())
}

/// HAProxy from 3.1 fails what is longer than the agent takes, up to 3.0 it sends that in fragments: the connection
/// goes on (P14 is about a version that sends it as it is).
pub(crate) async fn agent_lowers_frame_size(bed: &Bed) -> Outcome {
    let recorder = Recorder::default();
    let recording = recorder.clone();
    let service = service_fn(move |request: Request| {
        recording.add(&request);
        async move {
            let value: &str = request.message("ask").ok_or("no message")?.nth(0)?;
            let mut actions = Actions::new();
            actions.set_var(Scope::Transaction, "length", value.len() as u64)?;
            Ok::<_, BoxError>(actions)
        }
    });
    let lines = ["args req.hdr(x-long)", "event on-frontend-http-request"];
    let spoe = Spoe::new("small").processing(PATIENCE).message("ask", &lines);
    let show = "http-after-response set-header x-length %[var(txn.small.length)] \
                if { var(txn.small.length) -m found }";
    let config = with_one_connection(Config::http(&spoe).frontend(show));
    let setup = bed.start(Server::new(service).max_frame_size(512), config).await?;
    let ask = |length: usize| http::Request::new("GET", "/").header("x-long", &"x".repeat(length));
    expect(&setup.send(&ask(100)).await?, &[("x-length", Some("100"))]);
    let before = recorder.take_one().connection;
    let response = prompt(setup.send(&ask(2000))).await?;
    if bed.version().speaks_mode_spop() {
        assert_eq!((response.status, response.header("x-spoe-error")), (200, Some("259")), "{response:?}");
        assert_eq!(recorder.take(), []);
    } else {
        expect(&response, &[("x-length", Some("2000"))]);
        assert_eq!(recorder.take_one().connection, before);
    }
    expect(&setup.send(&ask(101)).await?, &[("x-length", Some("101"))]);
    assert_eq!(recorder.take_one().connection, before);
    setup.finish_after_failures().await?;
    assert_eq!(above_debug(&bed.log().lines()), [""; 0]);
    Ok(())
}

/// HAProxy from 3.1 takes a second AGENT-HELLO to heart, which is how a drain switches `pipelining` off; up to 3.0 it
/// ignores it.
pub(crate) async fn second_agent_hello(bed: &Bed) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let agent = Arc::new(Pipelined::default());
    let agents = tokio::spawn(agent.clone().accept(listener));
    let backend = Backend::start().await?;
    let lines = ["args path", "event on-frontend-http-request"];
    let spoe = Spoe::new("twice").processing(PATIENCE).message("ask", &lines);
    let mut config = Config::http(&spoe).agent(address).backend(backend.addr());
    config = if bed.version().speaks_mode_spop() {
        // There `maxconn` counts requests.
        config.global("nbthread 1")
    } else {
        with_one_connection(config)
    };
    let haproxy = bed.haproxy(&config).await?;
    haproxy.wait_server_status("agents", "agent1", "UP", SOON).await?;

    // From 3.1 on a connection takes several requests at a time only once it was idle.
    ask_in_parallel(haproxy.http(), 1).await?;
    ask_in_parallel(haproxy.http(), 8).await?;
    let before = agent.most.load(Ordering::SeqCst);
    agent.greet.store(true, Ordering::SeqCst);
    ask_in_parallel(haproxy.http(), 1).await?;
    assert!(!agent.greet.load(Ordering::SeqCst), "the HELLO was sent again");
    ask_in_parallel(haproxy.http(), 8).await?;
    let after = agent.most_after.load(Ordering::SeqCst);
    assert!(before > 1, "{before} at a time before");
    assert!(after > 0, "the connection goes on");
    assert_eq!(after > 1, !bed.version().speaks_mode_spop(), "{after} at a time after");
    bed.report(format!("at most {before} requests at a time before the second HELLO, {after} after it"));
    expect_no_failed_event(&haproxy);
    agents.abort();
    Ok(())
}

/// So many clients ask ten times each, and get an answer without an error each time.
async fn ask_in_parallel(to: SocketAddr, clients: usize) -> Outcome {
    let mut set = JoinSet::new();
    for _ in 0..clients {
        set.spawn(async move {
            for _ in 0..10 {
                expect(&http::Request::new("GET", "/").deadline(SOON).send(to).await?, &[]);
            }
            Outcome::Ok(())
        });
    }
    while let Some(client) = set.join_next().await {
        client??;
    }
    Ok(())
}

/// An agent that answers when nothing more comes.
#[derive(Default)]
struct Pipelined {
    /// How many requests were in flight on one connection at a time.
    most: AtomicUsize,
    /// The same, for the connection with two HELLOs.
    most_after: AtomicUsize,
    /// To say HELLO again, without `pipelining`, before the next answer.
    greet: AtomicBool,
}

impl Pipelined {
    async fn accept(self: Arc<Self>, listener: TcpListener) -> Outcome {
        loop {
            let (io, _) = listener.accept().await?;
            tokio::spawn(self.clone().serve(io));
        }
    }

    async fn serve(self: Arc<Self>, mut io: TcpStream) -> Outcome {
        let again = [("version", value::string("2.0")), ("max-frame-size", value::uint32(16_380))];
        let again = [&again[..], &[("capabilities", value::string(""))]].concat();
        let again = frame(FrameType::AGENT_HELLO, FIN, (0, 0), &items(&again));
        let now = Instant::default();
        let mut connection = Connection::new(Limits::new(), now);
        let mut most = &self.most;
        let (mut input, mut out, mut due) = (BytesMut::new(), BytesMut::new(), Vec::new());
        loop {
            while let Some(event) = connection.handle_input(&mut input, now) {
                if let Event::Notify(_, ticket) = event {
                    due.push(ticket);
                }
            }
            most.fetch_max(due.len(), Ordering::SeqCst);
            let sent = connection.poll_transmit(now);
            out.extend_from_slice(sent);
            let sent = sent.len();
            connection.transmitted(sent);
            io.write_all_buf(&mut out).await?;
            tokio::select! {
                read = io.read_buf(&mut input) => if read? == 0 {
                    return Ok(());
                },
                () = sleep(Duration::from_millis(5)), if !due.is_empty() => {
                    if self.greet.swap(false, Ordering::SeqCst) {
                        out.extend_from_slice(&again);
                        most = &self.most_after;
                    }
                    for ticket in due.drain(..) {
                        connection.ack(ticket, &Actions::new())?;
                    }
                }
            }
        }
    }
}
