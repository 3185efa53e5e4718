//! Shows an agent behind a real HAProxy.

mod blocking;
mod blocklist;
mod decision;
mod ip_reputation;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use testbed::{Error, Haproxy, haproxies};

const USAGE: &str = "\
Starts HAProxy with an agent, sends requests, prints what the agent said and what HAProxy made of it, and stays up for you
to try.

Usage: demo [AGENT] [--once]

  ip-reputation   scores clients at random (default)
  blocking        scores clients by their address, on threads and the protocol crate alone
  blocklist       blocks by a list that changes while you look
  decision        lets browsers in, feeds crawlers garbage, challenges who wants to log in

  --once          stop after the requests
  -h, --help      print this text

HAPROXY_BIN=/path/to/haproxy uses that HAProxy. Otherwise the newest one that Debian has is fetched, once.";

struct Options {
    once: bool,
}

enum Agent {
    Blocking,
    Blocklist,
    IpReputation,
    Decision,
}

#[tokio::main]
async fn main() -> ExitCode {
    let (mut options, mut agent) = (Options { once: false }, Agent::IpReputation);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--once" => options.once = true,
            "ip-reputation" => agent = Agent::IpReputation,
            "blocking" => agent = Agent::Blocking,
            "blocklist" => agent = Agent::Blocklist,
            "decision" => agent = Agent::Decision,
            "-h" | "--help" => {
                println!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            other => {
                eprintln!("demo: unknown argument {other}\n\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let ended = match agent {
        Agent::Blocking => blocking::run(&options).await,
        Agent::Blocklist => blocklist::run(&options).await,
        Agent::IpReputation => ip_reputation::run(&options).await,
        Agent::Decision => decision::run(&options).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The newest HAProxy there is.
fn newest_haproxy() -> Result<Haproxy, Error> {
    eprintln!("looking for HAProxy (the first time it is fetched from Debian, which takes a minute) ...");
    let newest = haproxies()?.into_iter().max_by_key(|haproxy| haproxy.version);
    newest.ok_or_else(|| Error::Missing("no HAProxy was found".into()))
}

/// A file of the example `name`.
fn example_file(name: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join(file)
}

/// Waits for Ctrl-C, unless the demo is to stop by itself.
async fn stay_up(options: &Options) -> Result<(), Error> {
    if options.once {
        return Ok(());
    }
    println!("\nCtrl-C stops everything.");
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| Error::Io { doing: "wait for Ctrl-C".into(), source: error })
}
