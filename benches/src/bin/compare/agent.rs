//! The agents as processes, and the load on them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use benches::cli::Error;
use benches::profile::VARIABLE;
use serde_json::Value;

use crate::results::Scenario;

/// How to start an agent.
pub(crate) struct Spec {
    /// Its name in JSON.
    pub(crate) key: &'static str,
    /// Its name for people.
    pub(crate) title: &'static str,
    program: &'static str,
    args: &'static [&'static str],
}

/// All agents that are compared; each on one thread.
pub(crate) const AGENTS: [Spec; 4] = [
    Spec {
        key: "limit",
        title: "limit: epoll loop, canned ACK, no parsing",
        program: "limit-agent",
        args: &[],
    },
    Spec { key: "ours", title: "spop-tokio", program: "our-agent", args: &["--flavor", "current_thread"] },
    Spec {
        key: "feed-flush",
        title: "spop 0.13.1, feed and one flush per burst",
        program: "peer-agent",
        args: &["--mode", "feed-flush"],
    },
    Spec {
        key: "readme",
        title: "spop 0.13.1, its README's loop",
        program: "peer-agent",
        args: &["--mode", "readme"],
    },
];

/// An agent that runs; dropped, it is killed.
pub(crate) struct Agent {
    child: Child,
    address: String,
    title: &'static str,
}

impl Agent {
    /// Starts the agent and learns where it listens.
    pub(crate) fn start(programs: &Path, spec: &Spec) -> Result<Self, Error> {
        let path = programs.join(spec.program);
        let child = Command::new(&path).args(spec.args).stdout(Stdio::piped()).spawn();
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

    /// Runs spop-load; gives ACKs per CPU second.
    pub(crate) fn load(&self, programs: &Path, scenario: &Scenario, seconds: f64) -> Result<f64, Error> {
        let output = Command::new(programs.join("spop-load"))
            .args(["--json", "--quiet", "--warmup", "0.5", "--expect-action", VARIABLE.1])
            .args(["--address", &self.address, "--pid", &self.child.id().to_string()])
            .args(["--seconds", &seconds.to_string(), "--profile", scenario.profile])
            .args([
                "--connections",
                &scenario.connections.to_string(),
                "--depth",
                &scenario.depth.to_string(),
            ])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("{}: spop-load failed on {scenario}", self.title).into());
        }
        let report: Value = serde_json::from_slice(&output.stdout)?;
        let acks = report["target"]["acks_per_cpu_second"].as_f64();
        acks.ok_or_else(|| format!("{}: no CPU time was seen on {scenario}", self.title).into())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
