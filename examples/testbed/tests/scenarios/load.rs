//! Many clients at a time.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use spop_tokio::{Actions, BoxError, Request, Scope, Server, Service, service_fn};
use testbed::{Config, Spoe, http};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::bed::{Bed, Outcome, PATIENCE, Recorder, SOON, expect};

const CLIENTS: usize = 50;
const REQUESTS: usize = 20;

/// Answers overlap and overtake each other, and each reaches its own request.
pub(crate) async fn parallel_clients(bed: &Bed) -> Outcome {
    let recorder = Recorder::default();
    let (in_flight, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (recording, most_seen) = (recorder.clone(), most.clone());
    let service = service_fn(move |request: Request| {
        recording.add(&request);
        let (in_flight, most) = (in_flight.clone(), most.clone());
        async move {
            most.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let message = request.message("ask").ok_or("no message")?;
            let (path, token): (&str, &str) = (message.get("path")?, message.get("token")?);
            // What takes how long has nothing to do with the order in which it came; some are ready at once.
            let pause = Duration::from_millis(path.bytes().map(u64::from).sum::<u64>() * 7 % 10);
            if !pause.is_zero() {
                sleep(pause).await;
            }
            let mut actions = Actions::new();
            actions.set_var(Scope::Transaction, "path", path)?;
            actions.set_var(Scope::Request, "token", token)?;
            in_flight.fetch_sub(1, Ordering::SeqCst);
            Ok::<_, BoxError>(actions)
        }
    });
    let spoe = Spoe::new("load")
        .processing(PATIENCE)
        .message("ask", &["args path=path token=req.hdr(x-token)", "event on-frontend-http-request"]);
    let show = "http-after-response set-header x-path %[var(txn.load.path)]\n\
                http-request set-header x-answer %[var(req.load.token)]";
    // No time limit of its own: a busy machine may take long, and the answers are what counts.
    let setup =
        bed.start(Server::new(service).request_timeout(None), Config::http(&spoe).frontend(show)).await?;

    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let to = setup.haproxy.http();
        clients.spawn(async move {
            let mut connection = http::Connection::open(to, None, SOON).await?;
            for request in 0..REQUESTS {
                let (path, token) = (format!("/{client}/{request}"), format!("token-{request}-of-{client}"));
                let request = http::Request::new("GET", &path).header("x-token", &token).deadline(SOON);
                let response = connection.send(&request).await?;
                expect(&response, &[("x-path", Some(&path)), ("x-echo-x-answer", Some(&token))]);
            }
            Outcome::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }

    let requests = recorder.take();
    assert_eq!(requests.len(), CLIENTS * REQUESTS, "each was asked for once");
    let connections: HashSet<_> = requests.iter().map(|request| format!("{}", request.connection)).collect();
    let most = most_seen.load(Ordering::SeqCst);
    // HAProxy opens one for each request that finds none idle, and from then on has enough.
    assert!((1..=2 * CLIENTS).contains(&connections.len()), "{connections:?}");
    assert!(most > 1, "requests overlap");
    setup.finish(bed).await
}

/// Answers that together fill HAProxy's buffer many times over. HAProxy from 3.1 loses a connection for good on which
/// it finds a whole buffer to read, so they must not leave at once (wire pitfall P1).
pub(crate) async fn long_answers(bed: &Bed) -> Outcome {
    // As many as HAProxy has waiting on one connection.
    const CLIENTS: usize = 20;
    let mut measurements = Vec::new();
    for length in [2_000, 10_000] {
        measurements.push(Long { clients: CLIENTS, requests: 200, length, pipelining: true }.run(bed).await?);
    }
    bed.report(measurements.join("; "));
    Ok(())
}

/// The same of fewer clients, whose requests prove less of what HAProxy has read; and without `pipelining`, where
/// nothing has to be proved.
pub(crate) async fn long_answers_to_few(bed: &Bed) -> Outcome {
    let mut measurements = Vec::new();
    for pipelining in [true, false] {
        measurements.push(Long { clients: 5, requests: 20, length: 10_000, pipelining }.run(bed).await?);
    }
    bed.report(measurements.join("; "));
    Ok(())
}

struct Long {
    clients: usize,
    /// Of each client.
    requests: usize,
    /// Of each answer, in bytes.
    length: usize,
    pipelining: bool,
}

impl Long {
    /// Returns a line of measurements.
    async fn run(&self, bed: &Bed) -> Outcome<String> {
        let &Self { clients, requests, length, pipelining } = self;
        let connections = Arc::new(Mutex::new(HashSet::new()));
        let server = Server::new(self.service(&connections)).request_timeout(None).pipelining(pipelining);
        let spoe = Spoe::new("load")
            .processing("10s")
            .message("ask", &["args path=path", "event on-frontend-http-request"]);
        let show = "http-after-response set-header x-length %[var(txn.load.long),length]";
        let setup = bed.start(server, Config::http(&spoe).global("nbthread 1").frontend(show)).await?;

        // From 3.1 on a connection takes several requests at a time only once it was idle.
        expect(&setup.get("/").await?, &[("x-length", Some(&length.to_string()))]);
        let start = Instant::now();
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let to = setup.haproxy.http();
            set.spawn(async move {
                let mut connection = http::Connection::open(to, None, SOON).await?;
                let mut longest = Duration::ZERO;
                for _ in 0..requests {
                    let start = Instant::now();
                    let response = connection.send(&http::Request::new("GET", "/").deadline(SOON)).await?;
                    expect(&response, &[("x-length", Some(&length.to_string()))]);
                    longest = longest.max(start.elapsed());
                }
                Outcome::Ok(longest)
            });
        }
        let mut longest = Duration::ZERO;
        while let Some(client) = set.join_next().await {
            longest = longest.max(client??);
        }
        let [took, longest] = [start.elapsed(), longest].map(|time| time.as_millis());
        setup.finish(bed).await?;
        // A pause for each answer would be 5 s for the few.
        assert!(took < 4_000 || clients * requests > 100, "{took} ms");
        let connections = connections.lock().expect("never held in a panic").len();
        let how = if pipelining { "" } else { ", no pipelining" };
        Ok(format!(
            "{} answers of {length} bytes to {clients} clients{how}: {took} ms, longest request {longest} ms, \
             connections: {connections}",
            clients * requests,
        ))
    }

    fn service(&self, connections: &Arc<Mutex<HashSet<String>>>) -> impl Service + use<> {
        let (value, seen) = ("x".repeat(self.length), connections.clone());
        service_fn(move |request: Request| {
            let value = value.clone();
            seen.lock().expect("never held in a panic").insert(request.connection().peer().to_string());
            async move {
                // Long enough for others to come, so that their answers are ready together.
                sleep(Duration::from_millis(5)).await;
                let mut actions = Actions::new();
                actions.set_var(Scope::Transaction, "long", &value)?;
                Ok::<_, BoxError>(actions)
            }
        })
    }
}
