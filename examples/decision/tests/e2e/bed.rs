//! The agent behind a real HAProxy, with the configuration that lies beside the example.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::NamedTempFile;
use testbed::http::{self, Response};
use testbed::{AgentProcess, Backend, Config, Haproxy, HaproxyProcess, haproxies};

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// For whatever must happen, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Every HAProxy that the testbed has.
pub(crate) fn all_haproxies() -> Outcome<Vec<Haproxy>> {
    Ok(haproxies()?)
}

/// The newest.
pub(crate) fn haproxy() -> Outcome<Haproxy> {
    Ok(haproxies()?.into_iter().max_by_key(|haproxy| haproxy.version).ok_or("no HAProxy")?)
}

pub(crate) fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// What a client was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    Site,
    Garbage,
    Challenge,
    /// Without being let in: 4xx.
    Refused,
    Status(u16),
}

impl Served {
    pub(crate) fn of(response: &Response) -> Self {
        let text = response.text();
        let kept_out = response.header("x-robots-tag") == Some("noindex")
            && response.header("cache-control") == Some("no-store");
        match response.status {
            200 if response.header("x-echo-host").is_some() => Self::Site,
            200 if kept_out && text.contains("<h1>") => Self::Garbage,
            403 if kept_out && text.contains("decision-pass") => Self::Challenge,
            400..500 => Self::Refused,
            other => Self::Status(other),
        }
    }
}

/// The agent as a process.
pub(crate) struct Agent {
    pub(crate) process: AgentProcess,
    pub(crate) output: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl Agent {
    pub(crate) async fn start(options: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_decision"));
        command.args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
        command.args(options);
        let process = AgentProcess::start(command, SOON).await?;
        let lines = process.logs().all();
        let address = |before: &str| {
            let line = lines.iter().find_map(|line| line.split_once(before));
            let address = line.ok_or(format!("no {before}"))?.1.trim_end_matches("/metrics");
            Outcome::Ok(address.parse()?)
        };
        let (output, metrics) = (address("output server at http://")?, address("metrics at http://")?);
        Ok(Self { process, output, metrics })
    }

    pub(crate) async fn metrics(&self) -> Outcome<String> {
        Ok(http::get(self.metrics, "/metrics", &[]).await?.text())
    }

    /// The sum of a metric's values, over those of its lines that have `label`; 0 if there is none.
    pub(crate) async fn count(&self, metric: &str, label: &str) -> Outcome<u64> {
        let text = self.metrics().await?;
        let lines = text.lines().filter(|line| line.starts_with(metric) && line.contains(label));
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }
}

/// All of it.
pub(crate) struct Bed {
    pub(crate) haproxy: HaproxyProcess,
    pub(crate) agent: Agent,
    pub(crate) backend: Backend,
    pub(crate) rules: NamedTempFile,
}

/// How a bed is to differ from the example's own files.
#[derive(Clone, Copy, Default)]
pub(crate) struct Setup<'a> {
    pub(crate) options: &'a [&'a str],
    /// Lines of the built-in rules, and what replaces them.
    pub(crate) rules: &'a [(&'a str, &'a str)],
    /// Nobody is served while the agent does not answer.
    pub(crate) fail_closed: bool,
    /// Clients come over TLS.
    pub(crate) tls: bool,
    /// The message of the published guide: without `src` and `ssl`.
    pub(crate) seed_message: bool,
}

impl Bed {
    pub(crate) async fn start(haproxy: &Haproxy, setup: Setup<'_>) -> Outcome<Self> {
        Self::start_with(haproxy, setup, |config| config).await
    }

    /// With a configuration that is changed further.
    pub(crate) async fn start_with(
        haproxy: &Haproxy,
        setup: Setup<'_>,
        change: impl FnOnce(Config) -> Config,
    ) -> Outcome<Self> {
        let rules = rules(setup.rules)?;
        let path = rules.path().to_str().ok_or("a path that is no text")?;
        let agent = Agent::start(&[&["--rules", path], setup.options].concat()).await?;
        let backend = Backend::start().await?;
        let config = config(setup)?.agent(agent.process.address()?).backend(backend.addr());
        let config = change(config.replace("127.0.0.1:42069", agent.output.to_string()));
        let haproxy = HaproxyProcess::start(haproxy, &config).await?;
        haproxy.wait_server_status("decision-agent", "agent", "UP", SOON).await?;
        Ok(Self { haproxy, agent, backend, rules })
    }

    pub(crate) async fn send(&self, request: &http::Request) -> Outcome<Served> {
        Ok(Served::of(&request.send(self.haproxy.http()).await?))
    }
}

impl fmt::Display for Bed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HAProxy {}", self.haproxy.version())
    }
}

/// The built-in rules with changes, in a file.
pub(crate) fn rules(changes: &[(&str, &str)]) -> Outcome<NamedTempFile> {
    let mut text = std::fs::read_to_string(example("rules.toml"))?;
    for (from, to) in changes {
        assert!(text.contains(from), "the rules have no {from}");
        text = text.replace(from, to);
    }
    let file = NamedTempFile::new()?;
    std::fs::write(&file, text)?;
    Ok(file)
}

/// The example's own files, with the addresses of this run.
pub(crate) fn config(setup: Setup<'_>) -> Outcome<Config> {
    let mut config = Config::from_files(example("haproxy.cfg"), example("spoe.conf"))?
        .replace("127.0.0.1:8000", "{backend}")
        .replace("127.0.0.1:42068 check inter 2s", "{agent} check inter 200ms")
        .replace("examples/decision/spoe.conf", "{spoe}")
        .replace("mode spop", "mode {mode}")
        // Short as it should be, but a machine that runs many tests at a time may take longer.
        .replace("timeout processing 100ms", "timeout processing 10s");
    config = if setup.tls { behind_tls(config) } else { config.replace("127.0.0.1:8080", "{http}") };
    if setup.fail_closed {
        config = config
            .replace("use_backend site if !decided", "")
            .replace("#http-request return", "http-request return");
    }
    if setup.seed_message {
        config = config.replace(" src=src ssl=ssl_fc", "");
    }
    Ok(config)
}

/// HAProxy puts TLS around what comes in, and sends it to itself: our client has no TLS.
fn behind_tls(config: Config) -> Config {
    let pem = example("tests/e2e/localhost.pem");
    let wrap = "frontend wrap\n    mode tcp\n    bind {http}\n    default_backend wrapped\n\n\
                backend wrapped\n    mode tcp\n    server web unix@{dir}/tls.sock ssl verify none send-proxy\n\n";
    config
        .replace("frontend web\n", format!("{wrap}frontend web\n"))
        .replace("127.0.0.1:8080", format!("unix@{{dir}}/tls.sock accept-proxy ssl crt {}", pem.display()))
}
