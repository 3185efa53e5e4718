//! The blocklist agent, with the HAProxy configuration that lies beside it.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use testbed::{AgentProcess, Backend, Config, Error, HaproxyProcess, build_example, http};

use crate::{Options, example_file, newest_haproxy, stay_up};

const DEADLINE: Duration = Duration::from_secs(20);

/// The last byte of 127.0.0.x, and what it asks for.
const REQUESTS: [(u8, &str); 7] =
    [(1, "/"), (1, "/.env"), (2, "/"), (3, "/"), (4, "/"), (9, "/"), (9, "/robots.txt")];

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let haproxy = newest_haproxy()?;
    eprintln!("building the agent ...");
    let io = |source| Error::Io { doing: "copy the list".into(), source };
    let dir = tempfile::tempdir().map_err(io)?;
    let list = dir.path().join("blocklist.txt");
    std::fs::copy(example_file("blocklist", "blocklist.txt"), &list).map_err(io)?;
    let mut command = Command::new(build_example("blocklist")?);
    command.args(["--listen", "127.0.0.1:0", "--file"]).arg(&list);
    let agent = AgentProcess::start(command, DEADLINE).await?;
    let (site, canary) = (Backend::start().await?, Backend::start().await?);
    let config = config(&canary)?.agent(agent.address()?).backend(site.addr());
    let process = HaproxyProcess::start(&haproxy, &config).await?;
    process.wait_server_status("blocklist", "agent", "UP", DEADLINE).await?;
    let http = process.http();

    println!("HAProxy {} at {http}, agent blocklist at {}\n", haproxy.version, agent.address()?);
    println!("{:<12} {:<13} answer", "client", "asks for");
    for (last, path) in REQUESTS {
        println!("{:<12} {path:<13} {}", format!("127.0.0.{last}"), ask(&process, last, path).await?);
    }
    println!("\nappended to the list: 127.0.0.1 # changed while you look");
    let more = std::fs::read_to_string(&list).map_err(io)? + "127.0.0.1 # changed while you look\n";
    let mark = agent.logs().mark();
    std::fs::write(&list, more).map_err(io)?;
    let loaded = |line: &str| line.contains("list loaded");
    agent.logs().wait_for_since(mark, "the new list", DEADLINE, loaded).await?;
    let mut answer = ask(&process, 1, "/").await?;
    // The log's line comes a moment before the exchange.
    for _ in 0..100 {
        if answer.starts_with("403") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        answer = ask(&process, 1, "/").await?;
    }
    println!("{:<12} {:<13} {answer}", "127.0.0.1", "/");

    println!("\ntry: curl -i --interface 127.0.0.42 http://{http}/, and edit {}", list.display());
    stay_up(options).await
}

/// The example's own files, with the addresses of this run.
fn config(canary: &Backend) -> Result<Config, Error> {
    let file = |name| example_file("blocklist", name);
    Ok(Config::from_files(file("haproxy.cfg"), file("spoe.conf"))?
        .replace("127.0.0.1:8080", "{http}")
        .replace("127.0.0.1:8000", "{backend}")
        .replace("127.0.0.1:8001", canary.addr().to_string())
        .replace("127.0.0.1:12345", "{agent}")
        .replace("examples/blocklist/spoe.conf", "{spoe}")
        .replace("mode spop", "mode {mode}"))
}

async fn ask(haproxy: &HaproxyProcess, last: u8, path: &str) -> Result<String, Error> {
    let client = IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
    let response =
        http::Request::new("GET", path).source(client).deadline(DEADLINE).send(haproxy.http()).await?;
    let note = response.header("x-client-note").map(|note| format!(", x-client-note: {note}"));
    Ok(format!("{} {:?}{}", response.status, response.text().trim(), note.unwrap_or_default()))
}
