//! What the tests share.

use std::process::Command;
use std::time::{Duration, Instant};

use testbed::{AgentProcess, Backend, Config, Error, Haproxy, HaproxyProcess};

pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) type BoxResult<T = ()> = Result<T, spop_tokio::BoxError>;

/// The agent, with `arguments`.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blocklist"));
    command.args(["--listen", "127.0.0.1:0"]).args(arguments);
    command
}

#[allow(dead_code, reason = "not every test needs it")]
pub(crate) async fn agent(arguments: &[&str]) -> Result<AgentProcess, Error> {
    AgentProcess::start(command(arguments), SOON).await
}

/// The file of this example.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn file(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// HAProxy with the files of this example, and the addresses of this run.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) async fn haproxy(
    haproxy: &Haproxy,
    agent: &AgentProcess,
    [site, canary]: [&Backend; 2],
) -> BoxResult<HaproxyProcess> {
    let config = Config::from_files(file("haproxy.cfg"), file("spoe.conf"))?
        .replace("127.0.0.1:8080", "{http}")
        .replace("127.0.0.1:8000", "{backend}")
        .replace("127.0.0.1:8001", canary.addr().to_string())
        .replace("127.0.0.1:12345", "{agent}")
        .replace("examples/blocklist/spoe.conf", "{spoe}")
        .replace("mode spop", "mode {mode}")
        // Short as it should be, but a machine that runs many tests at a time may take longer.
        .replace("timeout processing 100ms", "timeout processing 10s")
        .replace("check inter 2s", "check inter 200ms")
        .agent(agent.address()?)
        .backend(site.addr());
    let process = HaproxyProcess::start(haproxy, &config).await?;
    process.wait_server_status("blocklist", "agent", "UP", SOON).await?;
    Ok(process)
}

/// Looks every few milliseconds, as there is no event to await: how long it took.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) async fn until(
    what: &str,
    mut is_so: impl AsyncFnMut() -> BoxResult<bool>,
) -> BoxResult<Duration> {
    let start = Instant::now();
    while !is_so().await? {
        assert!(start.elapsed() < SOON, "still waiting for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(start.elapsed())
}
