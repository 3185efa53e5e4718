//! Checks an agent against SPOE.txt and against what HAProxy does: see the README beside it.

use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::*;
use testbed::check::{self, Case, Level, Outcome, Probe, Target};

const USAGE: &str = "\
Plays HAProxy to an agent, good and bad, and tells what it does wrong.

Usage: spop-check [OPTIONS] ADDRESS

  ADDRESS              the agent: HOST:PORT or unix:PATH

      --message NAME   the message to send (default check-client-ip, with ip=127.0.0.1)
      --arg NAME=VALUE an argument of it, in HAProxy's order; NAME may be left out. VALUE is an address, a number, true,
                       false, null, or else a string; str:VALUE is a string always
      --timeout SECS   how long to wait for whatever must come (default 2)
      --filter TEXT    only cases with TEXT in their names
      --strict         what an agent SHOULD do counts like what it MUST do
      --list           print the cases, and check nothing
  -h, --help           print this text

Exit code: 0 if all is well, 1 if not, 2 if this command line is wrong.";

/// What every agent must take, the length prefix included.
const SMALLEST_FRAME: usize = 260;

#[derive(Default)]
struct Options {
    address: Option<String>,
    message: Option<String>,
    args: Vec<String>,
    timeout: Option<Duration>,
    filter: String,
    strict: bool,
    list: bool,
}

impl Options {
    fn parse() -> Result<Self, lexopt::Error> {
        let mut options = Self::default();
        let mut parser = lexopt::Parser::from_env();
        while let Some(option) = parser.next()? {
            match option {
                Long("message") => options.message = Some(parser.value()?.string()?),
                Long("arg") => options.args.push(parser.value()?.string()?),
                Long("timeout") => options.timeout = Some(parser.value()?.parse_with(seconds)?),
                Long("filter") => options.filter = parser.value()?.string()?,
                Long("strict") => options.strict = true,
                Long("list") => options.list = true,
                Short('h') | Long("help") => {
                    println!("{USAGE}");
                    std::process::exit(0);
                }
                Value(address) if options.address.is_none() => options.address = Some(address.string()?),
                _ => return Err(option.unexpected()),
            }
        }
        if options.address.is_none() && !options.list {
            return Err("no ADDRESS given".into());
        }
        Ok(options)
    }

    fn probe(&self) -> Probe {
        let probe = match &self.message {
            Some(name) => Probe::new(name),
            None if self.args.is_empty() => return Probe::default(),
            None => Probe::new(Probe::default().name()),
        };
        self.args.iter().fold(probe, |probe, arg| probe.arg(arg))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "want a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(timeout) if !timeout.is_zero() => Ok(timeout),
        _ => Err("want a number of seconds above 0".into()),
    }
}

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("spop-check: {error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let probe = options.probe();
    let size = probe.notify(1, 1).len();
    if size > SMALLEST_FRAME {
        eprintln!(
            "spop-check: a request of {size} bytes fits no small frame; choose a message of up to 240 bytes"
        );
        return ExitCode::from(2);
    }
    let mut cases = check::cases(&probe);
    cases.retain(|case| case.name.contains(&options.filter));
    if cases.is_empty() {
        eprintln!("spop-check: no case has {:?} in its name; --list prints the names", options.filter);
        return ExitCode::from(2);
    }
    match &options.address {
        Some(address) if !options.list => run(&cases, address, &options),
        _ => {
            for case in cases {
                println!("{:<6}  {:<44}  {}", case.level, case.name, case.basis);
            }
            ExitCode::SUCCESS
        }
    }
}

/// One line a case, and the sum.
fn run(cases: &[Case], address: &str, options: &Options) -> ExitCode {
    let mut target = Target::new(address);
    if let Some(timeout) = options.timeout {
        target = target.timeout(timeout);
    }
    if let Err(error) = target.connect() {
        eprintln!("spop-check: cannot connect to {address}: {error}");
        return ExitCode::FAILURE;
    }
    let (mut passed, mut failed, mut weak, mut skipped) = (0, 0, 0, 0);
    for case in cases {
        let (count, mark, text) = match case.run(&target) {
            Outcome::Passed => (&mut passed, "ok", String::new()),
            Outcome::Failed(Level::Must, text) => (&mut failed, "FAIL", format!("  {text}")),
            Outcome::Failed(Level::Should, text) => (&mut weak, "should", format!("  {text}")),
            Outcome::NotApplicable(reason) => (&mut skipped, "n-a", format!("  {reason}")),
        };
        *count += 1;
        println!("{mark:<6}  {:<44}  [{}]{text}", case.name, case.basis);
    }
    println!("\n{passed} ok, {failed} FAIL, {weak} should, {skipped} n-a");
    if failed > 0 || options.strict && weak > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
