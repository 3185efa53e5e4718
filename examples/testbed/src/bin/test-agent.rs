//! An agent to be stopped, killed and replaced by tests: it answers late, and says who it is.
//!
//! To the message `ask` with the argument `path` it sets `txn.<var-prefix>.path` to the same, and `agent` to its
//! process id.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use spop_tokio::{Actions, BoxError, Request, Scope, Server, SocketListener, service_fn, shutdown_signal};
use testbed::Random;
use tracing::{Level, info};

const USAGE: &str = "\
usage: test-agent --listen ADDR [--delay MS] [--jitter MS] [--seed N] [--slow MS] [--padding BYTES] [--take-over]
                  [--max-frame-size N] [--one-at-a-time] [--max-connections N]
                  [--drain-checks N] [--quiet]

  --listen ADDR         HOST:PORT, unix:PATH or fd:NUMBER
  --delay MS            answer each request after that time (default 0)
  --jitter MS           and up to that much later, at random (default 0)
  --seed N              what the random times start from (default 0)
  --slow MS             answer requests whose path starts with /slow/ after that time instead (default: no difference)
  --padding BYTES       make the answers so much longer (default 0)
  --max-frame-size N    the longest frame to take and to send, in bytes (default 16380)
  --one-at-a-time       have one request waiting on a connection: no pipelining
  --take-over           if another agent listens there, take its place
  --max-connections N   how many connections may be open (default 1024)
  --drain-checks N      how many health checks to fail before it stops (default 3)
  --quiet               log warnings, and that it listens, but not what is part of the day's work";

#[derive(Default)]
struct Options {
    listen: String,
    delay: Duration,
    jitter: Duration,
    slow: Option<Duration>,
    random: Random,
    padding: usize,
    one_at_a_time: bool,
    take_over: bool,
    max_frame_size: u32,
    max_connections: usize,
    drain_checks: u32,
    quiet: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options =
            Self { max_frame_size: 16_380, max_connections: 1024, drain_checks: 3, ..Self::default() };
        while let Some(argument) = arguments.next() {
            let mut millis = || Some(Duration::from_millis(arguments.next()?.parse().ok()?));
            match argument.as_str() {
                "--delay" => options.delay = millis()?,
                "--jitter" => options.jitter = millis()?,
                "--slow" => options.slow = Some(millis()?),
                "--listen" => options.listen = arguments.next()?,
                "--seed" => options.random = Random::new(arguments.next()?.parse().ok()?),
                "--padding" => options.padding = arguments.next()?.parse().ok()?,
                "--one-at-a-time" => options.one_at_a_time = true,
                "--take-over" => options.take_over = true,
                "--max-frame-size" => options.max_frame_size = arguments.next()?.parse().ok()?,
                "--max-connections" => options.max_connections = arguments.next()?.parse().ok()?,
                "--drain-checks" => options.drain_checks = arguments.next()?.parse().ok()?,
                "--quiet" => options.quiet = true,
                _ => return None,
            }
        }
        (!options.listen.is_empty()).then_some(options)
    }

    /// How long to wait with the answer to that path.
    fn time_for(&self, path: &str) -> Duration {
        match self.slow {
            Some(slow) if path.starts_with("/slow/") => slow,
            _ => self.delay + Duration::from_micros(self.random.below(self.jitter.as_micros() as u64)),
        }
    }

    async fn bind(&self) -> Result<SocketListener, BoxError> {
        let listener = match self.take_over {
            false => SocketListener::bind(&self.listen).await?,
            true => SocketListener::take_over(&self.listen).await?,
        };
        Ok(listener)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(options) = Options::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let level = if options.quiet { Level::INFO } else { Level::DEBUG };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("test-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Result<(), BoxError> {
    let listener = options.bind().await?;
    // Before the line that says it is ready: a signal after it ends the agent as it should.
    let shutdown = shutdown_signal()?;
    info!("listening on {listener}");
    let options = Arc::new(options);
    let Options { max_connections, max_frame_size, one_at_a_time, drain_checks, .. } = *options;
    let service = service_fn(move |request: Request| answer(request, options.clone()));
    // How long a request may take is up to the test.
    let server = Server::new(service).request_timeout(None).pipelining(!one_at_a_time);
    let server = server.max_connections(max_connections).max_frame_size(max_frame_size);
    let server = server.drain_checks(drain_checks).notify_systemd();
    let drained = server.serve(listener).with_graceful_shutdown(shutdown).await?;
    info!(unanswered = drained.unanswered, "stopped");
    Ok(())
}

async fn answer(request: Request, options: Arc<Options>) -> Result<Actions, BoxError> {
    let path: &str = request.message("ask").ok_or("no message")?.get("path")?;
    let time = options.time_for(path);
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
    let mut actions = Actions::new();
    actions.set_var(Scope::Transaction, "path", path)?;
    actions.set_var(Scope::Transaction, "agent", std::process::id())?;
    if options.padding > 0 {
        actions.set_var(Scope::Transaction, "padding", &*"x".repeat(options.padding))?;
    }
    Ok(actions)
}
