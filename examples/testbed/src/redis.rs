//! A Redis for tests, and where it comes from.

use std::env;
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::debian::{self, Package};
use crate::lines::Lines;
use crate::process::Process;
use crate::{Error, ReservedPort, command, provision};

/// How long `--version` may take on a busy machine.
const VERSION_DEADLINE: Duration = Duration::from_secs(30);

/// Redis is ready within milliseconds; the rest is for a machine that is busy with a build.
const READY_DEADLINE: Duration = Duration::from_secs(30);

const PACKAGE: Package =
    Package { name: "redis-server", program: "usr/bin/redis-server", suite: "trixie", base: "trixie" };

const HINT: &str = "Install Redis (Debian: `apt-get install redis-server`), or set REDIS_BIN to one. To have it \
     fetched from Debian's packages, no root needed, install `apt`, `dpkg` and `debian-archive-keyring`.";

/// A Redis with a loopback port of its own, and empty: it keeps nothing on disk. Dropping it kills it, and it does not
/// outlive this process either.
#[derive(Debug)]
pub struct RedisProcess {
    process: Option<Process>,
    program: PathBuf,
    arguments: Vec<String>,
    port: ReservedPort,
    dir: TempDir,
}

impl RedisProcess {
    /// Starts one and waits until it accepts connections. The program is the first of these that applies:
    ///
    /// 1. the environment variable `REDIS_BIN`: that program and no other;
    /// 2. `redis-server` in `PATH`;
    /// 3. `redis-server`, unpacked from Debian's packages into the cache folder, as [`haproxies`](crate::haproxies) does it;
    /// 4. an error that says what to install.
    pub async fn start() -> Result<Self, Error> {
        Self::start_with(&[]).await
    }

    /// The same with more options, such as `["--requirepass", "secret"]`; `{port}` in them becomes its port.
    pub async fn start_with(arguments: &[&str]) -> Result<Self, Error> {
        let program = tokio::task::spawn_blocking(redis_server).await;
        let program = program.map_err(|error| Error::io("look for redis-server")(error.into()))??;
        let dir = tempfile::tempdir().map_err(Error::io("create a folder"))?;
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let mut redis = Self { process: None, program, arguments, port: ReservedPort::new()?, dir };
        redis.restart().await?;
        Ok(redis)
    }

    /// Where it listens, running or not.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// Ends it at once, as a crash would; what it had is lost.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it from running, without it noticing: connections stay open, nothing is answered (SIGSTOP).
    pub fn freeze(&self) -> Result<(), Error> {
        self.process.as_ref().map_or(Ok(()), Process::stop)
    }

    /// Lets it run again (SIGCONT).
    pub fn thaw(&self) -> Result<(), Error> {
        self.process.as_ref().map_or(Ok(()), |process| process.signal(Signal::CONT))
    }

    /// Starts it anew at the same address, empty.
    pub async fn restart(&mut self) -> Result<(), Error> {
        self.kill();
        let port = self.addr().port().to_string();
        let mut command = Command::new(&self.program);
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(self.dir.path());
        command.args(self.arguments.iter().map(|argument| argument.replace("{port}", &port)));
        let lines = Lines::new();
        let process = Process::spawn(command, Stdio::null(), &lines, &lines)?;
        lines
            .wait_for("Redis to be ready", READY_DEADLINE, |line| {
                line.contains("Ready to accept connections")
            })
            .await?;
        self.process = Some(process);
        Ok(())
    }
}

/// The program.
fn redis_server() -> Result<PathBuf, Error> {
    let program = env::var_os("REDIS_BIN").filter(|program| !program.is_empty());
    choose(program.as_deref(), &env::var_os("PATH").unwrap_or_default(), provision::cache_folder().as_deref())
}

fn choose(program: Option<&OsStr>, path: &OsStr, cache: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(program) = program {
        return check(Path::new(program));
    }
    if let Some(program) = provision::in_path(path, PACKAGE.name).find_map(|program| check(&program).ok()) {
        return Ok(program);
    }
    let found = match cache {
        Some(cache) => debian::provide(cache, PACKAGE, check),
        None => Err(provision::no_cache()),
    };
    found.map_err(|error| {
        Error::Missing(format!("no Redis to test with, none in PATH. {HINT}\n{PACKAGE}: {error}"))
    })
}

fn check(program: &Path) -> Result<PathBuf, Error> {
    let output = command::run(Command::new(program).arg("--version"), VERSION_DEADLINE)?;
    if output.contains("Redis server v=") {
        return Ok(program.to_owned());
    }
    Err(Error::Malformed(format!("{} --version printed {output:?}", program.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_bin_is_the_only_one_and_must_work() {
        for (program, seen) in [("/nonexistent/redis", "/nonexistent/redis"), ("/bin/echo", "--version")] {
            let error = choose(Some(OsStr::new(program)), OsStr::new(""), None).unwrap_err();
            assert!(error.to_string().contains(seen), "{error}");
        }
    }

    #[test]
    fn without_any_the_error_says_what_to_install() {
        let text = choose(None, OsStr::new(""), None).unwrap_err().to_string();
        assert!(text.contains("apt-get install redis-server") && text.contains("REDIS_BIN"), "{text}");
    }
}
