//! The agent on threads and the protocol crate alone, with the HAProxy configuration that lies beside it.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use testbed::{AgentProcess, Backend, Config, Error, HaproxyProcess, build_example, http};

use crate::{Options, example_file, newest_haproxy, stay_up};

const DEADLINE: Duration = Duration::from_secs(20);
const CLIENTS: [u8; 6] = [1, 10, 19, 20, 42, 100];

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let haproxy = newest_haproxy()?;
    eprintln!("building the agent ...");
    let mut command = Command::new(build_example("blocking")?);
    command.arg("127.0.0.1:0");
    let agent = AgentProcess::start(command, DEADLINE).await?;
    let backend = Backend::start().await?;
    let file = |name| example_file("blocking", name);
    let config = Config::from_files(file("haproxy.cfg"), file("spoe.conf"))?
        .replace("127.0.0.1:8080", "{http}")
        .replace("127.0.0.1:8000", "{backend}")
        .replace("127.0.0.1:12345", "{agent}")
        .replace("examples/blocking/spoe.conf", "{spoe}")
        .replace("mode spop", "mode {mode}")
        .agent(agent.address()?)
        .backend(backend.addr());
    let process = HaproxyProcess::start(&haproxy, &config).await?;
    process.wait_server_status("blocking", "agent", "UP", DEADLINE).await?;

    println!("HAProxy {} at {}, agent blocking at {}", haproxy.version, process.http(), agent.address()?);
    println!("rule: tcp-request content reject if {{ var(sess.iprep.ip_score) -m int lt 20 }}\n");
    println!("{:<14} HAProxy", "client");
    for last in CLIENTS {
        let client = Ipv4Addr::new(127, 0, 0, last);
        println!("{client:<14} {}", ask(&process, client).await?);
    }

    println!("\ntry: curl -i --interface 127.0.0.42 http://{}/", process.http());
    stay_up(options).await
}

/// What HAProxy did with a request of `client`.
async fn ask(haproxy: &HaproxyProcess, client: Ipv4Addr) -> Result<String, Error> {
    let request = http::Request::new("GET", "/").source(IpAddr::from(client)).deadline(DEADLINE);
    match request.send(haproxy.http()).await {
        Ok(response) => {
            let score = response.header("x-ip-score").unwrap_or("none");
            Ok(format!("let in with score {score}, answered {}", response.status))
        }
        Err(error) if error.is_closed() => Ok("rejected, connection closed".into()),
        Err(error) => Err(error),
    }
}
