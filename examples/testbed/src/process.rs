//! A child process with all of its descendants: none of them outlives the value, nor this process.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use rustix::process::{kill_process, kill_process_group, pidfd_open, waitid};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::lines::Lines;
use crate::{Error, proc};

/// How long a killed process may take to be gone: the kernel needs milliseconds.
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// A running child that leads a process group, so that what it forks (HAProxy's workers) goes with it.
pub(crate) struct Process {
    name: String,
    child: Child,
    /// True once the child has exited; it is not reaped by that.
    exited: watch::Receiver<bool>,
    guard: Guard,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`; its output goes to the two `Lines`, which may be the same.
    pub(crate) fn spawn(
        mut command: Command,
        stdin: Stdio,
        stdout: &Lines,
        stderr: &Lines,
    ) -> Result<Self, Error> {
        let name = format!("{:?}", command.get_program());
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(Error::io(format!("start {name}")))?;
        match attach(&mut child, stdout, stderr) {
            Ok((exited, guard)) => Ok(Self { name, child, exited, guard, status: None }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// The process id, also of the group.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The ids of all living processes of the group.
    pub(crate) fn members(&self) -> Vec<u32> {
        if self.status.is_some() { Vec::new() } else { proc::group_members(self.id()) }
    }

    /// Sends a signal to the leader only.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.send(signal, kill_process)
    }

    /// Sends a signal to all processes of the group.
    pub(crate) fn signal_group(&self, signal: Signal) -> Result<(), Error> {
        self.send(signal, kill_process_group)
    }

    fn send(&self, signal: Signal, kill: fn(Pid, Signal) -> rustix::io::Result<()>) -> Result<(), Error> {
        let doing = format!("send {signal:?} to {}", self.name);
        if self.status.is_some() {
            // The process id may be somebody else's by now.
            return Err(Error::Usage(format!("{doing}: it has exited")));
        }
        kill(Pid::from_child(&self.child), signal).map_err(|errno| Error::io(doing)(errno.into()))
    }

    /// Stops the leader (SIGSTOP), and waits until it has stopped: a signal that comes before would still act.
    pub(crate) fn stop(&self) -> Result<(), Error> {
        self.signal(Signal::STOP)?;
        // Or has exited; NOWAIT leaves either to be found by others.
        let states = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let wait = || waitid(WaitId::Pid(Pid::from_child(&self.child)), states);
        let doing = format!("wait for {} to stop", self.name);
        retry_on_intr(wait).map(drop).map_err(|errno| Error::io(doing)(errno.into()))
    }

    /// Completes when the leader has exited. Safe to drop and to call again.
    pub(crate) async fn exited(&self) {
        if self.status.is_none() {
            // The sender is dropped only after it has sent.
            let _ = self.exited.clone().wait_for(|&exited| exited).await;
        }
    }

    /// Waits for the leader to exit by itself; then kills what it has left behind.
    pub(crate) async fn wait_exit(&mut self, deadline: Duration) -> Result<ExitStatus, Error> {
        let awaited = format!("the exit of {}", self.name);
        timeout(deadline, self.exited()).await.map_err(|_| Error::deadline(&awaited, deadline))?;
        self.kill().map_err(Error::io(awaited))
    }

    /// Kills the whole group, waits until all of it is gone and returns how the leader ended.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let group = Pid::from_child(&self.child);
        let members = self.members().into_iter().filter_map(|pid| Pid::from_raw(pid.cast_signed()));
        let watched: Vec<_> = members.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).collect();
        // The leader is not reaped yet, so its id still names this group and no other.
        let _ = kill_process_group(group, Signal::KILL);
        for pidfd in &watched {
            wait_pidfd(pidfd, Some(KILL_DEADLINE))?;
        }
        self.guard.dismiss();
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("testbed: {} may still run: {error}", self.name);
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("pid", &self.id()).finish_non_exhaustive()
    }
}

/// Waits, blocking, until the process of a pidfd has exited; for ever without a deadline.
pub(crate) fn wait_pidfd(pidfd: &OwnedFd, deadline: Option<Duration>) -> io::Result<()> {
    let limit = deadline.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
    let wait = || poll(&mut [PollFd::new(pidfd, PollFlags::IN)], limit.as_ref());
    // A test may have signal handlers; starting over with the whole deadline keeps it bounded.
    let ready = retry_on_intr(wait)?;
    if ready == 0 { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
}

/// What a fresh child needs: readers of its output, a watch on its exit, a guard.
fn attach(
    child: &mut Child,
    stdout: &Lines,
    stderr: &Lines,
) -> Result<(watch::Receiver<bool>, Guard), Error> {
    if let Some(pipe) = child.stdout.take() {
        // Capacity for a burst of logs; the default of 64 KiB is what remains if the system's limit forbids it.
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, 1 << 20);
        stdout.follow(pipe)?;
    }
    if let Some(pipe) = child.stderr.take() {
        stderr.follow(pipe)?;
    }
    let exited = watch_exit(Pid::from_child(child)).map_err(Error::io("watch a process for its exit"))?;
    let guard = Guard::over(child.id()).map_err(Error::io("start a guard with sh"))?;
    Ok((exited, guard))
}

/// In a thread, which ends with the process, and so before `Drop` does.
fn watch_exit(pid: Pid) -> io::Result<watch::Receiver<bool>> {
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let (sender, receiver) = watch::channel(false);
    let wait = move || {
        let _ = wait_pidfd(&pidfd, None);
        sender.send_replace(true);
    };
    thread::Builder::new().name("testbed-exit".to_owned()).spawn(wait)?;
    Ok(receiver)
}

/// A shell that kills the group when this process dies without running `Drop`: Ctrl-C or `timeout` on a test run.
///
/// It blocks on a pipe whose other end only this process holds, so the kernel tells it.
struct Guard(Child);

impl Guard {
    fn over(group: u32) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", r#"read -r _; kill -s KILL -- "-$1""#, "testbed-guard", &group.to_string()]);
        // A group of its own, or the Ctrl-C that it is there for would end it.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        command.spawn().map(Self)
    }

    fn dismiss(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> (Process, Lines) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let lines = Lines::new();
        (Process::spawn(command, Stdio::null(), &lines, &lines).unwrap(), lines)
    }

    #[tokio::test]
    async fn drop_kills_grandchildren_that_ignore_sigterm() {
        let (process, lines) = shell("trap '' TERM; (trap '' TERM; echo $$ ready; sleep 600) & wait");
        lines.wait_for("the grandchild", SOON, |line| line.ends_with("ready")).await.unwrap();
        let members = process.members();
        assert!(members.len() >= 2, "{members:?}");
        drop(process);
        assert_eq!(proc::group_members(members[0]), [0; 0]);
    }

    #[tokio::test]
    async fn exit_status_and_last_output_arrive() {
        let (mut process, lines) = shell("echo bye >&2; exit 7");
        assert_eq!(process.wait_exit(SOON).await.unwrap().code(), Some(7));
        lines.wait_for("bye", SOON, |line| line == "bye").await.unwrap();
        assert!(process.signal(Signal::TERM).is_err());
    }

    #[tokio::test]
    async fn a_process_that_stays_is_a_deadline() {
        let (mut process, _) = shell("sleep 600");
        assert!(process.wait_exit(Duration::from_millis(20)).await.unwrap_err().is_deadline());
    }

    #[tokio::test]
    async fn the_guard_kills_the_group_when_its_pipe_closes() {
        let (mut process, _) = shell("sleep 600");
        drop(process.guard.0.stdin.take());
        assert!(!process.wait_exit(SOON).await.unwrap().success());
    }
}
