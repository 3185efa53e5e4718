//! Gives every client's address a random reputation: HAProxy's contrib agent, on `spop-tokio`, as a template for your own.

mod metrics;

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use lexopt::prelude::*;
use spop_tokio::{
    Actions, BoxError, Message, Request, Scope, Server, SocketListener, service_fn, shutdown_signal,
};
use tracing::{Level, debug, info};

const USAGE: &str = "\
Answers the SPOE message check-client-ip with a random reputation of the address: sess.<var-prefix>.ip_score, 0 to 100.

Usage: ip-reputation [OPTIONS]

  -d                  log what is going on, request by request
  -p PORT             listen on this TCP port of all addresses; 0: any free one (default 12345)
  -n NUM-WORKERS      number of worker threads (default 5)
  -h, --help          print this text
      --listen ADDR   listen at HOST:PORT or unix:PATH instead
      --metrics ADDR  serve figures for Prometheus at http://ADDR/metrics, such as 127.0.0.1:9090
      --seed N        give each address the same score always, as N has it";

/// The message.
const MESSAGE: &str = "check-client-ip";

struct Options {
    listen: String,
    metrics: Option<SocketAddr>,
    workers: usize,
    debug: bool,
    seed: Option<u64>,
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        let mut options =
            Self { listen: "0.0.0.0:12345".into(), metrics: None, workers: 5, debug: false, seed: None };
        let mut parser = lexopt::Parser::from_env();
        while let Some(option) = parser.next()? {
            match option {
                Short('d') => options.debug = true,
                Short('p') => options.listen = format!("0.0.0.0:{}", parser.value()?.parse::<u16>()?),
                Short('n') => options.workers = parser.value()?.parse::<std::num::NonZeroUsize>()?.get(),
                Long("listen") => options.listen = parser.value()?.string()?,
                Long("metrics") => options.metrics = Some(parser.value()?.parse()?),
                Long("seed") => options.seed = Some(parser.value()?.parse()?),
                Short('h') | Long("help") => {
                    println!("{USAGE}");
                    std::process::exit(0);
                }
                _ => return Err(option.unexpected()),
            }
        }
        Ok(options)
    }
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
    let service = service_fn(move |request: Request| async move { answer(&request, options.seed) });
    let serve = Server::new(service).message_labels([MESSAGE]).serve(listener);
    // Its figures are there, too.
    info!("listening on {address}");
    let drained = serve.with_graceful_shutdown(shutdown_signal()?).await?;
    info!(unanswered = drained.unanswered, "stopped");
    Ok(())
}

/// Scores the address of each `check-client-ip` of the request. Other messages are none of our business.
fn answer(request: &Request, seed: Option<u64>) -> Result<Actions, BoxError> {
    let mut actions = Actions::new();
    for message in request.messages().filter(|message| message.name() == MESSAGE) {
        match client_ip(&message)? {
            Some(ip) => {
                let score = score(ip, seed);
                debug!(%ip, score, "scored");
                actions.set_var(Scope::Session, "ip_score", score)?;
            }
            // A client on a Unix socket has none: the score stays unset.
            None => debug!("no address to score"),
        }
    }
    Ok(actions)
}

/// `args ip=src`, or `args src` as in HAProxy's contrib agent.
fn client_ip(message: &Message<'_>) -> Result<Option<IpAddr>, BoxError> {
    let named = message.args().any(|arg| arg.name == "ip");
    Ok(if named { message.get("ip")? } else { message.nth(0)? })
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
