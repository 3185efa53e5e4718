//! HAProxy's runtime API: commands on its stats socket.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::Error;
use crate::lines::Lines;

/// An answer is a matter of milliseconds.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// `show stat` of a large configuration has some 100 kB.
const MAX_ANSWER: u64 = 16 << 20;
/// A status that changes without a log line, such as the end of the first check, is noticed this late.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// What HAProxy thinks of a server; the fields are called as in `show stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// `UP`, `DOWN`, `MAINT`, `no check`; `UP 1/2` on its way down, `DOWN 1/2` on its way up.
    pub status: String,
    /// The last health check: `INI` before the first one has ended, `L7OK`, `L7RSP`, `L4CON`... Empty without
    /// health checks.
    pub check_status: String,
    /// The same in words, such as `Layer7 check passed`.
    pub check_desc: String,
    /// What else is known, such as `Connection refused`, or the SPOP status that an agent has given.
    pub last_chk: String,
}

impl ServerStatus {
    /// True if a health check has come to this status.
    fn is_checked(&self, status: &str) -> bool {
        self.status.split(' ').next() == Some(status) && self.check_status != "INI"
    }
}

/// The stats socket of one HAProxy.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    path: PathBuf,
}

impl RuntimeApi {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) async fn send(&self, command: &str) -> Result<String, Error> {
        let exchange = async {
            let mut socket = UnixStream::connect(&self.path).await?;
            socket.write_all(format!("{command}\n").as_bytes()).await?;
            let mut answer = Vec::new();
            socket.take(MAX_ANSWER).read_to_end(&mut answer).await?;
            io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let awaited = || format!("HAProxy's answer to {command:?}");
        match timeout(ANSWER_DEADLINE, exchange).await {
            Ok(answer) => answer.map_err(Error::io(awaited())),
            Err(_) => Err(Error::deadline(awaited(), ANSWER_DEADLINE)),
        }
    }

    pub(crate) async fn server_status(&self, backend: &str, server: &str) -> Result<ServerStatus, Error> {
        let stat = self.send("show stat").await?;
        let missing = || Error::Malformed(format!("no {backend}/{server} in show stat:\n{stat}"));
        find_server(&stat, backend, server).ok_or_else(missing)
    }

    pub(crate) async fn wait_server_status(
        &self,
        backend: &str,
        server: &str,
        status: &str,
        deadline: Duration,
        logs: &Lines,
    ) -> Result<ServerStatus, Error> {
        let wait = async {
            loop {
                let mark = logs.mark();
                let now = self.server_status(backend, server).await?;
                if now.is_checked(status) {
                    return Ok(now);
                }
                // HAProxy logs most changes, so this is seldom the interval.
                logs.changed_since(mark, POLL_INTERVAL).await;
            }
        };
        match timeout(deadline, wait).await {
            Ok(result) => result,
            Err(_) => Err(Error::Deadline {
                awaited: format!("{backend}/{server} to be {status}"),
                after: deadline,
                seen: format!("now: {:?}\n{}", self.server_status(backend, server).await, logs.tail()),
            }),
        }
    }
}

/// A server's row of `show stat`: CSV, whose first line names the columns after "# ".
fn find_server(stat: &str, backend: &str, server: &str) -> Option<ServerStatus> {
    let mut lines = stat.lines();
    let names: Vec<_> = lines.next()?.trim_start_matches("# ").split(',').collect();
    let column = |name| names.iter().position(|&n| n == name);
    let wanted = [column("status")?, column("check_status")?, column("check_desc")?, column("last_chk")?];
    let row: Vec<_> =
        lines.map(split_csv).find(|row| row.starts_with(&[backend.to_owned(), server.to_owned()]))?;
    let [status, check_status, check_desc, last_chk] =
        wanted.map(|at| row.get(at).cloned().unwrap_or_default());
    // A star in front means that the next check is running: true at any time, and no help to anybody.
    let check_status = check_status.trim_start_matches("* ").to_owned();
    Some(ServerStatus { status, check_status, check_desc, last_chk })
}

/// One line of CSV; HAProxy quotes fields that hold a comma or a quote, and doubles the quotes in them.
fn split_csv(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("there is always one").push(c),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "# pxname,svname,status,check_status,last_chk,check_desc,\n\
        agents,agent1,DOWN,* L4CON,\"Connection, refused\",Layer4 connection problem,\n\
        agents,agent2,UP 1/2,INI,,,\n";

    #[test]
    fn a_servers_row_is_found_by_name() {
        let down = find_server(STAT, "agents", "agent1").unwrap();
        assert_eq!(
            (&*down.last_chk, &*down.check_desc),
            ("Connection, refused", "Layer4 connection problem")
        );
        assert_eq!(down.check_status, "L4CON", "although the next check runs");
        assert!(down.is_checked("DOWN") && !down.is_checked("UP"));
        assert!(!find_server(STAT, "agents", "agent2").unwrap().is_checked("UP"), "assumed, not checked");
        assert_eq!(find_server(STAT, "web", "agent1"), None);
    }
}
