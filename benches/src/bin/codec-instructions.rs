//! Counts instructions of the codec with valgrind's callgrind: results that do not depend on what else the machine
//! does.
//!
//! ```sh
//! cargo run --release -p benches --bin codec-instructions          # the table; needs valgrind
//! codec-instructions run decode log-request ours 10000             # one contestant, to be profiled
//! ```

use std::env;
use std::path::Path;
use std::process::ExitCode;

use benches::cases;
use benches::cli::{self, Error};
use benches::instructions::{per_frame, run};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    cli::exit(
        "codec-instructions",
        match args[..] {
            [] => table(),
            ["run", group, name, who, times] => times
                .parse()
                .map_err(|error| format!("{times}: {error}").into())
                .and_then(|times| run(group, name, who, times)),
            _ => Err("usage: codec-instructions [run GROUP NAME WHO TIMES]".into()),
        },
    )
}

fn table() -> Result<(), Error> {
    let this = env::current_exe()?;
    let programs = this.parent().unwrap_or(Path::new("."));
    println!("Instructions per frame, counted by callgrind.\n");
    println!("| what | contestant | instructions | / limit |\n|---|---|---|---|");
    for case in [cases::computed(), cases::strings(), cases::bursts()].into_iter().flatten() {
        let mut limit = None;
        for (who, _) in &case.contestants {
            let count = per_frame(programs, &case, *who)?;
            let limit = *limit.get_or_insert(count);
            println!("| {} {} | {who} | {count:.0} | {:.2} |", case.group, case.name, count / limit);
        }
    }
    Ok(())
}
