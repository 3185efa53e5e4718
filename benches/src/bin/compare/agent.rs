//! The agents as processes, and the load on them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use benches::cli::Error;
use benches::profile::VARIABLE;
use serde_json::Value;

/// How to start an agent.
#[derive(Clone, Copy)]
pub(crate) struct Spec {
    /// Its name among the results.
    pub(crate) key: &'static str,
    /// Its name for people.
    pub(crate) title: &'static str,
    pub(crate) program: &'static str,
    pub(crate) args: &'static [&'static str],
}

pub(crate) const LIMIT: Spec = Spec {
    key: "limit",
    title: "limit: epoll loop, canned ACK, no parsing",
    program: "limit-agent",
    args: &[],
};

pub(crate) const OURS: Spec = Spec { key: "ours", title: "spop-tokio", program: "our-agent", args: &[] };

pub(crate) const FEED_FLUSH: Spec = Spec {
    key: "feed-flush",
    title: "spop 0.13.1, feed and one flush per burst",
    program: "peer-agent",
    args: &["--mode", "feed-flush"],
};

pub(crate) const README: Spec = Spec {
    key: "readme",
    title: "spop 0.13.1, its README's loop",
    program: "peer-agent",
    args: &["--mode", "readme"],
};

/// An agent that runs; dropped, it is killed.
pub(crate) struct Agent {
    child: Child,
    pub(crate) address: String,
    title: &'static str,
}

/// What [`Agent::load`] puts on an agent, in closed loop.
pub(crate) struct Load {
    pub(crate) profile: &'static str,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}x{}", self.profile, self.connections, self.depth)
    }
}

/// What came of it.
pub(crate) struct Answered {
    pub(crate) per_cpu_second: f64,
    pub(crate) per_second: f64,
    /// How many cores the agent and the load generator took.
    pub(crate) agent_cores: f64,
    pub(crate) client_cores: f64,
}

impl Answered {
    /// Seconds of CPU time that a request took the load generator.
    pub(crate) fn client_cost(&self) -> f64 {
        self.client_cores / self.per_second
    }
}

impl Agent {
    /// Starts the agent, with more arguments than its own, and learns where it listens.
    pub(crate) fn start(programs: &Path, spec: &Spec, more: &[&str]) -> Result<Self, Error> {
        let path = programs.join(spec.program);
        let child = Command::new(&path).args(spec.args).args(more).stdout(Stdio::piped()).spawn();
        let child = child.map_err(|error| format!("{}: {error}", path.display()))?;
        let mut agent = Self { child, address: String::new(), title: spec.title };
        let mut line = String::new();
        if let Some(stdout) = agent.child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().strip_prefix("listening on ");
        agent.address =
            address.ok_or_else(|| format!("{} does not say where it listens", path.display()))?.into();
        Ok(agent)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Runs spop-load.
    pub(crate) fn load(&self, programs: &Path, load: &Load, seconds: f64) -> Result<Answered, Error> {
        let output = Command::new(programs.join("spop-load"))
            .args(["--json", "--quiet", "--warmup", "0.4", "--expect-action", VARIABLE.1])
            .args(["--address", &self.address, "--pid", &self.pid().to_string()])
            .args(["--seconds", &seconds.to_string(), "--profile", load.profile])
            .args(["--connections", &load.connections.to_string(), "--depth", &load.depth.to_string()])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("{}: spop-load failed on {load}", self.title).into());
        }
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let figure = |pointer: &str| {
            let figure = report.pointer(pointer).and_then(Value::as_f64);
            figure.ok_or_else(|| Error::from(format!("{}: spop-load saw no {pointer} on {load}", self.title)))
        };
        let seconds = figure("/seconds")?;
        Ok(Answered {
            per_cpu_second: figure("/target/acks_per_cpu_second")?,
            per_second: figure("/acks_per_second")?,
            agent_cores: figure("/target/cpu_seconds")? / seconds,
            client_cores: figure("/own_cpu_seconds")? / seconds,
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
