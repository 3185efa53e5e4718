//! Health checks, restarts, reloads: what operators do.

use std::time::Duration;

use testbed::{AgentProcess, Backend, ReservedPort, http};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::bed::{Bed, Outcome, SOON, expect, expect_no_failed_event};
use crate::reputation::{config, expect_quiet_log, finish};

/// `option spop-check` follows an agent that stops and starts.
pub(crate) async fn spop_check(bed: &Bed) -> Outcome {
    let backend = Backend::start().await?;
    let port = ReservedPort::new()?;
    let config = config("args ip=src", "").agent(port.addr()).backend(backend.addr());
    let haproxy = bed.haproxy(&config).await?;
    let down = haproxy.wait_server_status("agents", "agent1", "DOWN", SOON).await?;
    assert_eq!(down.check_status, "L4CON");
    for _ in 0..2 {
        let mut agent = bed.ip_reputation(&port.addr().to_string(), &[]).await?;
        let up = haproxy.wait_server_status("agents", "agent1", "UP", SOON).await?;
        assert_eq!((&*up.check_status, &*up.check_desc), ("L7OK", "Layer7 check passed"));
        expect_score(&http::get(haproxy.http(), "/", &[]).await?);

        let mark = agent.logs().mark();
        let is_check = |line: &str| line.contains("health check ") && line.contains(" passed=true");
        agent.logs().wait_for_since(mark, "another health check", SOON, is_check).await?;
        assert!(agent.terminate(SOON).await?.success());
        haproxy.wait_server_status("agents", "agent1", "DOWN", SOON).await?;
        expect_quiet_log(&agent).await?;
    }
    let agent = bed.ip_reputation(&port.addr().to_string(), &[]).await?;
    haproxy.wait_server_status("agents", "agent1", "UP", SOON).await?;
    expect_score(&http::get(haproxy.http(), "/", &[]).await?);
    finish(haproxy, agent).await
}

/// HAProxy is reloaded twice and then stopped, gracefully, while clients keep coming.
pub(crate) async fn reload_and_stop(bed: &Bed) -> Outcome {
    let backend = Backend::start().await?;
    let agent = bed.ip_reputation("127.0.0.1:0", &[]).await?;
    let config = config("args ip=src", "").agent(agent.address()?).backend(backend.addr());
    let mut haproxy = bed.haproxy(&config).await?;

    let traffic = Traffic::start(haproxy.http());
    traffic.wait_for_more(20).await?;
    for _ in 0..2 {
        haproxy.reload().await?;
        traffic.wait_for_more(20).await?;
    }
    traffic.stop().await?;
    haproxy.stop_graceful(SOON).await?;
    expect_no_failed_event(&haproxy);
    expect_only_ordinary_ends(&agent).await?;
    finish(haproxy, agent).await
}

/// All connections have ended, each as a part of the day's work.
async fn expect_only_ordinary_ends(agent: &AgentProcess) -> Outcome {
    let accepted = agent.logs().all().iter().filter(|line| line.contains("connection accepted")).count();
    let mut ended = 0;
    let is_last = |line: &str| {
        ended += usize::from(line.contains("connection ended"));
        ended == accepted
    };
    agent.wait_for_log("the end of all connections", SOON, is_last).await?;
    Ok(())
}

#[track_caller]
fn expect_score(response: &http::Response) {
    expect(response, &[]);
    let score = response.header("x-score").and_then(|score| score.parse().ok());
    assert!(matches!(score, Some(0..=100)), "{response:?}");
}

/// A few clients that keep asking, each over a new connection, and look at every answer.
struct Traffic {
    answers: watch::Receiver<usize>,
    stop: watch::Sender<bool>,
    clients: JoinSet<Outcome>,
}

impl Traffic {
    const CLIENTS: usize = 3;

    fn start(to: std::net::SocketAddr) -> Self {
        let (count, answers) = watch::channel(0);
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        for _ in 0..Self::CLIENTS {
            let (count, stopped) = (count.clone(), stopped.clone());
            clients.spawn(async move {
                while !*stopped.borrow() {
                    match http::get(to, "/", &[]).await {
                        Ok(response) => {
                            expect_score(&response);
                            count.send_modify(|count| *count += 1);
                        }
                        // A worker that ends closes what it has not accepted yet: that is between HAProxy and clients.
                        Err(error) if error.is_closed() => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(())
            });
        }
        Self { answers, stop, clients }
    }

    /// Waits for so many more answers.
    async fn wait_for_more(&self, answers: usize) -> Outcome {
        let mut count = self.answers.clone();
        let wanted = *count.borrow_and_update() + answers;
        let enough = timeout(SOON, count.wait_for(|&count| count >= wanted)).await;
        enough.map_err(|_| "the clients get no answers any more")??;
        Ok(())
    }

    async fn stop(mut self) -> Outcome {
        self.stop.send_replace(true);
        while let Some(client) = timeout(SOON + Duration::from_secs(1), self.clients.join_next()).await? {
            client??;
        }
        Ok(())
    }
}
