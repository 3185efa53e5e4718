//! The agent behind real HAProxys.

use std::process::Command;
use std::time::Duration;

use testbed::{AgentProcess, Backend, Config, HaproxyProcess, Spoe, haproxies, http};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn haproxy_lets_in_who_has_a_token() -> Result<(), Box<dyn std::error::Error>> {
    let backend = Backend::start().await?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_auth"));
    command.arg("127.0.0.1:0");
    let agent = AgentProcess::start(command, SOON).await?;
    let args = "args method=method path=path src=src headers=req.hdrs";
    let spoe = Spoe::new("auth")
        .message("check-request", &[args, "event on-frontend-http-request"])
        .message("check-response", &["args status=status backend=be_name", "event on-http-response"]);
    let config = Config::http(&spoe)
        .frontend("http-request deny deny_status 401 unless { var(txn.auth.allow) -m bool }")
        .frontend(
            "http-after-response set-header x-user %[var(txn.auth.user)] if { var(txn.auth.user) -m found }",
        )
        .frontend("http-after-response set-header x-country %[var(txn.auth.country)]")
        .agent(agent.address()?)
        .backend(backend.addr());
    for version in haproxies()? {
        let haproxy = HaproxyProcess::start(&version, &config).await?;
        haproxy.wait_server_status("agents", "agent1", "UP", SOON).await?;
        let ask = async |path, headers| http::get(haproxy.http(), path, headers).await;
        assert_eq!(ask("/", &[]).await?.status, 401, "{version}");
        assert_eq!(ask("/public/a", &[]).await?.status, 200, "{version}");
        let answer = ask("/", &[("authorization", "Bearer secret")]).await?;
        let seen = (answer.status, answer.header("x-user"), answer.header("x-country"));
        assert_eq!(seen, (200, Some("ann"), Some("local")), "{version}");
    }
    Ok(())
}
