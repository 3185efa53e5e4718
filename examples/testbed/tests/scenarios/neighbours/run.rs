//! One run: HAProxy, an agent, clients, and what these have seen.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use testbed::{AgentProcess, Backend, Config, HaproxyProcess, Random, Spoe};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use super::judge::{Measurements, Record};
use super::length;
use super::stalls::{Stalls, Watchdog, pick};
use crate::bed::{Bed, Outcome, SOON};
use crate::traffic::Client;

/// Runs take turns, as each of them is about times.
pub(super) static TURN: Mutex<()> = Mutex::const_new(());

/// What a scenario is about.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// For the table.
    pub(super) name: &'static str,
    /// How many stay, each of which asks again as soon as it has its answer.
    pub(super) clients: usize,
    /// Options of the agent.
    pub(super) agent: &'static [&'static str],
    /// `timeout processing`.
    pub(super) processing: Duration,
    /// How many of their requests are for the agent to be slow with.
    pub(super) slow_in_ten: u64,
    pub(super) leavers: Option<Leavers>,
    pub(super) stalls: Option<Stalls>,
    /// `tune.bufsize`.
    pub(super) bufsize: usize,
}

/// Clients, each of which asks, ends its connection after a while, answered or not, and starts again. Every other one
/// ends it with a reset: HAProxy 3.2 goes on with a request whose client has only closed, 3.4 does not.
#[derive(Clone, Debug)]
pub(super) struct Leavers {
    pub(super) clients: usize,
    pub(super) after_ms: Range<u64>,
}

/// HAProxy and its agent.
pub(super) struct Pair {
    pub(super) haproxy: HaproxyProcess,
    pub(super) agent: AgentProcess,
    _backend: Backend,
}

impl Setting {
    /// Starts both, for answers of `size` bytes.
    pub(super) async fn start(&self, bed: &Bed, size: usize) -> Outcome<Pair> {
        let padding = size.to_string();
        let options = [&["--quiet", "--padding", &padding], self.agent].concat();
        let agent = bed.test_agent("127.0.0.1:0", &options).await?;
        let backend = Backend::start().await?;
        let spoe = Spoe::new("load")
            .processing(format!("{}ms", self.processing.as_millis()))
            .agent("option dontlog-normal")
            .message("ask", &["args path=path", "event on-frontend-http-request"]);
        let config = Config::http(&spoe)
            .global(&format!("nbthread 1\ntune.bufsize {}", self.bufsize))
            // The load is meant for the filter: no log lines, and HAProxy itself responds.
            .frontend("no log\nhttp-request return status 200")
            .frontend("http-after-response set-header x-path %[var(txn.load.path)] if { var(txn.load.path) -m found }")
            .agent(agent.address()?)
            .backend(backend.addr());
        let haproxy = bed.haproxy(&config).await?;
        haproxy.wait_server_status("agents", "agent1", "UP", SOON).await?;
        Ok(Pair { haproxy, agent, _backend: backend })
    }
}

/// Has the clients of a setting ask for answers of `size` bytes.
pub(super) async fn run(bed: &Bed, setting: &Setting, size: usize) -> Outcome<Measurements> {
    let pair = setting.start(bed, size).await?;
    let _turn = TURN.lock().await;
    let watchdog = Watchdog::start(&pair);
    let random = Arc::new(Random::new(2));
    // HAProxy from 3.1 has 20 requests wait on a connection once it was idle, and opens one for each that is left.
    let mut records = vec![record(&mut Client::new(0, pair.haproxy.http()), 0).await];
    let start = Instant::now();
    let end = start + length();
    let mut clients = JoinSet::new();
    for number in 0..setting.clients {
        let client = Client::new(number, pair.haproxy.http());
        clients.spawn(ask_until(end, client, setting.slow_in_ten, random.clone()));
    }
    let mut leaving = JoinSet::new();
    if let Some(leavers) = &setting.leavers {
        for number in 0..leavers.clients {
            let client = Client::new(number, pair.haproxy.http());
            let client = if number % 2 == 0 { client.with_resets() } else { client };
            leaving.spawn(leave_until(end, client, leavers.after_ms.clone(), random.clone()));
        }
    }
    let mut stalls = match &setting.stalls {
        Some(stalls) => stalls.run(&pair, end).await?,
        None => Vec::new(),
    };
    sleep_until(end.into()).await;
    while let Some(client) = timeout(SOON, clients.join_next()).await? {
        records.extend(client?);
    }
    while let Some(client) = timeout(SOON, leaving.join_next()).await? {
        client?;
    }
    let took = start.elapsed();
    stalls.extend(watchdog.stop().await?);
    Ok(Measurements::new(&records, stalls, setting.processing, took))
}

/// Asks until then, and returns what became of the requests that the agent was not to be slow with.
async fn ask_until(end: Instant, mut client: Client, slow_in_ten: u64, random: Arc<Random>) -> Vec<Record> {
    let mut records = Vec::new();
    while Instant::now() < end {
        if random.below(10) < slow_in_ten {
            let _ = client.ask("/slow/").await;
        } else {
            records.push(record(&mut client, records.len()).await);
        }
    }
    records
}

/// Asks once.
pub(super) async fn record(client: &mut Client, number: usize) -> Record {
    let sent = Instant::now();
    let answer = client.ask(&format!("/{number}")).await;
    let lost = match answer {
        Ok(Ok(_)) => None,
        Ok(Err(status)) => Some(status),
        // Such as an answer without the agent's variables.
        Err(error) => Some(error.to_string()),
    };
    Record { sent, ended: Instant::now(), lost }
}

async fn leave_until(end: Instant, mut client: Client, after_ms: Range<u64>, random: Arc<Random>) {
    while Instant::now() < end {
        let after = pick(&random, &after_ms);
        // It matters to nobody whether the answer comes first.
        let _ = timeout(after, client.ask("/")).await;
        client.leave();
    }
}
