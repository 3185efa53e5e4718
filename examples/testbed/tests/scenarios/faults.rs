//! Agents and HAProxys that are stopped, replaced, killed and frozen under load: what clients notice of it.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use spop_tokio::Client;
use spop_tokio::spop::haproxy::{self, Engine};
use testbed::{AgentProcess, Backend, Config, HaproxyProcess, ReservedPort, Spoe};
use tokio::net::TcpStream;

use crate::bed::{Bed, Outcome, SOON, expect_no_failed_event};
use crate::log::above_debug;
use crate::traffic::{Tally, Traffic};

const CLIENTS: usize = 32;
/// Milliseconds that an agent takes to answer, so that it always has something in flight.
const DELAY: &str = "5";
/// How agents are started.
const USUAL: &[&str] = &["--delay", DELAY];
/// Enough to show that all goes well again.
const MORE: usize = 10 * CLIENTS;
/// How long HAProxy waits for an agent.
const PROCESSING: Duration = Duration::from_secs(2);
/// What a busy machine may add to it.
const SLACK: Duration = Duration::from_secs(8);

/// One agent after the other is stopped and started anew.
pub(crate) async fn rolling_restart(bed: &Bed) -> Outcome {
    let (tally, stops) = restart_both(bed, spoe(), USUAL).await?;
    expect_lossless(bed, &tally, &stops);
    Ok(())
}

/// The same with answers of which HAProxy from 3.1 can take a few at a time.
pub(crate) async fn rolling_restart_with_long_answers(bed: &Bed) -> Outcome {
    let (tally, stops) = restart_both(bed, spoe(), &["--delay", DELAY, "--padding", "3000"]).await?;
    expect_lossless(bed, &tally, &stops);
    Ok(())
}

/// The same where a connection has one request at a time: nothing is lost on any version.
pub(crate) async fn rolling_restart_one_at_a_time(bed: &Bed) -> Outcome {
    let (tally, _) = restart_both(bed, spoe().agent("no option pipelining"), USUAL).await?;
    tally.expect_no_error();
    Ok(())
}

async fn restart_both(bed: &Bed, spoe: Spoe, options: &[&str]) -> Outcome<(Tally, [Window; 2])> {
    let mut pair = Pair::start(bed, spoe, options, "").await?;
    let mut stops = [Window::now(); 2];
    for index in 0..2 {
        stops[index] = stop(&mut pair.agents[index]).await?;
        pair.agents[index] = bed.test_agent(&pair.addresses[index], options).await?;
        pair.haproxy.wait_server_status("agents", SERVERS[index], "UP", SOON).await?;
        pair.wait_for_answers(index).await?;
    }
    let tally = pair.traffic.stop().await?;
    bed.report(&tally);
    Ok((tally, stops))
}

/// A new agent takes the place of the old one at its socket, which ends when it has answered what it has.
pub(crate) async fn upgrade_at_socket(bed: &Bed) -> Outcome {
    let folder = tempfile::tempdir()?;
    let address = format!("unix:{}", folder.path().join("agent.sock").display());
    upgrade(bed, &address, config(&spoe())).await?;
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "nothing is left behind");
    Ok(())
}

/// The same at a TCP port, with HAProxy's default health checks.
pub(crate) async fn upgrade_at_port(bed: &Bed) -> Outcome {
    let port = ReservedPort::new()?;
    let config = config(&spoe()).replace("check inter 200ms fall 2 rise 1", "check");
    upgrade(bed, &port.addr().to_string(), config).await
}

async fn upgrade(bed: &Bed, address: &str, config: Config) -> Outcome {
    let mut agent = bed.test_agent(address, USUAL).await?;
    let backend = Backend::start().await?;
    let haproxy = bed.haproxy(&config.agent(agent.address()?).backend(backend.addr())).await?;
    haproxy.wait_server_status("agents", SERVERS[0], "UP", SOON).await?;
    let mut traffic = Traffic::start(CLIENTS, haproxy.http());
    traffic.wait_for_agent(agent.pid(), MORE).await?;
    let mut stops = [Window::now(); 2];
    for stopped in &mut stops {
        let next = bed.test_agent(address, &["--delay", DELAY, "--take-over"]).await?;
        *stopped = stop(&mut std::mem::replace(&mut agent, next)).await?;
        traffic.wait_for_agent(agent.pid(), MORE).await?;
    }
    let tally = traffic.stop().await?;
    bed.report(&tally);
    expect_lossless(bed, &tally, &stops);
    stop(&mut agent).await?;
    Ok(())
}

/// What it costs to stop a single agent before the next one starts: HAProxy takes it out of use, and then has nobody to
/// ask.
pub(crate) async fn restart_alone(bed: &Bed) -> Outcome {
    let (tally, stopped) = restart_one(bed, USUAL).await?;
    expect_losses_within(&tally, &[stopped]);
    Ok(())
}

/// The same where health checks do not fail: HAProxy tries to connect until the next one is there.
pub(crate) async fn restart_alone_unnoticed(bed: &Bed) -> Outcome {
    let (tally, stopped) = restart_one(bed, &["--delay", DELAY, "--drain-checks", "0"]).await?;
    expect_lossless(bed, &tally, &[stopped]);
    Ok(())
}

async fn restart_one(bed: &Bed, options: &[&str]) -> Outcome<(Tally, Window)> {
    let port = ReservedPort::new()?;
    let address = port.addr().to_string();
    let mut agent = bed.test_agent(&address, options).await?;
    let backend = Backend::start().await?;
    let config = config(&spoe()).replace("check inter 200ms fall 2 rise 1", "check");
    let haproxy = bed.haproxy(&config.agent(&address).backend(backend.addr())).await?;
    agent.wait_for_log("a check", SOON, |line| line.contains("health check passed=true")).await?;
    let mut traffic = Traffic::start(CLIENTS, haproxy.http());
    traffic.wait_for_agent(agent.pid(), MORE).await?;
    let mut stopped = stop(&mut agent).await?;
    let agent = bed.test_agent(&address, options).await?;
    haproxy.wait_server_status("agents", SERVERS[0], "UP", SOON).await?;
    stopped.close();
    traffic.wait_for_agent(agent.pid(), MORE).await?;
    let tally = traffic.stop().await?;
    bed.report(&tally);
    Ok((tally, stopped))
}

/// A single agent whose socket belongs to the service manager: connections wait there for the next one.
pub(crate) async fn restart_at_inherited_socket(bed: &Bed) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let folder = tempfile::tempdir()?;
    let manager = UnixDatagram::bind(folder.path().join("notify"))?;
    manager.set_read_timeout(Some(SOON))?;
    let mut agent = activate(bed, &listener, folder.path()).await?;
    assert_eq!(told(&manager)?, "READY=1");
    let backend = Backend::start().await?;
    let config = config(&spoe()).replace("check inter 200ms fall 2 rise 1", "check");
    let haproxy = bed.haproxy(&config.agent(listener.local_addr()?).backend(backend.addr())).await?;
    agent.wait_for_log("a check", SOON, |line| line.contains("health check passed=true")).await?;
    let mut traffic = Traffic::start(CLIENTS, haproxy.http());
    traffic.wait_for_agent(agent.pid(), MORE).await?;
    let mut stops = [Window::now(); 2];
    for stopped in &mut stops {
        *stopped = stop(&mut agent).await?;
        assert_eq!(told(&manager)?, "STOPPING=1\nEXTEND_TIMEOUT_USEC=13000000");
        agent = activate(bed, &listener, folder.path()).await?;
        assert_eq!(told(&manager)?, "READY=1");
        stopped.close();
        traffic.wait_for_agent(agent.pid(), MORE).await?;
    }
    let tally = traffic.stop().await?;
    bed.report(&tally);
    expect_lossless(bed, &tally, &stops);
    Ok(())
}

/// Starts an agent as systemd does, with a socket of ours.
async fn activate(bed: &Bed, listener: &TcpListener, folder: &Path) -> Outcome<AgentProcess> {
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@""#, "sh"]);
    command.args([env!("CARGO_BIN_EXE_test-agent"), "--listen", "fd:3", "--delay", DELAY]);
    command.env("NOTIFY_SOCKET", folder.join("notify"));
    bed.agent(command, OwnedFd::from(listener.try_clone()?)).await
}

/// What the service manager is told next.
fn told(manager: &UnixDatagram) -> Outcome<String> {
    let mut message = [0; 256];
    let length = manager.recv(&mut message)?;
    Ok(String::from_utf8(message[..length].to_vec())?)
}

/// Peers that are gone without a word have all connections that the agent may have.
pub(crate) async fn full_agent(bed: &Bed) -> Outcome {
    const LIMIT: usize = 8;
    let options = ["--delay", DELAY, "--max-connections", &LIMIT.to_string()];
    let agent = bed.test_agent("127.0.0.1:0", &options).await?;
    let address = agent.address()?;
    let mut gone = Vec::new();
    for _ in 0..LIMIT {
        let (client, driver) =
            Client::connect(TcpStream::connect(&address).await?, haproxy::Config::new(Engine::Mux)).await?;
        gone.push((client, tokio::spawn(driver.run())));
    }
    let backend = Backend::start().await?;
    let haproxy = bed.haproxy(&config(&spoe()).agent(&address).backend(backend.addr())).await?;
    // It is UP before it is checked, so many checks must pass.
    agent.wait_for_log("checks", SOON, nth(10, "health check passed=true")).await?;
    haproxy.wait_server_status("agents", SERVERS[0], "UP", SOON).await?;
    // The system, or a person, has noticed.
    drop(gone);
    let mut traffic = Traffic::start(LIMIT / 2, haproxy.http());
    traffic.wait_for_agent(agent.pid(), MORE).await?;
    let tally = traffic.stop().await?;
    bed.report(&tally);
    tally.expect_no_error();
    Ok(())
}

/// Whether a line is the nth with these words.
fn nth(count: usize, words: &str) -> impl FnMut(&str) -> bool {
    let mut seen = 0;
    move |line| {
        seen += usize::from(line.contains(words));
        seen >= count
    }
}

pub(crate) async fn reload_under_load(bed: &Bed) -> Outcome {
    let mut pair = Pair::start(bed, spoe(), USUAL, "").await?;
    for _ in 0..2 {
        let mark = pair.haproxy.stderr().mark();
        pair.haproxy.reload().await?;
        pair.traffic.wait_for_more(MORE).await?;
        let is_gone = |line: &str| line.contains("exited with code 0");
        pair.haproxy.stderr().wait_for_since(mark, "the end of the old worker", SOON, is_gone).await?;
        pair.traffic.wait_for_more(MORE).await?;
    }
    let tally = pair.traffic.stop().await?;
    bed.report(&tally);
    tally.expect_no_error();
    expect_no_failed_event(&pair.haproxy);
    Ok(())
}

/// Only what was in flight on the agent is lost, and what HAProxy sends until it looks at the connections again.
pub(crate) async fn killed_agent(bed: &Bed) -> Outcome {
    let mut pair = Pair::start(bed, spoe(), USUAL, "").await?;
    let index = pair.busier();
    let mut killed = Window::now();
    pair.agents[index].kill()?;
    pair.haproxy.wait_server_status("agents", SERVERS[index], "DOWN", SOON).await?;
    killed.close();
    pair.traffic.wait_for_everybody_since(killed.end).await?;
    let tally = pair.traffic.stop().await?;
    bed.report(&tally);
    expect_losses_within(&tally, &[killed]);
    assert!(tally.spoe_errors.len() <= 2 * CLIENTS, "{tally:?}");
    assert!(tally.spoe_errors.iter().all(|failed| failed.why == "257"), "{tally:?}");
    Ok(())
}

/// Requests go to it, and are lost, until a health check has found out.
pub(crate) async fn frozen_agent(bed: &Bed) -> Outcome {
    let mut lines = "timeout check 500ms".to_owned();
    if !bed.version().speaks_mode_spop() {
        // It would go on using the connections that it has.
        lines += "\ndefault-server on-marked-down shutdown-sessions";
    }
    let mut pair = Pair::start(bed, spoe(), USUAL, &lines).await?;
    let index = pair.busier();
    let mut frozen = Window::now();
    pair.agents[index].freeze()?;
    pair.haproxy.wait_server_status("agents", SERVERS[index], "DOWN", SOON).await?;
    frozen.close();
    pair.traffic.wait_for_everybody_since(frozen.end).await?;
    pair.agents[index].thaw()?;
    pair.haproxy.wait_server_status("agents", SERVERS[index], "UP", SOON).await?;
    pair.wait_for_answers(index).await?;
    let tally = pair.traffic.stop().await?;
    bed.report(&tally);
    expect_losses_within(&tally, &[frozen]);
    // Each client can lose its next request only once it has given the last one up.
    let rounds = 1 + (frozen.end - frozen.start).as_millis() / PROCESSING.as_millis();
    assert!(tally.spoe_errors.len() as u128 <= rounds * CLIENTS as u128, "{tally:?}");
    Ok(())
}

const SERVERS: [&str; 2] = ["agent1", "agent2"];

/// Two agents behind a HAProxy that is under load.
struct Pair {
    traffic: Traffic,
    haproxy: HaproxyProcess,
    /// Each agent has its share of the requests.
    balanced: bool,
    agents: [AgentProcess; 2],
    addresses: [String; 2],
    _ports: [ReservedPort; 2],
    _backend: Backend,
}

impl Pair {
    async fn start(bed: &Bed, spoe: Spoe, options: &[&str], agents_lines: &str) -> Outcome<Self> {
        let backend = Backend::start().await?;
        let ports = [ReservedPort::new()?, ReservedPort::new()?];
        let addresses = [0, 1].map(|at| ports[at].addr().to_string());
        let agents =
            [bed.test_agent(&addresses[0], options).await?, bed.test_agent(&addresses[1], options).await?];
        let second = format!("server {} {} check inter 200ms fall 2 rise 1", SERVERS[1], addresses[1]);
        let config = config(&spoe).agents(agents_lines).agents(&second);
        let haproxy = bed.haproxy(&config.agent(&addresses[0]).backend(backend.addr())).await?;
        for server in SERVERS {
            haproxy.wait_server_status("agents", server, "UP", SOON).await?;
        }
        let traffic = Traffic::start(CLIENTS, haproxy.http());
        // Up to 3.0 HAProxy balances connections, and the last agent to get one may have nothing to do.
        let balanced = bed.version().speaks_mode_spop();
        let mut pair =
            Self { traffic, haproxy, balanced, agents, addresses, _ports: ports, _backend: backend };
        pair.wait_for_answers(0).await?;
        pair.wait_for_answers(1).await?;
        Ok(pair)
    }

    /// Waits until an agent has answered its share.
    async fn wait_for_answers(&mut self, index: usize) -> Outcome {
        if self.balanced {
            self.traffic.wait_for_agent(self.agents[index].pid(), MORE).await
        } else {
            self.traffic.wait_for_more(MORE).await
        }
    }

    /// Which agent has answered more.
    fn busier(&self) -> usize {
        let [first, second] = [0, 1].map(|index| self.traffic.answers_of(self.agents[index].pid()));
        usize::from(second > first)
    }
}

fn spoe() -> Spoe {
    let lines = ["args path=path", "event on-frontend-http-request"];
    Spoe::new("load").processing(format!("{}ms", PROCESSING.as_millis())).message("ask", &lines)
}

fn config(spoe: &Spoe) -> Config {
    let show = ["path", "agent"].map(|name| {
        let var = format!("var(txn.load.{name})");
        format!("http-after-response set-header x-{name} %[{var}] if {{ {var} -m found }}")
    });
    Config::http(spoe)
        // A worker that is about to go tells its clients before it closes their connections.
        .frontend("option idle-close-on-response")
        .frontend(&show.join("\n"))
        // An agent that cannot be connected to is not asked again before the other one.
        .agents("option redispatch 1")
}

/// Asks an agent to stop, waits until it has, and checks that it has answered what it had.
async fn stop(agent: &mut AgentProcess) -> Outcome<Window> {
    let mut stopped = Window::now();
    let status = agent.terminate(SOON).await?;
    stopped.close();
    assert!(status.success(), "{status}");
    agent.wait_for_log("its last line", SOON, |line| line.contains(" stopped ")).await?;
    let lines = agent.logs().all();
    let lines = above_debug(&lines);
    let [_, last] = lines[..] else { return Err(format!("above debug: {lines:#?}").into()) };
    assert!(last.contains("stopped unanswered=0"), "{last}");
    Ok(stopped)
}

/// When something went on that may cost requests.
#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    end: Instant,
}

impl Window {
    fn now() -> Self {
        let now = Instant::now();
        Self { start: now, end: now }
    }

    fn close(&mut self) {
        self.end = Instant::now();
    }
}

/// Checks that nobody has noticed anything of agents that stopped. Up to 3.0 HAProxy sends the next requests on a
/// connection while the agent ends it, whatever the health checks say, and fails them at once.
#[track_caller]
fn expect_lossless(bed: &Bed, tally: &Tally, stops: &[Window]) {
    if bed.version().speaks_mode_spop() {
        return tally.expect_no_error();
    }
    expect_losses_within(tally, stops);
    assert!(tally.spoe_errors.iter().all(|failed| failed.why == "256"), "{tally:?}");
}

/// Checks that no client was left without an answer, and that requests without the agent's were under way at these
/// times.
#[track_caller]
fn expect_losses_within(tally: &Tally, windows: &[Window]) {
    assert!(tally.http_errors.is_empty(), "{tally:?}");
    for failed in &tally.spoe_errors {
        let overlaps =
            |window: &Window| failed.started <= window.end && failed.started + failed.took >= window.start;
        assert!(windows.iter().any(overlaps), "{failed:?} of {tally:?}");
        assert!(failed.took <= PROCESSING + SLACK, "{failed:?} of {tally:?}");
    }
}
