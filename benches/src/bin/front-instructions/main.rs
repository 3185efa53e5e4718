//! Counts the instructions of a request, a `Router` next to a hand-written `Service`, with valgrind's callgrind.
//!
//! ```sh
//! cargo run --release -p benches --bin front-instructions          # the table; needs valgrind
//! front-instructions run router-async 1000                         # one of them, to be profiled
//! ```

mod front;

use std::env;
use std::process::ExitCode;

use benches::cli::{self, Error};
use benches::instructions::count_instructions;

use crate::front::{Agent, BURST, Front};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    cli::exit(
        "front-instructions",
        match args[..] {
            [] => table(),
            ["run", agent, bursts] => run(agent, bursts),
            _ => Err("usage: front-instructions [run AGENT BURSTS]".into()),
        },
    )
}

fn run(agent: &str, bursts: &str) -> Result<(), Error> {
    let found = Agent::ALL.into_iter().find(|known| known.to_string() == agent);
    Front::new(found.ok_or_else(|| format!("no agent {agent}"))?)?.run(bursts.parse()?)
}

fn table() -> Result<(), Error> {
    const FEW: u64 = 10;
    const MORE: u64 = 200;
    let this = env::current_exe()?;
    println!("Instructions per request, server and client, in bursts of {BURST}, counted by callgrind.\n");
    println!("| agent | instructions | / service |\n|---|---|---|");
    let mut service = None;
    for agent in Agent::ALL {
        // Two runs, and the difference taken: what starting the process costs drops out.
        let count =
            |bursts: u64| count_instructions(&this, &["run", &agent.to_string(), &bursts.to_string()]);
        let each = (count(FEW + MORE)? - count(FEW)?) as f64 / (MORE * BURST) as f64;
        println!("| {agent} | {each:.0} | {:.2} |", each / *service.get_or_insert(each));
    }
    Ok(())
}
