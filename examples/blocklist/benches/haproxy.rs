//! What HAProxy makes of a million networks: with the agent, with a list of its own, and with neither:
//! `cargo bench -p blocklist --bench haproxy`.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use spop_tokio::BoxError;
use testbed::{AgentProcess, Backend, Config, HaproxyProcess, Random, Spoe, haproxies, http};

const ENTRIES: usize = 1_000_000;
const CLIENTS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(1);
const TIME: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let haproxy = haproxies()?.pop().ok_or("no HAProxy")?;
    let dir = tempfile::tempdir()?;
    let list = dir.path().join("list");
    std::fs::write(&list, networks())?;
    let backend = Backend::start().await?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_blocklist"));
    command.args(["--listen", "127.0.0.1:0", "--file"]).arg(&list);
    let agent = AgentProcess::start(command, SOON).await?;
    println!("HAProxy {}, {CLIENTS} clients, {ENTRIES} networks:", haproxy.version);
    println!("agent with its list: {} MiB resident", agent.resident_bytes()? >> 20);
    for round in 1..=2 {
        for (name, config) in configs(&list) {
            let config = config.agent(agent.address()?).backend(backend.addr());
            let start = Instant::now();
            let process = HaproxyProcess::start(&haproxy, &config).await?;
            process.wait_server_status("agents", "agent1", "UP", SOON).await?;
            let start = start.elapsed();
            load(&process, WARM_UP).await?;
            let cpu = agent.cpu_time()?;
            let times = load(&process, TIME).await?;
            let cpu = (agent.cpu_time()? - cpu).as_secs_f64() * 1e6 / times.len() as f64;
            let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
            println!(
                "{round}: {name:<9} {:>6.0} requests/s, p50 {:.0?}, p99 {:.0?}, agent {cpu:.1} us of CPU a request, \
                 HAProxy ready after {start:.1?}",
                times.len() as f64 / TIME.as_secs_f64(),
                at(0.5),
                at(0.99),
            );
        }
    }
    Ok(())
}

/// Nothing of 127.0.0.0/8, so that all requests are served.
fn networks() -> String {
    let (random, mut text) = (Random::new(1), String::new());
    for _ in 0..ENTRIES {
        let address = Ipv4Addr::from_bits((128 << 24) + random.below(96 << 24) as u32);
        writeln!(text, "{address}").expect("a String takes all");
    }
    text
}

fn configs(list: &Path) -> [(&'static str, Config); 3] {
    let message = ["args src=src path=path method=method", "event on-frontend-http-request"];
    let asked = Spoe::new("blocklist").message("check-request", &message);
    let never = Spoe::new("blocklist").message("check-request", &["args src=src", "event on-server-session"]);
    let silent = Config::http(&never);
    [
        ("neither", silent.clone().replace("filter spoe engine blocklist config {spoe}", "")),
        (
            "acl -f",
            silent
                .replace("filter spoe engine blocklist config {spoe}", "")
                .frontend(&format!("http-request deny if {{ src -f {} }}", list.display())),
        ),
        (
            "the agent",
            Config::http(&asked).frontend("http-request deny if { var(txn.blocklist.blocked) -m bool }"),
        ),
    ]
}

/// Requests one after the other on each of the connections; how long each took, sorted.
async fn load(haproxy: &HaproxyProcess, time: Duration) -> Result<Vec<Duration>, BoxError> {
    let address = haproxy.http();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            tokio::spawn(async move {
                let mut connection = http::Connection::open(address, None, SOON).await?;
                let (request, start, mut times) =
                    (http::Request::new("GET", "/"), Instant::now(), Vec::new());
                while start.elapsed() < time {
                    let sent = Instant::now();
                    let response = connection.send(&request).await?;
                    times.push(sent.elapsed());
                    assert_eq!(response.status, 200);
                }
                Ok::<_, testbed::Error>(times)
            })
        })
        .collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await??);
    }
    all.sort_unstable();
    Ok(all)
}
