//! An agent that blocks by a list that changes while it runs: see the README.

use std::process::ExitCode;
use std::sync::Arc;

use blocklist::agent::Agent;
use blocklist::config;
use blocklist::current::{Current, follow};
use blocklist::file::FileSource;
use blocklist::options::{Config, Options, USAGE};
use blocklist::redis::RedisSource;
use spop_tokio::{BoxError, SocketListener, shutdown_signal};
use tracing::{Level, info};

fn main() -> ExitCode {
    let options = Options::parse().unwrap_or_else(|error| {
        eprintln!("blocklist: {error}\n\n{USAGE}");
        std::process::exit(2);
    });
    let level = if options.debug { Level::DEBUG } else { Level::INFO };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blocklist: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), BoxError> {
    match &options.config {
        Some(Config::Print(version)) => config::print(*version),
        Some(Config::Check(path)) => config::check(path),
        Some(Config::Help) => {
            println!("{USAGE}");
            Ok(())
        }
        None => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(serve(options))
        }
    }
}

async fn serve(options: Options) -> Result<(), BoxError> {
    let shutdown = shutdown_signal()?;
    if let Some(address) = options.metrics {
        agent_metrics::serve(address).await?;
    }
    let current = Arc::new(Current::unknown());
    match &options.redis {
        Some(url) => {
            let source = RedisSource::new(url, &options.key, options.max_entries)?;
            tokio::spawn(follow(source, current.clone()));
        }
        None => {
            let source = FileSource::new(&options.file, options.max_entries)?;
            tokio::spawn(follow(source, current.clone()));
        }
    }
    // HAProxy gets no answer before there is a list, unless the source is down.
    current.tried().await;
    let server = Agent::new(current, options.block_unknown).server()?;
    let listener = SocketListener::bind(&options.listen).await?;
    let address = listener.to_string();
    let serve = server.serve(listener);
    info!("listening on {address}");
    let drained = serve.with_graceful_shutdown(shutdown).await?;
    info!(unanswered = drained.unanswered, "stopped");
    Ok(())
}
