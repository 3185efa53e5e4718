//! Runs a command to its end, with a deadline.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::{Error, process};

/// Runs `command`, blocking and without input, and returns what it printed on stdout and stderr.
pub(crate) fn run(command: &mut Command, deadline: Duration) -> Result<String, Error> {
    run_with(Stdio::null(), command, deadline)
}

/// The same with an open file as its input.
pub(crate) fn run_with(
    input: impl Into<Stdio>,
    command: &mut Command,
    deadline: Duration,
) -> Result<String, Error> {
    let name = format!("{command:?}");
    // A file takes any amount of output without anybody reading along.
    let mut output = tempfile::tempfile().map_err(Error::io("create a temporary file"))?;
    let mut child = spawn(input.into(), command, &output).map_err(Error::io(format!("run {name}")))?;
    let waited = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
        .map_err(io::Error::from)
        .and_then(|pidfd| process::wait_pidfd(&pidfd, Some(deadline)));
    if waited.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(Error::io(format!("wait for {name}")))?;
    let mut text = Vec::new();
    output.rewind().and_then(|()| output.read_to_end(&mut text)).map_err(Error::io("read output"))?;
    let output = String::from_utf8_lossy(&text).into_owned();
    match waited {
        Ok(()) if status.success() => Ok(output),
        Ok(()) => Err(Error::Command { command: name, status, output }),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            Err(Error::Deadline { awaited: format!("the end of {name}"), after: deadline, seen: output })
        }
        Err(error) => Err(Error::io(format!("wait for {name}"))(error)),
    }
}

fn spawn(input: Stdio, command: &mut Command, output: &File) -> io::Result<Child> {
    command.stdin(input).stdout(output.try_clone()?).stderr(output.try_clone()?);
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn gives_output_status_or_deadline() {
        let soon = Duration::from_secs(10);
        assert_eq!(run(&mut shell("echo one; echo two >&2"), soon).unwrap(), "one\ntwo\n");
        let failed = run(&mut shell("echo why; exit 3"), soon).unwrap_err();
        assert!(
            matches!(&failed, Error::Command { status, output, .. } if status.code() == Some(3) && output == "why\n")
        );
        assert!(run(&mut shell("exec sleep 600"), Duration::from_millis(20)).unwrap_err().is_deadline());
    }
}
