//! Gives every client's address a random reputation: HAProxy's contrib agent, on `spop-tokio`, as a template for your own.

mod metrics;
mod options;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use spop_tokio::{
    ArgError, BoxError, MessageRequest, Route, Router, Server, SocketListener, State, Var, shutdown_signal,
};
use tracing::{Level, debug, info};

use crate::options::{Options, USAGE};

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
    let score = ip.map(|ip| score(ip, seed));
    debug!(?ip, score, "scored");
    Ok(score.map(|score| (SCORE, score)))
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
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(options.workers).enable_all().build()?.block_on(serve(options))
}

async fn serve(options: Options) -> Result<(), BoxError> {
    if let Some(address) = options.metrics {
        metrics::serve(address).await.map_err(|error| format!("--metrics {address}: {error}"))?;
    }
    let listener = SocketListener::bind(&options.listen).await?;
    let address = listener.to_string();
    let check = Route::new(check_client_ip).sets([SCORE]);
    let agent = Router::new().message("check-client-ip", check).with_state(options.seed);
    let serve = Server::new(agent).request_timeout(REQUEST_TIMEOUT).serve(listener);
    // Its figures are there, too.
    info!("listening on {address}");
    let drained = serve.with_graceful_shutdown(shutdown_signal()?).await?;
    info!(unanswered = drained.unanswered, "stopped");
    Ok(())
}

/// 0 to 100: by the address and the seed, or without a seed by chance.
fn score(ip: IpAddr, seed: Option<u64>) -> u32 {
    let hash = match seed {
        Some(seed) => fnv(&[&seed.to_be_bytes()[..], ip.to_string().as_bytes()].concat()),
        None => RandomState::new().hash_one(ip),
    };
    (hash % 101) as u32
}

/// The standard library's hashes may change with its version; the scores of a seed must not.
fn fnv(bytes: &[u8]) -> u64 {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    hash ^ (hash >> 32)
}
