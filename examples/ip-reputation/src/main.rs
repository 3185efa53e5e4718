//! Gives every client's address a random reputation: HAProxy's contrib agent, on `spop-tokio`, as a template for your
//! own.

mod config;
mod options;
mod score;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use spop_tokio::{
    ArgError, BoxError, MessageRequest, Route, Router, Server, SocketListener, State, Var, VarPrefixError,
    shutdown_signal,
};
use tracing::{Level, debug, info};

use crate::options::{Config, Options, USAGE};
use crate::score::score;

const SCORE: Var = Var::session("ip_score");

/// Below the `timeout processing` of spoe.conf: then HAProxy has an answer in any case.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(50);

/// Scores the client's address. A client on a Unix socket has none: its score stays unset.
fn check_client_ip(
    State(seed): State<Option<u64>>,
    request: MessageRequest,
) -> Result<Option<(Var, u32)>, ArgError> {
    // `args ip=src`, or `args src` as in HAProxy's contrib agent.
    let named = request.message().args().any(|arg| arg.name == "ip");
    let ip: Option<IpAddr> = if named { request.get("ip")? } else { request.nth(0)? };
    let Some(ip) = ip else {
        debug!("no address to score");
        return Ok(None);
    };
    let score = score(ip, seed);
    debug!(%ip, score, "scored");
    Ok(Some((SCORE, score)))
}

fn agent(seed: Option<u64>) -> Result<Server<Router>, VarPrefixError> {
    let check = Route::new(check_client_ip).sets([SCORE]).samples(["ip=src"]).event("on-client-session");
    let router = Router::new().message("check-client-ip", check).with_state(seed);
    Server::new(router).request_timeout(REQUEST_TIMEOUT).var_prefix("iprep")
}

fn main() -> ExitCode {
    let options = Options::parse().unwrap_or_else(|error| {
        eprintln!("ip-reputation: {error}\n\n{USAGE}");
        std::process::exit(2);
    });
    let level = if options.debug { Level::DEBUG } else { Level::INFO };
    tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).init();
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ip-reputation: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<(), BoxError> {
    match &options.config {
        Some(Config::Print(version)) => return config::print(&agent(None)?, *version),
        Some(Config::Check(path)) => return config::check(&agent(None)?, path),
        None => {}
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(options.workers).enable_all().build()?.block_on(serve(options))
}

async fn serve(options: Options) -> Result<(), BoxError> {
    if let Some(address) = options.metrics {
        agent_metrics::serve(address).await?;
    }
    let listener = SocketListener::bind(&options.listen).await?;
    let address = listener.to_string();
    let serve = agent(options.seed)?.serve(listener);
    // Its metrics are there, too.
    info!("listening on {address}");
    let drained = serve.with_graceful_shutdown(shutdown_signal()?).await?;
    info!(unanswered = drained.unanswered, "stopped");
    Ok(())
}
