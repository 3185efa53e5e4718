//! Measures the library next to a hand-written limit and to the published `spop`, and writes `docs/performance.md`.
//!
//! ```sh
//! cargo run --release -p benches --bin compare             # prints the tables; 10 minutes
//! cargo run --release -p benches --bin compare -- --docs   # and rewrites docs/performance.md, its plots and results
//! ```

mod agent;
mod changes;
mod docs;
mod figures;
mod goals;
mod machine;
mod parts;
mod plot;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use benches::cli::{self, Error};
use lexopt::{Arg, Parser};

use figures::Figures;
use parts::{Options, PARTS, Part};

const HELP: &str = "\
Measures spop and spop-tokio next to a limit written by hand and to the published spop 0.13.1.

usage: compare [OPTIONS] [PART...]

  --rounds N        how often each contestant takes part; an odd number, default 5
  --seconds S       how long an agent is under load each time; default 1.2
  --quick           one round, 0.3 s each: to see that all of it works, not for the results
  --json FILE       keep all results of all rounds
  --against FILE    show what has changed since FILE, which --json has written
  --from FILE       measure nothing, take the results of FILE, which --json has written
  --docs            rewrite docs/performance.md, and its plots and results in docs/performance/; wants 5 rounds
  --no-build        take the programs as they are, instead of having cargo build them first
  --help

parts; without any, all but those that only come when asked for:

";

struct Args {
    parts: Vec<&'static Part>,
    rounds: usize,
    seconds: f64,
    json: Option<PathBuf>,
    against: Option<PathBuf>,
    from: Option<PathBuf>,
    docs: bool,
    build: bool,
}

fn main() -> ExitCode {
    cli::exit(
        "compare",
        parse(Parser::from_env()).and_then(|args| args.map_or(Ok(()), |args| compare(&args))),
    )
}

/// From the command line; `None` if help was asked for.
fn parse(mut parser: Parser) -> Result<Option<Args>, Error> {
    let (json, against, from) = (None, None, None);
    let mut args =
        Args { parts: Vec::new(), rounds: 5, seconds: 1.2, json, against, from, docs: false, build: true };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(name) => {
                let part = PARTS.iter().find(|part| name == part.name);
                args.parts.push(part.ok_or_else(|| format!("no part {}; see --help", name.display()))?);
            }
            Arg::Long("rounds") => args.rounds = cli::value::<usize>(&mut parser, "rounds")?.max(1),
            Arg::Long("seconds") => args.seconds = seconds(&mut parser)?,
            Arg::Long("quick") => (args.rounds, args.seconds) = (1, 0.3),
            Arg::Long("json") => args.json = Some(parser.value()?.into()),
            Arg::Long("against") => args.against = Some(parser.value()?.into()),
            Arg::Long("from") => args.from = Some(parser.value()?.into()),
            Arg::Long("docs") => args.docs = true,
            Arg::Long("no-build") => args.build = false,
            Arg::Long("help") | Arg::Short('h') => {
                print!("{HELP}");
                PARTS.iter().for_each(|part| println!("  {:<16}  {}", part.name, part.about));
                return Ok(None);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if args.parts.is_empty() {
        args.parts = PARTS.iter().filter(|part| part.by_default).collect();
    }
    Ok(Some(args))
}

fn seconds(parser: &mut Parser) -> Result<f64, Error> {
    let seconds: f64 = cli::value(parser, "seconds")?;
    if (0.1..=600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(format!("--seconds {seconds}: want 0.1 to 600").into())
    }
}

fn compare(args: &Args) -> Result<(), Error> {
    let before = args.against.as_deref().map(Figures::load).transpose()?;
    let figures = match &args.from {
        Some(file) => Figures::load(file)?,
        None => measure(args)?,
    };
    for part in PARTS.iter().filter(|part| !figures.part(part.name).is_empty()) {
        println!("{}\n", (part.report)(&figures).markdown);
    }
    println!("{}", goals::table(&figures));
    if let Some(before) = &before {
        println!("{}", changes::table(before, &figures));
    }
    if let Some(path) = &args.json {
        figures.save(path)?;
    }
    if args.docs { docs::rewrite(figures) } else { Ok(()) }
}

fn measure(args: &Args) -> Result<Figures, Error> {
    if let Some(load) = machine::load_average().filter(|load| *load > 1.0) {
        eprintln!(
            "compare: the machine does other things, too (load average {load}): latencies will be theirs, too"
        );
    }
    if args.build {
        build()?;
    }
    let programs = std::env::current_exe()?.parent().map(Path::to_path_buf).unwrap_or_default();
    let options = Options { rounds: args.rounds, seconds: args.seconds, programs };
    let mut figures = Figures::new();
    for part in &args.parts {
        (part.measure)(&options, &mut figures)?;
    }
    Ok(figures)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_parts_all_but_the_slow_ones_are_measured() {
        let parts = |args: &[&str]| -> Vec<_> {
            let args = parse(Parser::from_args(args)).unwrap().unwrap();
            args.parts.iter().map(|part| part.name).collect()
        };
        assert_eq!(parts(&["cold-build"]), ["cold-build"]);
        let all = parts(&["--quick"]);
        assert!(all.contains(&"agents") && !all.contains(&"cold-build"), "{all:?}");
    }

    #[test]
    fn nonsense_is_refused() {
        for (args, want) in [(&["nothing"][..], "no part nothing"), (&["--seconds", "-1"], "--seconds -1")] {
            let error = parse(Parser::from_args(args)).err().unwrap().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
