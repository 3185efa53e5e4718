//! Puts all agents under the same load, one after another, and compares what each answers per second of CPU time.
//!
//! ```sh
//! cargo run --release -p benches --bin compare             # prints the tables
//! cargo run --release -p benches --bin compare -- --docs   # and rewrites docs/performance.md and its plots
//! ```

mod agent;
mod docs;
mod plot;
mod results;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use benches::cli::{self, Error};
use lexopt::{Arg, Parser};

use agent::{AGENTS, Agent};
use results::{Results, SCENARIOS};

const HELP: &str = "\
Compares agents: limit (canned ACKs), ours, and crates.io's spop 0.13.1 with one flush per burst and with its README's loop.

usage: compare [OPTIONS]

  --rounds N      how often each agent meets each load; an odd number, default 5
  --seconds S     how long each time; default 2
  --json FILE     all figures of all rounds
  --docs          rewrite the tables of docs/performance.md and the plots in docs/performance/
  --no-codec      leave out the codec's figures
  --no-build      take the programs as they are, instead of having cargo build them first
  --help
";

struct Args {
    rounds: usize,
    seconds: f64,
    json: Option<PathBuf>,
    docs: bool,
    codec: bool,
    build: bool,
}

fn main() -> ExitCode {
    cli::exit("compare", parse().and_then(|args| compare(&args)))
}

fn parse() -> Result<Args, Error> {
    let mut args = Args { rounds: 5, seconds: 2.0, json: None, docs: false, codec: true, build: true };
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("rounds") => args.rounds = cli::value::<usize>(&mut parser, "rounds")?.max(1),
            Arg::Long("seconds") => args.seconds = cli::value(&mut parser, "seconds")?,
            Arg::Long("json") => args.json = Some(parser.value()?.into()),
            Arg::Long("docs") => args.docs = true,
            Arg::Long("no-codec") => args.codec = false,
            Arg::Long("no-build") => args.build = false,
            Arg::Long("help") | Arg::Short('h') => {
                print!("{HELP}");
                std::process::exit(0);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(args)
}

fn compare(args: &Args) -> Result<(), Error> {
    if args.build {
        build()?;
    }
    let programs = std::env::current_exe()?.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut results = Results::new();
    for round in 1..=args.rounds {
        for (index, scenario) in SCENARIOS.iter().enumerate() {
            eprintln!("round {round} of {}: {scenario}", args.rounds);
            for spec in &AGENTS {
                let agent = Agent::start(&programs, spec)?;
                let acks = agent.load(&programs, scenario, args.seconds)?;
                results.add(index, spec.key, acks);
            }
        }
    }
    if args.codec {
        eprintln!("codec");
        results.measure_codec();
    }
    print!("{}\n{}", results.agents_table(), results.codec_table());
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&results.json())?)?;
    }
    if args.docs { docs::rewrite(&results) } else { Ok(()) }
}

/// Has cargo build the agents and the load generator with the profile that this program was built with.
fn build() -> Result<(), Error> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--package", "benches", "--bins", "--quiet"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    if status.success() { Ok(()) } else { Err("cargo build failed".into()) }
}
