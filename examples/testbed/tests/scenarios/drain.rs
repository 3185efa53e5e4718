//! An agent that stops while requests are in flight answers them first.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use spop_tokio::{Actions, BoxError, Request, Scope, Server, service_fn};
use testbed::{Backend, Config, ReservedPort, Spoe, http};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bed::{Agent, Bed, Outcome, PATIENCE, SOON, expect, expect_no_failed_event};
use crate::log::above_debug;

const HELD: usize = 5;

pub(crate) async fn drain(bed: &Bed) -> Outcome {
    run(bed, true).await
}

pub(crate) async fn drain_without_pipelining(bed: &Bed) -> Outcome {
    run(bed, false).await
}

async fn run(bed: &Bed, pipelining: bool) -> Outcome {
    let backend = Backend::start().await?;
    let port = ReservedPort::new()?;
    let address = port.addr().to_string();
    let (started, mut starts) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let mut agent = Agent::start_at(&address, holding_server(started, gate.clone())).await?;

    let spoe = Spoe::new("held")
        .processing(PATIENCE)
        .agent(if pipelining { "option pipelining" } else { "no option pipelining" })
        .message("hold", &["args path=path", "event on-frontend-http-request"]);
    let config = Config::http(&spoe)
        .global("nbthread 1")
        .frontend("http-after-response set-header x-held %[var(txn.held.path)]")
        .agent(agent.address)
        .backend(backend.addr());
    let haproxy = bed.haproxy(&config).await?;
    haproxy.wait_server_status("agents", "agent1", "UP", SOON).await?;

    // From 3.1 on a connection takes several requests at a time only once it was idle.
    gate.add_permits(1);
    expect(&http::get(haproxy.http(), "/first", &[]).await?, &[("x-held", Some("/first"))]);
    let first = starts.recv().await;

    let mut clients = JoinSet::new();
    for client in 0..HELD {
        let (to, path) = (haproxy.http(), format!("/{client}"));
        clients.spawn(async move {
            let request = http::Request::new("GET", &path).deadline(SOON);
            (path, request.send(to).await)
        });
    }
    let mut connections = HashSet::new();
    for _ in 0..HELD {
        connections.insert(timeout(SOON, starts.recv()).await?.ok_or("the agent is gone")?);
    }
    match (bed.version().speaks_mode_spop(), pipelining) {
        (true, true) => assert_eq!(connections, HashSet::from_iter(first), "all on one connection"),
        (_, false) => assert_eq!(connections.len(), HELD, "each on a connection of its own"),
        // It takes several, as many as it likes.
        (false, true) => {}
    }

    agent.begin_stop();
    // Health checks fail, and the requests are still held.
    haproxy.wait_server_status("agents", "agent1", "DOWN", SOON).await?;
    assert!(clients.try_join_next().is_none());
    gate.add_permits(HELD);
    while let Some(answer) = clients.join_next().await {
        let (path, response) = answer?;
        expect(&response?, &[("x-held", Some(&path))]);
    }
    assert_eq!(agent.stop().await?.unanswered, 0);

    // The next agent at the same address goes on.
    gate.add_permits(1);
    let (started, _starts) = mpsc::unbounded_channel();
    let agent = Agent::start_at(&address, holding_server(started, gate)).await?;
    haproxy.wait_server_status("agents", "agent1", "UP", SOON).await?;
    expect(&http::get(haproxy.http(), "/next", &[]).await?, &[("x-held", Some("/next"))]);
    expect_no_failed_event(&haproxy);
    agent.stop().await?;
    assert_eq!(above_debug(&bed.log().lines()), [""; 0]);
    Ok(())
}

/// Tells of each request and its connection, and answers it with its path once the gate lets it pass.
fn holding_server(
    started: mpsc::UnboundedSender<String>,
    gate: Arc<Semaphore>,
) -> Server<impl spop_tokio::Service> {
    let service = service_fn(move |request: Request| {
        let (started, gate) = (started.clone(), gate.clone());
        async move {
            started.send(request.connection().peer().to_string()).ok();
            gate.acquire().await?.forget();
            let path: &str = request.message("hold").ok_or("no message")?.get("path")?;
            let mut actions = Actions::new();
            actions.set_var(Scope::Transaction, "path", path)?;
            Ok::<_, BoxError>(actions)
        }
    });
    // Longer than the test waits for HAProxy to notice.
    Server::new(service).request_timeout(None).drain_timeout(Duration::from_secs(100))
}
