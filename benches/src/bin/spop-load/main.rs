//! Puts an SPOP agent under load, in HAProxy's role, and checks every answer: see `--help`.

mod args;
mod link;
mod progress;
mod report;
mod run;
mod schedule;
mod stream;

use std::process::ExitCode;

use args::Args;
use benches::cli::{self, Error};
use lexopt::Parser;

fn main() -> ExitCode {
    cli::exit("spop-load", load())
}

fn load() -> Result<(), Error> {
    let Some(args) = Args::parse(Parser::from_env())? else {
        print!("{}", args::HELP);
        return Ok(());
    };
    let report = run::run(&args)?;
    if args.json {
        println!("{}", report.json(&args));
    } else {
        report.print(&args);
    }
    Ok(())
}
