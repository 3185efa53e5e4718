//! The random IP-reputation agent, with the HAProxy configuration that lies beside it.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use testbed::{AgentProcess, Backend, Config, Error, HaproxyProcess, build_example, http};

use crate::{Options, example_file, newest_haproxy, stay_up};

const DEADLINE: Duration = Duration::from_secs(20);
const CLIENTS: std::ops::RangeInclusive<u8> = 1..=12;

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let haproxy = newest_haproxy()?;
    eprintln!("building the agent ...");
    let mut command = Command::new(build_example("ip-reputation")?);
    // The seed makes the same table every time; the log has the scores of those that HAProxy rejects.
    command.args(["-d", "--listen", "127.0.0.1:0", "--seed", "2"]);
    let agent = AgentProcess::start(command, DEADLINE).await?;
    let backend = Backend::start().await?;
    let config = config()?.agent(agent.address()?).backend(backend.addr());
    let haproxy_process = HaproxyProcess::start(&haproxy, &config).await?;
    haproxy_process.wait_server_status("ip-reputation", "agent", "UP", DEADLINE).await?;

    println!(
        "HAProxy {} at {}, agent ip-reputation at {}",
        haproxy.version,
        haproxy_process.http(),
        agent.address()?
    );
    println!("rule: tcp-request content reject if {{ var(sess.iprep.ip_score) -m int lt 20 }}\n");
    println!("{:<14} {:>5}  HAProxy", "client", "score");
    for last in CLIENTS {
        let client = Ipv4Addr::new(127, 0, 0, last);
        let verdict = ask(&haproxy_process, client).await?;
        println!("{client:<14} {:>5}  {verdict}", score(&agent, client).await?);
    }

    println!("\ntry: curl -i --interface 127.0.0.42 http://{}/", haproxy_process.http());
    stay_up(options).await
}

/// The example's own files, with the addresses of this run.
fn config() -> Result<Config, Error> {
    let file = |name| example_file("ip-reputation", name);
    Ok(Config::from_files(file("haproxy.cfg"), file("spoe.conf"))?
        .replace("127.0.0.1:8080", "{http}")
        .replace("127.0.0.1:8000", "{backend}")
        .replace("127.0.0.1:12345", "{agent}")
        .replace("examples/ip-reputation/spoe.conf", "{spoe}")
        .replace("mode spop", "mode {mode}"))
}

/// What HAProxy did with a request of `client`.
async fn ask(haproxy: &HaproxyProcess, client: Ipv4Addr) -> Result<String, Error> {
    let request = http::Request::new("GET", "/").source(IpAddr::from(client)).deadline(DEADLINE);
    match request.send(haproxy.http()).await {
        Ok(response) => Ok(match response.header("x-spoe-error") {
            None => format!("let in, answered {}", response.status),
            Some(code) => format!("let in, answered {}, SPOE error {code}", response.status),
        }),
        Err(error) if error.is_closed() => Ok("rejected, connection closed".into()),
        Err(error) => Err(error),
    }
}

/// The score that the agent logged.
async fn score(agent: &AgentProcess, client: Ipv4Addr) -> Result<String, Error> {
    let ip = format!("ip={client} ");
    let line = agent.wait_for_log("the score", DEADLINE, |line| line.contains(&ip)).await?;
    Ok(line.split("score=").nth(1).unwrap_or("?").trim().into())
}
