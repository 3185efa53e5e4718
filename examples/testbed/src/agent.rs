//! A running agent, as a process of its own.

use std::fmt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::lines::Lines;
use crate::process::Process;
use crate::{Error, proc};

/// What an agent's line says before its address, once it accepts connections.
const LISTENING: &str = "listening on ";

/// An agent's process. Dropping it kills it, and it does not outlive this process either.
#[derive(Debug)]
pub struct AgentProcess {
    process: Process,
    output: Lines,
    ready_line: String,
}

impl AgentProcess {
    /// Starts an agent and waits for its line with `listening on ADDRESS`, on stdout or stderr.
    pub async fn start(command: Command, deadline: Duration) -> Result<Self, Error> {
        Self::start_when(command, deadline, |line| line.contains(LISTENING)).await
    }

    /// Starts an agent that has `stdin`: a socket to listen at, such as a service manager hands on.
    pub async fn start_with(
        command: Command,
        stdin: impl Into<Stdio>,
        deadline: Duration,
    ) -> Result<Self, Error> {
        Self::spawn(command, stdin.into(), deadline, |line| line.contains(LISTENING)).await
    }

    /// Starts an agent that announces itself in other words.
    pub async fn start_when(
        command: Command,
        deadline: Duration,
        ready: impl FnMut(&str) -> bool,
    ) -> Result<Self, Error> {
        Self::spawn(command, Stdio::null(), deadline, ready).await
    }

    async fn spawn(
        command: Command,
        stdin: Stdio,
        deadline: Duration,
        ready: impl FnMut(&str) -> bool,
    ) -> Result<Self, Error> {
        let program = command.get_program().display().to_string();
        let output = Lines::new();
        let process = Process::spawn(command, stdin, &output, &output)?;
        let mut agent = Self { process, output, ready_line: String::new() };
        match agent.output.wait_for(&format!("{program} to be ready"), deadline, ready).await {
            Ok(line) => agent.ready_line = line,
            Err(Error::Ended { awaited, seen, .. }) => {
                let status = agent.process.kill().ok();
                return Err(Error::Ended { awaited, status, seen });
            }
            Err(error) => return Err(error),
        }
        Ok(agent)
    }

    /// The address in the line `listening on ADDRESS`, as HAProxy writes it: `unix:/path` becomes `unix@/path`.
    /// For [`Config::agent`](crate::Config::agent).
    pub fn address(&self) -> Result<String, Error> {
        let address =
            self.ready_line.split_once(LISTENING).and_then(|(_, rest)| rest.split_whitespace().next());
        let none = || Error::Malformed(format!("no address in the agent's line {:?}", self.ready_line));
        let address = address.ok_or_else(none)?.trim_end_matches([',', ';', '.']);
        let socket = address.strip_prefix("unix:").or_else(|| address.starts_with('/').then_some(address));
        Ok(socket.map_or_else(|| address.to_owned(), |path| format!("unix@{path}")))
    }

    /// Everything that it has printed, stdout and stderr together.
    pub fn logs(&self) -> &Lines {
        &self.output
    }

    /// Waits for a line, earlier ones included: a shorthand for [`Lines::wait_for`] on [`logs`](Self::logs).
    pub async fn wait_for_log(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl FnMut(&str) -> bool,
    ) -> Result<String, Error> {
        self.output.wait_for(what, deadline, wanted).await
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends any signal.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.process.signal(signal)
    }

    /// Stops it from running, without it noticing: connections stay open, nothing is answered (SIGSTOP). None of its
    /// threads runs any more when this returns.
    pub fn freeze(&self) -> Result<(), Error> {
        self.process.stop()
    }

    /// Lets it run again (SIGCONT).
    pub fn thaw(&self) -> Result<(), Error> {
        self.signal(Signal::CONT)
    }

    /// Asks it to stop (SIGTERM) and waits until it has. The deadline should be above its own drain timeout.
    pub async fn terminate(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        self.signal(Signal::TERM)?;
        self.wait_exit(deadline).await
    }

    /// Waits until it exits by itself.
    pub async fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        let exited = self.process.wait_exit(deadline).await;
        exited.map_err(|error| match error {
            Error::Deadline { awaited, after, .. } => {
                Error::Deadline { awaited, after, seen: self.output.tail() }
            }
            other => other,
        })
    }

    /// Kills it without a chance to clean up (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) -> Result<ExitStatus, Error> {
        self.process.kill().map_err(Error::io("kill the agent"))
    }

    /// Its resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64, Error> {
        proc::resident_bytes(self.pid())
    }

    /// The CPU time it has used so far, in all threads, in steps of 10 ms.
    pub fn cpu_time(&self) -> Result<Duration, Error> {
        proc::cpu_time(self.pid())
    }
}

impl fmt::Display for AgentProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent {} ({})", self.pid(), self.ready_line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn start_terminate_and_look_inside() {
        let script = "trap 'echo draining; exit 0' TERM; echo agent listening on 127.0.0.1:12345, pid $$; \
                      while :; do sleep 0.01; done";
        let mut agent = AgentProcess::start(shell(script), SOON).await.unwrap();
        assert_eq!(agent.address().unwrap(), "127.0.0.1:12345");
        assert!(agent.resident_bytes().unwrap() > 100_000);
        agent.cpu_time().unwrap();
        assert!(agent.terminate(SOON).await.unwrap().success());
        agent.wait_for_log("its last words", SOON, |line| line == "draining").await.unwrap();
    }

    #[tokio::test]
    async fn a_unix_socket_is_named_in_haproxys_way() {
        for line in ["listening on /run/a.sock", "INFO listening on unix:/run/a.sock pid=1"] {
            let agent =
                AgentProcess::start(shell(&format!("echo {line}; exec sleep 600")), SOON).await.unwrap();
            assert_eq!(agent.address().unwrap(), "unix@/run/a.sock");
        }
    }

    #[tokio::test]
    async fn a_frozen_agent_ends_only_when_killed_or_thawed() {
        let mut agent =
            AgentProcess::start(shell("echo listening on x; exec sleep 600"), SOON).await.unwrap();
        agent.freeze().unwrap();
        assert!(agent.terminate(Duration::from_millis(50)).await.unwrap_err().is_deadline());
        agent.thaw().unwrap();
        assert!(!agent.wait_exit(SOON).await.unwrap().success());
    }

    #[tokio::test]
    async fn an_agent_that_fails_to_start_is_an_error_with_its_output() {
        let error = AgentProcess::start(shell("echo no such port; exit 4"), SOON).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("no such port") && text.contains("ended"), "{text}");
    }
}
