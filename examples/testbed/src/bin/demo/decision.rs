//! The decision agent, with the HAProxy configuration that lies beside it.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use testbed::{AgentProcess, Backend, Config, Error, HaproxyProcess, build_example, http};

use crate::{Options, example_file, newest_haproxy, stay_up};

const DEADLINE: Duration = Duration::from_secs(20);

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36";
const GPTBOT: &str = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2)";

/// Who asks, for what, as whom, and with which Sec-Fetch-Mode.
const CLIENTS: [(&str, &str, &str, Option<&str>); 6] = [
    ("a browser", "/", CHROME, Some("navigate")),
    ("a crawler", "/", GPTBOT, None),
    ("a crawler", "/robots.txt", GPTBOT, None),
    ("curl", "/", "curl/8.16.0", None),
    ("curl that says it is Chrome", "/", CHROME, None),
    ("a browser that wants to log in", "/login", CHROME, Some("navigate")),
];

pub(crate) async fn run(options: &Options) -> Result<(), Error> {
    let haproxy = newest_haproxy()?;
    let agent = start_agent().await?;
    let backend = Backend::start().await?;
    let output = address(&agent, "output server at http://").await?;
    let config = config(output)?.agent(agent.address()?).backend(backend.addr());
    let haproxy_process = HaproxyProcess::start(&haproxy, &config).await?;
    haproxy_process.wait_server_status("decision-agent", "agent", "UP", DEADLINE).await?;
    let http = haproxy_process.http();

    println!("HAProxy {} at {http}, agent decision at {}", haproxy.version, agent.address()?);
    println!(
        "The agent is told that all came over TLS, where browsers send Sec-Fetch-Mode. /login is challenged.\n"
    );
    println!("{:<31} {:<12} {:<10} {:<16} served", "client", "asks for", "decision", "by rule");
    for (client, path, user_agent, mode) in CLIENTS {
        let mut request = http::Request::new("GET", path).header("User-Agent", user_agent).deadline(DEADLINE);
        if let Some(mode) = mode {
            request = request.header("Sec-Fetch-Mode", mode);
        }
        let mark = agent.logs().mark();
        let response = request.send(http).await?;
        let decided = |line: &str| line.contains(": decided ");
        let line = agent.logs().wait_for_since(mark, "the decision", DEADLINE, decided).await?;
        let word =
            |key: &str| line.split(key).nth(1).and_then(|rest| rest.split(['"', ' ']).next()).unwrap_or("?");
        let (outcome, rule) = (word("outcome="), word("rule=\""));
        println!("{client:<31} {path:<12} {outcome:<10} {rule:<16} {}", served(&response));
    }

    let metrics = address(&agent, "metrics at http://").await?;
    println!(
        "\ntry: curl -i -A GPTBot http://{http}/, a browser at http://{http}/login (it solves the challenge)"
    );
    println!("     curl http://{metrics}/metrics");
    stay_up(options).await
}

/// With its own rules, and a path that is challenged.
async fn start_agent() -> Result<AgentProcess, Error> {
    eprintln!("building the agent ...");
    let mut command = Command::new(build_example("decision")?);
    let rules =
        std::fs::read_to_string(example_file("decision", "rules.toml")).map_err(io("read the rules"))?;
    let file = tempfile::NamedTempFile::new().map_err(io("create a file"))?;
    let rules = rules.replace("exact = []", "exact = [\"/login\"]");
    std::fs::write(&file, rules).map_err(io("write the rules"))?;
    command.args(["-d", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
    command.arg("--rules").arg(file.path());
    // It has read the file when it listens, and goes on with what it has when the file is gone.
    AgentProcess::start(command, DEADLINE).await
}

/// The example's own files, with the addresses of this run.
fn config(output: SocketAddr) -> Result<Config, Error> {
    let file = |name| example_file("decision", name);
    Ok(Config::from_files(file("haproxy.cfg"), file("spoe.conf"))?
        .replace("127.0.0.1:8080", "{http}")
        .replace("127.0.0.1:8000", "{backend}")
        .replace("127.0.0.1:42068", "{agent}")
        .replace("127.0.0.1:42069", output.to_string())
        .replace("examples/decision/spoe.conf", "{spoe}")
        .replace("ssl=ssl_fc", "ssl=bool(true)")
        .replace("mode spop", "mode {mode}"))
}

/// An address in the agent's log.
async fn address(agent: &AgentProcess, after: &str) -> Result<SocketAddr, Error> {
    let line = agent.wait_for_log("its addresses", DEADLINE, |line| line.contains(after)).await?;
    let text = line.split(after).nth(1).unwrap_or_default().trim_end_matches("/metrics");
    text.parse().map_err(|_| Error::Malformed(format!("no address in the agent's line {line:?}")))
}

/// The beginning of what there is to read.
fn served(response: &http::Response) -> String {
    let text = response.text();
    let title = text.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let text = title.map_or(text.trim(), |(title, _)| title);
    format!("{} {text:?}, {} bytes", response.status, response.body.len())
}

fn io(doing: &str) -> impl FnOnce(std::io::Error) -> Error {
    let doing = doing.to_owned();
    |source| Error::Io { doing, source }
}
