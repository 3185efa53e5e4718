//! An agent to be stopped, killed and replaced by tests: it answers late, and says who it is.
//!
//! To the message `ask` with the argument `path` it sets `txn.<var-prefix>.path` to the same, and `agent` to its process id.

use std::process::ExitCode;
use std::time::Duration;

use spop_tokio::{Actions, BoxError, Request, Scope, Server, SocketListener, service_fn, shutdown_signal};
use tracing::{Level, info};

const USAGE: &str = "\
usage: test-agent --listen ADDR [--delay MS] [--padding BYTES] [--take-over] [--max-connections N] [--drain-checks N] [--quiet]

  --listen ADDR         HOST:PORT, unix:PATH or fd:NUMBER
  --delay MS            answer each request after that time (default 0)
  --padding BYTES       make the answers so much longer (default 0)
  --take-over           if another agent listens there, take its place
  --max-connections N   how many connections may be open (default 1024)
  --drain-checks N      how many health checks to fail before it stops (default 3)
  --quiet               log warnings, and that it listens, but not what is part of the day's work";

struct Options {
    listen: String,
    delay: Duration,
    padding: usize,
    take_over: bool,
    max_connections: usize,
    drain_checks: u32,
    quiet: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let (mut listen, mut delay, mut padding) = (None, Duration::ZERO, 0);
        let (mut take_over, mut max_connections, mut drain_checks, mut quiet) = (false, 1024, 3, false);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--listen" => listen = Some(arguments.next()?),
                "--delay" => delay = Duration::from_millis(arguments.next()?.parse().ok()?),
                "--padding" => padding = arguments.next()?.parse().ok()?,
                "--take-over" => take_over = true,
                "--max-connections" => max_connections = arguments.next()?.parse().ok()?,
                "--drain-checks" => drain_checks = arguments.next()?.parse().ok()?,
                "--quiet" => quiet = true,
                _ => return None,
            }
        }
        Some(Self { listen: listen?, delay, padding, take_over, max_connections, drain_checks, quiet })
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
    let service = service_fn(move |request: Request| answer(request, options.delay, options.padding));
    // How long a request may take is up to the test.
    let server = Server::new(service)
        .request_timeout(None)
        .max_connections(options.max_connections)
        .drain_checks(options.drain_checks)
        .notify_systemd();
    let drained = server.serve(listener).with_graceful_shutdown(shutdown).await?;
    info!(unanswered = drained.unanswered, "stopped");
    Ok(())
}

async fn answer(request: Request, delay: Duration, padding: usize) -> Result<Actions, BoxError> {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let path: &str = request.message("ask").ok_or("no message")?.get("path")?;
    let mut actions = Actions::new();
    actions.set_var(Scope::Transaction, "path", path)?;
    actions.set_var(Scope::Transaction, "agent", std::process::id())?;
    if padding > 0 {
        actions.set_var(Scope::Transaction, "padding", &*"x".repeat(padding))?;
    }
    Ok(actions)
}
