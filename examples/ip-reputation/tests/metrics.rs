//! The metrics of the process that a user runs, as Prometheus fetches them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::{BoxError, Client, health_check};
use testbed::{AgentProcess, http};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(60);

type BoxResult<T> = Result<T, BoxError>;

fn config() -> Config {
    Config::new(Engine::Mux)
}

#[tokio::test]
async fn prometheus_gets_the_metrics() -> BoxResult<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ip-reputation"));
    command.args(["-d", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
    let agent = AgentProcess::start(command, SOON).await?;
    let lines = agent.logs().all();
    let url = lines.iter().find_map(|line| line.split_once("metrics at http://")).ok_or("no address")?.1;
    let metrics: SocketAddr = url.trim_end_matches("/metrics").parse()?;

    health_check(TcpStream::connect(agent.address()?).await?, config()).await?;
    let (client, driver) = Client::connect(TcpStream::connect(agent.address()?).await?, config()).await?;
    let driver = tokio::spawn(driver.run());
    for name in ["check-client-ip", "check-client-ip", "something-else"] {
        client.notify(move |notify| notify.message(name)?.arg("ip", Ipv4Addr::LOCALHOST).map(drop)).await?;
    }
    // Its address is a text.
    client.notify(|notify| notify.message("check-client-ip")?.arg("ip", "192.0.2.1").map(drop)).await?;

    // That of the health check, once the agent has seen that it was closed.
    let ended = |line: &str| line.contains("connection ended");
    agent.wait_for_log("the end of a connection", SOON, ended).await?;
    let page = http::get(metrics, "/metrics", &[]).await?.text();
    for line in [
        "# TYPE spop_connections gauge",
        "spop_connections 1",
        "spop_connections_total 2",
        r#"spop_health_checks_total{result="passed"} 1"#,
        r#"spop_notifies_total{message="check-client-ip"} 3"#,
        r#"spop_notifies_total{message="other"} 1"#,
        "spop_requests_in_flight 0",
        "# TYPE spop_request_duration_seconds histogram",
        r#"spop_request_duration_seconds_bucket{le="+Inf"} 4"#,
        "spop_request_duration_seconds_count 4",
        r#"spop_failures_total{kind="error"} 1"#,
        r#"spop_failures_total{kind="panic"} 0"#,
    ] {
        assert!(page.lines().any(|found| found == line), "{line}, in:\n{page}");
    }
    assert_eq!(http::get(metrics, "/", &[]).await?.status, 404);
    drop(client);
    driver.await??;
    Ok(())
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_to_be() -> BoxResult<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ip-reputation"));
    command.args(["--listen", "127.0.0.1:0", "--metrics", &address]).kill_on_drop(true);
    let output = tokio::time::timeout(SOON, command.output()).await??;
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr)?;
    assert!(error.contains(&format!("--metrics {address}: ")) && error.contains("in use"), "{error}");
    Ok(())
}
