//! The example `ip-reputation`, as the process that a user runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::{AgentProcess, Backend, Config, HaproxyProcess, ReservedPort, Spoe, http};

use crate::bed::{Bed, Outcome, SOON, expect, expect_no_failed_event};
use crate::log::above_debug;

const NAMED: &str = "args ip=src";
const SHOW_SCORE: &str = "http-after-response set-header x-score %[var(sess.iprep.ip_score)] \
                          if { var(sess.iprep.ip_score) -m found }";
const REJECT_LOW_SCORES: &str = "tcp-request content reject if { var(sess.iprep.ip_score) -m int lt 20 }";
/// The seed makes scores on both sides of the limit to these clients.
const SEED: [&str; 2] = ["--seed", "1"];
const CLIENTS: std::ops::RangeInclusive<u8> = 1..=20;

pub(crate) async fn ip_reputation_tcp(bed: &Bed) -> Outcome {
    let backend = Backend::start().await?;
    let agent = bed.ip_reputation("127.0.0.1:0", &SEED).await?;
    let haproxy = start(bed, NAMED, REJECT_LOW_SCORES, &agent, &backend).await?;
    let mut let_in = 0;
    for client in clients() {
        let answer = ask(&haproxy, client).await?;
        let score = logged_score(&agent, client.into()).await?;
        assert!(score <= 100, "{score}");
        assert_eq!(answer, (score >= 20).then_some(score), "{client}");
        let_in += usize::from(answer.is_some());
    }
    assert!((1..CLIENTS.count()).contains(&let_in), "the rule was put to the test: {let_in} let in");
    assert_eq!(backend.requests(), let_in);
    finish(haproxy, agent).await
}

pub(crate) async fn ip_reputation_seed(bed: &Bed) -> Outcome {
    let backend = Backend::start().await?;
    let mut runs = Vec::new();
    for seed in ["1", "1", "2"] {
        let agent = bed.ip_reputation("127.0.0.1:0", &["--seed", seed]).await?;
        let haproxy = start(bed, NAMED, "", &agent, &backend).await?;
        let mut scores = Vec::new();
        // Each client twice, over two connections.
        for client in clients().chain(clients()) {
            scores.push(ask(&haproxy, client).await?.ok_or("a score was awaited")?);
        }
        expect_no_failed_event(&haproxy);
        let (first, second) = scores.split_at(CLIENTS.count());
        assert_eq!(first, second, "the same client has the same score");
        runs.push(first.to_vec());
    }
    assert_eq!(runs[0], runs[1], "the same seed makes the same scores");
    assert_ne!(runs[0], runs[2], "another seed makes others");
    Ok(())
}

pub(crate) async fn ip_reputation_unnamed(bed: &Bed) -> Outcome {
    let backend = Backend::start().await?;
    let agent = bed.ip_reputation("127.0.0.1:0", &SEED).await?;
    // As in the configuration of HAProxy's contrib agent.
    let haproxy = start(bed, "args src", "", &agent, &backend).await?;
    for client in clients() {
        let score = ask(&haproxy, client).await?;
        assert_eq!(score, Some(logged_score(&agent, client.into()).await?), "{client}");
    }
    finish(haproxy, agent).await
}

pub(crate) async fn ip_reputation_ipv6(bed: &Bed) -> Outcome {
    let backend = Backend::start().await?;
    let agent = bed.ip_reputation("127.0.0.1:0", &SEED).await?;
    // A machine may have no IPv6 at all, but HAProxy believes a proxy before it about any address.
    let loopback = ReservedPort::on(Ipv6Addr::LOCALHOST);
    let mut binds = "bind unix@{dir}/proxied.sock accept-proxy".to_owned();
    match &loopback {
        Ok(port) => binds += &format!("\nbind {}", port.addr()),
        Err(error) => eprintln!("no client from [::1]: {error}"),
    }
    let haproxy = start(bed, NAMED, &binds, &agent, &backend).await?;
    let mut scores = Vec::new();
    for client in 1..=10 {
        let client = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, client);
        let socket = haproxy.dir().join("proxied.sock");
        let mut connection = http::Connection::open(socket, None, SOON).await?;
        let bytes =
            format!("PROXY TCP6 {client} 2001:db8::ffff 4321 80\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
        let response = connection.send_bytes(bytes.as_bytes(), SOON).await?;
        let score = logged_score(&agent, client.into()).await?;
        expect(&response, &[("x-score", Some(&score.to_string()))]);
        scores.push(score);
    }
    scores.dedup();
    assert!(scores.len() > 1, "another address, another score: {scores:?}");
    if let Ok(port) = &loopback {
        let response = http::get(port.addr(), "/", &[]).await?;
        let score = logged_score(&agent, Ipv6Addr::LOCALHOST.into()).await?;
        expect(&response, &[("x-score", Some(&score.to_string()))]);
    }
    finish(haproxy, agent).await
}

pub(crate) async fn ip_reputation_unix(bed: &Bed) -> Outcome {
    let backend = Backend::start().await?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("agent.sock");
    let agent = bed.ip_reputation(&format!("unix:{}", socket.display()), &SEED).await?;
    assert_eq!(agent.address()?, format!("unix@{}", socket.display()));
    let haproxy = start(bed, NAMED, "", &agent, &backend).await?;
    haproxy.wait_server_status("agents", "agent1", "UP", SOON).await?;
    for client in clients() {
        let score = ask(&haproxy, client).await?;
        assert_eq!(score, Some(logged_score(&agent, client.into()).await?), "{client}");
    }
    assert!(socket.exists());
    finish(haproxy, agent).await?;
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "nothing is left behind");
    Ok(())
}

pub(crate) async fn unix_client(bed: &Bed) -> Outcome {
    let backend = Backend::start().await?;
    let agent = bed.ip_reputation("127.0.0.1:0", &SEED).await?;
    let lines = format!("bind unix@{{dir}}/http.sock\n{REJECT_LOW_SCORES}");
    let haproxy = start(bed, NAMED, &lines, &agent, &backend).await?;
    let response = http::get(haproxy.dir().join("http.sock"), "/", &[]).await?;
    expect(&response, &[("x-score", None)]);
    agent.wait_for_log("the client's message", SOON, |line| line.ends_with("no address to score")).await?;
    finish(haproxy, agent).await
}

/// The two files beside the example, with the addresses of this run.
pub(crate) async fn own_config(bed: &Bed) -> Outcome {
    expect_valid_as_it_is(bed)?;
    let backend = Backend::start().await?;
    let agent = bed.ip_reputation("127.0.0.1:0", &SEED).await?;
    let config = Config::from_files(example("haproxy.cfg"), example("spoe.conf"))?
        .replace("127.0.0.1:8080", "{http}")
        .replace("127.0.0.1:8000", "{backend}")
        .replace("127.0.0.1:12345", "{agent}")
        .replace("examples/ip-reputation/spoe.conf", "{spoe}")
        .replace("mode spop", "mode {mode}")
        // Short as it should be, but a machine that runs many tests at a time may take longer.
        .replace("timeout processing 100ms", "timeout processing 10s")
        .replace("check inter 2s", "check inter 200ms")
        .agent(agent.address()?)
        .backend(backend.addr());
    let haproxy = bed.haproxy(&config).await?;
    expect_no_warning(haproxy.check_output());
    haproxy.wait_server_status("ip-reputation", "agent", "UP", SOON).await?;
    let mut let_in = 0;
    for client in clients() {
        let score = match http::Request::new("GET", "/").source(client).send(haproxy.http()).await {
            Err(error) if error.is_closed() => None,
            response => {
                let response = response?;
                expect(&response, &[]);
                Some(response.header("x-ip-score").ok_or("no score")?.parse()?)
            }
        };
        let logged: u32 = logged_score(&agent, client.into()).await?;
        assert_eq!(score, (logged >= 20).then_some(logged), "{client}");
        let_in += usize::from(score.is_some());
    }
    assert!((1..CLIENTS.count()).contains(&let_in), "the rule was put to the test: {let_in} let in");
    finish(haproxy, agent).await
}

/// `haproxy -c` on the very file, from the top of the repository, where its comment says to run it.
fn expect_valid_as_it_is(bed: &Bed) -> Outcome {
    let text = std::fs::read_to_string(example("haproxy.cfg"))?;
    assert!(text.contains("\n    mode spop\n"), "the mode that 3.1 has brought");
    let folder = tempfile::tempdir()?;
    let mut file = example("haproxy.cfg");
    if !bed.version().speaks_mode_spop() {
        file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, text.replace("mode spop", "mode tcp"))?;
    }
    let mut check = Command::new(&bed.program().path);
    let output = check.arg("-c").arg("-f").arg(file).current_dir(example("../..")).output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{text}");
    expect_no_warning(&text);
    Ok(())
}

#[track_caller]
fn expect_no_warning(output: &str) {
    let is_fine = |line: &&str| line.is_empty() || *line == "Configuration file is valid";
    assert_eq!(output.lines().filter(|line| !is_fine(line)).collect::<Vec<_>>(), [""; 0]);
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ip-reputation").join(file)
}

fn clients() -> impl Iterator<Item = Ipv4Addr> {
    CLIENTS.map(|last| Ipv4Addr::new(127, 0, 0, last))
}

pub(crate) fn config(args: &str, frontend: &str) -> Config {
    let spoe = Spoe::new("iprep").message("check-client-ip", &[args, "event on-client-session"]);
    Config::http(&spoe).frontend(SHOW_SCORE).frontend(frontend)
}

async fn start(
    bed: &Bed,
    args: &str,
    frontend: &str,
    agent: &AgentProcess,
    backend: &Backend,
) -> Outcome<HaproxyProcess> {
    bed.haproxy(&config(args, frontend).agent(agent.address()?).backend(backend.addr())).await
}

/// The score that HAProxy has got for a client; `None` if it was rejected.
async fn ask(haproxy: &HaproxyProcess, client: Ipv4Addr) -> Outcome<Option<u32>> {
    match http::Request::new("GET", "/").source(client).deadline(SOON).send(haproxy.http()).await {
        Ok(response) => {
            expect(&response, &[]);
            Ok(Some(response.header("x-score").ok_or("no score")?.parse()?))
        }
        Err(error) if error.is_closed() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The score that the agent says it has given.
async fn logged_score(agent: &AgentProcess, client: IpAddr) -> Outcome<u32> {
    let scored = format!(": scored ip={client} score=");
    let line = agent.wait_for_log("the score", SOON, |line| line.contains(&scored)).await?;
    Ok(line.split_once(&scored).ok_or("no score")?.1.trim().parse()?)
}

/// Stops both: nothing has failed, and the agent's log has nothing but its first and its last line above debug.
pub(crate) async fn finish(haproxy: HaproxyProcess, mut agent: AgentProcess) -> Outcome {
    // The agent first: it waits for HAProxy to notice.
    let status = agent.terminate(SOON).await?;
    assert!(status.success(), "{status}");
    expect_no_failed_event(&haproxy);
    drop(haproxy);
    expect_quiet_log(&agent).await
}

/// Checks the log of an agent that has ended.
pub(crate) async fn expect_quiet_log(agent: &AgentProcess) -> Outcome {
    agent.wait_for_log("its last line", SOON, |line| line.contains(" stopped ")).await?;
    let lines = agent.logs().all();
    let lines = above_debug(&lines);
    let [first, last] = lines[..] else { return Err(format!("above debug: {lines:#?}").into()) };
    assert!(first.contains("INFO ip_reputation: listening on "), "{first}");
    assert!(last.contains("INFO ip_reputation: stopped unanswered=0"), "{last}");
    Ok(())
}
