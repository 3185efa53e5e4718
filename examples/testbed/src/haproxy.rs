//! A running HAProxy: master and workers, logs, reload, runtime API.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use crate::config::{Config, Place, Rendered};
use crate::lines::Lines;
use crate::process::Process;
use crate::runtime_api::RuntimeApi;
use crate::{Error, Haproxy, ReservedPort, ServerStatus, Version, command, proc};

/// HAProxy starts and reloads within 100 ms; the rest is for a machine that is busy with a build.
const READY_DEADLINE: Duration = Duration::from_secs(30);

/// A signal handler comes without an event.
const HANDLER_INTERVAL: Duration = Duration::from_millis(2);

/// A HAProxy in master-worker mode with a folder of its own. Dropping it kills master and workers, and it does not
/// outlive this process either.
#[derive(Debug)]
pub struct HaproxyProcess {
    // Before `dir`: fields are dropped in order, and HAProxy must be gone before its files.
    process: Process,
    version: Version,
    http: ReservedPort,
    check_output: String,
    logs: Lines,
    stderr: Lines,
    notices: Notices,
    runtime_api: RuntimeApi,
    dir: TempDir,
}

impl HaproxyProcess {
    /// Checks the configuration with `haproxy -c`, starts HAProxy, and returns when it says that it is ready.
    pub async fn start(haproxy: &Haproxy, config: &Config) -> Result<Self, Error> {
        let dir = tempfile::Builder::new().prefix("spop-").tempdir().map_err(Error::io("create a folder"))?;
        let http = ReservedPort::new()?;
        let place = Place { http: http.addr().to_string(), version: haproxy.version, dir: dir.path() };
        write_files(config, &place)?;
        let check = arguments(haproxy, dir.path(), "-c");
        let check_output =
            spawn_blocking(|| validate(check)).await.map_err(|e| Error::io("run haproxy -c")(e.into()))??;

        let notices = Notices::receive(&dir.path().join("notify.sock"))?;
        let (logs, stderr) = (Lines::new(), Lines::new());
        // `s`: tell when ready, as to systemd. It is an event, and it comes after a reload, too.
        let mut command = arguments(haproxy, dir.path(), "-Ws");
        command.env("NOTIFY_SOCKET", dir.path().join("notify.sock"));
        let process = Process::spawn(command, Stdio::null(), &logs, &stderr)?;
        let runtime_api = RuntimeApi::new(dir.path().join("stats.sock"));
        let version = haproxy.version;
        let mut started =
            Self { process, version, http, check_output, logs, stderr, notices, runtime_api, dir };
        started.ready(0, "HAProxy to be ready").await?;
        Ok(started)
    }

    /// Where `{http}` of the configuration is.
    pub fn http(&self) -> SocketAddr {
        self.http.addr()
    }

    /// The version that runs.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The `{dir}` of the configuration.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Everything that HAProxy has logged.
    pub fn logs(&self) -> &Lines {
        &self.logs
    }

    /// Everything that HAProxy has printed on stderr: notices and warnings of the master and of all workers.
    pub fn stderr(&self) -> &Lines {
        &self.stderr
    }

    /// What `haproxy -c` printed before the start: warnings, if there are any.
    pub fn check_output(&self) -> &str {
        &self.check_output
    }

    /// Waits for a log line, earlier ones included: a shorthand for [`Lines::wait_for`] on [`logs`](Self::logs).
    pub async fn wait_for_log(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl FnMut(&str) -> bool,
    ) -> Result<String, Error> {
        self.logs.wait_for(what, deadline, wanted).await
    }

    /// The ids of all living processes of this HAProxy: the master first, then workers, old and new.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = self.process.members();
        pids.sort_by_key(|&pid| (pid != self.process.id(), pid));
        pids
    }

    /// Sends a command to the current worker's stats socket and returns the answer.
    pub async fn cli(&self, command: &str) -> Result<String, Error> {
        self.runtime_api.send(command).await
    }

    /// What HAProxy thinks of a server, such as `server_status("agents", "agent1")`.
    pub async fn server_status(&self, backend: &str, server: &str) -> Result<ServerStatus, Error> {
        self.runtime_api.server_status(backend, server).await
    }

    /// Waits until a server is `"UP"` or `"DOWN"` by the verdict of a health check: the UP that HAProxy assumes
    /// before the first check has ended does not count.
    pub async fn wait_server_status(
        &self,
        backend: &str,
        server: &str,
        status: &str,
        deadline: Duration,
    ) -> Result<ServerStatus, Error> {
        self.runtime_api.wait_server_status(backend, server, status, deadline, &self.logs).await
    }

    /// Has the master read its configuration again and replace the worker; returns when the new one serves.
    /// The old one finishes what it has, see [`pids`](Self::pids).
    pub async fn reload(&mut self) -> Result<(), Error> {
        let (mark, stderr) = (self.notices.lines.mark(), self.stderr.mark());
        let before = self.pids();
        self.process.signal(Signal::USR2)?;
        let notice = self.ready(mark, "the reload to end").await?;
        // "READY=1" also ends a failed reload, and up to 2.6 without a word about it: then there is no new worker.
        let new_worker = self.pids().iter().any(|pid| !before.contains(pid));
        if new_worker && !notice.contains("failed") {
            return Ok(());
        }
        // The text comes through another pipe, so it may not be there yet; without it the error is still true.
        let is_reason = |line: &str| line.contains("[ALERT]");
        let soon = Duration::from_secs(1);
        let _ = self.stderr.wait_for_since(stderr, "the reason", soon, is_reason).await;
        Err(Error::BadConfig { output: self.stderr.since(stderr).join("\n") })
    }

    /// The same with another configuration. The address `{http}` stays.
    pub async fn reload_with(&mut self, config: &Config) -> Result<(), Error> {
        let place = Place { http: self.http().to_string(), version: self.version, dir: self.dir.path() };
        write_files(config, &place)?;
        self.reload().await
    }

    /// Sends a signal to the master: `Signal::USR1` begins a graceful stop, for a test that looks on.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.process.signal(signal)
    }

    /// Stops master and workers from running, without them noticing (SIGSTOP): connections stay open, and what clients
    /// and agents send waits in the sockets.
    pub fn freeze(&self) -> Result<(), Error> {
        self.process.signal_group(Signal::STOP)
    }

    /// Lets them run again (SIGCONT).
    pub fn thaw(&self) -> Result<(), Error> {
        self.process.signal_group(Signal::CONT)
    }

    /// Waits until the master has exited.
    pub async fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        match self.process.wait_exit(deadline).await {
            Ok(status) => Ok(status),
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// Stops accepting, finishes what is there, exits (SIGUSR1).
    pub async fn stop_graceful(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        self.signal(Signal::USR1)?;
        self.wait_exit(deadline).await
    }

    /// Exits at once (SIGTERM).
    pub async fn stop(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        self.signal(Signal::TERM)?;
        self.wait_exit(deadline).await
    }

    /// Waits until the master is ready and returns the notice that says so.
    async fn ready(&mut self, mark: usize, what: &str) -> Result<String, Error> {
        let wait = async {
            let is_ready = |notice: &str| notice.contains("READY=1");
            let notice = self.notices.lines.wait_for_since(mark, what, READY_DEADLINE, is_ready).await?;
            // 3.0 says so early: its master then executes itself once more, and signals are lost until that is done.
            while !proc::catches(self.process.id(), Signal::USR2) {
                sleep(HANDLER_INTERVAL).await;
            }
            Ok(notice)
        };
        let result = tokio::select! {
            result = timeout(READY_DEADLINE, wait) => {
                result.unwrap_or_else(|_| Err(Error::deadline(what, READY_DEADLINE)))
            }
            () = self.process.exited() => Err(Error::ended(what)),
        };
        match result {
            Ok(notice) => Ok(notice),
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// Adds what HAProxy printed to an error, and how it ended.
    async fn explain(&mut self, error: Error) -> Error {
        match error {
            Error::Deadline { awaited, after, .. } => {
                Error::Deadline { awaited, after, seen: self.stderr.tail() }
            }
            Error::Ended { awaited, .. } => {
                let status = self.process.kill().ok();
                // All writers are gone, so the end of the output is on its way.
                let _ = self.stderr.wait_for("the end", Duration::from_secs(1), |_| false).await;
                Error::Ended { awaited, status, seen: self.stderr.tail() }
            }
            other => other,
        }
    }
}

/// The command line that both the check and the start use, run in the folder so that relative paths work.
fn arguments(haproxy: &Haproxy, dir: &Path, mode: &str) -> Command {
    let mut command = Command::new(&haproxy.path);
    // The testbed's own settings are a file beside the user's, which stays as it is.
    command.arg(mode).args(["-f", "testbed.cfg", "-f", "haproxy.cfg"]).current_dir(dir);
    command
}

fn write_files(config: &Config, place: &Place<'_>) -> Result<(), Error> {
    let Rendered { haproxy_cfg, spoe_conf, global } = config.render(place)?;
    // Logs go to stdout, a pipe of 1 MiB: a unix datagram socket holds 10 messages by default (max_dgram_qlen), and
    // HAProxy drops what does not fit.
    let log = if config.logs_to_stdout() { "" } else { "    log stdout len 8192 format raw local0\n" };
    // A reload hands the listening sockets on by it, so that no connection is refused meanwhile.
    let options = "mode 600 level admin expose-fd listeners";
    let stats = format!("    stats socket {}/stats.sock {options}\n", place.dir.display());
    let testbed_cfg = format!("global\n{log}{stats}{global}");
    for (name, text) in [("testbed.cfg", testbed_cfg), ("haproxy.cfg", haproxy_cfg), ("spoe.conf", spoe_conf)]
    {
        let path = place.dir.join(name);
        fs::write(&path, text).map_err(Error::io(format!("write {}", path.display())))?;
    }
    Ok(())
}

fn validate(mut check: Command) -> Result<String, Error> {
    command::run(&mut check, READY_DEADLINE).map_err(|error| match error {
        Error::Command { output, .. } => Error::BadConfig { output },
        other => other,
    })
}

/// What HAProxy tells its supervisor, by sd_notify(3): a line for each datagram.
#[derive(Debug)]
struct Notices {
    lines: Lines,
    receiver: AbortHandle,
}

impl Notices {
    fn receive(path: &Path) -> Result<Self, Error> {
        let socket = UnixDatagram::bind(path).map_err(Error::io(format!("bind {}", path.display())))?;
        let lines = Lines::new();
        let into = lines.clone();
        let receiver = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer).await {
                into.push(&buffer[..length]);
            }
        });
        Ok(Self { lines, receiver: receiver.abort_handle() })
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.receiver.abort();
    }
}
