//! Requests that are meant to do harm, among those of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use testbed::http::{Connection, Request};
use tokio::task::JoinSet;

use crate::bed::{Bed, Outcome, SOON, Served, Setup, all_haproxies};

const CLIENTS: usize = 64;
const REQUESTS: usize = 40;
/// At least so many of each attack happen meanwhile.
const ATTACKS: usize = 100;

const ODD: [&[u8]; 2] = [
    b"OPTIONS * HTTP/1.1\r\nHost: testbed\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: testbed\r\nX-Odd: \x01\x7f\r\nUser-Agent: \x01\r\n\r\n",
];

/// Two requests that cost iocaine 3.5.1 the connection, and everybody who waited on it a 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_requests_cost_64_innocent_clients_nothing() -> Outcome {
    for haproxy in all_haproxies()? {
        // Whoever is not decided on gets a 503.
        let bed = Bed::start(&haproxy, Setup { fail_closed: true, ..Setup::default() }).await?;
        let (done, attacks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut attackers = JoinSet::new();
        for odd in ODD {
            let (to, done, attacks) = (bed.haproxy.http(), done.clone(), attacks.clone());
            attackers.spawn(async move {
                let mut sent = 0;
                while sent < ATTACKS || !done.load(Ordering::Relaxed) {
                    let response = Connection::open(to, None, SOON).await?.send_bytes(odd, SOON).await?;
                    assert_eq!(Served::of(&response), Served::Site, "{}", odd.escape_ascii());
                    sent += 1;
                    attacks.fetch_add(1, Ordering::Relaxed);
                }
                Outcome::Ok(())
            });
        }
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let to = bed.haproxy.http();
            clients.spawn(async move {
                let mut connection = Connection::open(to, None, SOON).await?;
                for _ in 0..REQUESTS {
                    let response = connection.send(&Request::new("GET", "/").deadline(SOON)).await?;
                    assert_eq!(Served::of(&response), Served::Site);
                }
                Outcome::Ok(())
            });
        }
        join(&mut clients).await?;
        done.store(true, Ordering::Relaxed);
        join(&mut attackers).await?;
        let attacks = attacks.load(Ordering::Relaxed);
        assert!(attacks >= 2 * ATTACKS);
        assert_eq!(bed.backend.requests(), CLIENTS * REQUESTS + attacks, "{bed}");
        assert_eq!(bed.agent.count("decision_errors_total", "").await?, 0, "{bed}");
    }
    Ok(())
}

async fn join(tasks: &mut JoinSet<Outcome>) -> Outcome {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// The agent stands still: HAProxy goes on after `timeout processing`, as the configuration says.
#[tokio::test]
async fn without_an_answer_the_configuration_decides() -> Outcome {
    for haproxy in all_haproxies()? {
        for (fail_closed, served) in [(false, Served::Site), (true, Served::Status(503))] {
            let bed = Bed::start_with(&haproxy, Setup { fail_closed, ..Setup::default() }, |config| {
                config.replace("timeout processing 10s", "timeout processing 100ms")
            });
            let bed = bed.await?;
            bed.agent.process.freeze()?;
            let request = Request::new("GET", "/").header("User-Agent", "GPTBot");
            assert_eq!(bed.send(&request).await?, served, "{bed}");
            bed.agent.process.thaw()?;
            let again = async {
                // HAProxy may have taken the agent for down meanwhile.
                while bed.send(&request).await? != Served::Garbage {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Outcome::Ok(())
            };
            tokio::time::timeout(SOON, again).await??;
        }
    }
    Ok(())
}
