//! Counts instructions of the codec with valgrind's callgrind: figures that do not depend on what else the machine does.
//!
//! ```sh
//! cargo run --release -p benches --bin codec-instructions          # the table; needs valgrind
//! codec-instructions run decode log-request ours 10000             # one contestant, to be profiled
//! ```

use std::process::{Command, ExitCode};
use std::{env, io};

use benches::cases::{self, Case, Who};

/// Two runs, and the difference taken: what starting the process costs drops out.
const REPEATS: [u64; 2] = [100, 2_100];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        [] => table(),
        ["run", group, name, who, times] => run(group, name, who, times),
        _ => Err("usage: codec-instructions [run GROUP NAME WHO TIMES]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("codec-instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(group: &str, name: &str, who: &str, times: &str) -> Result<(), String> {
    let times = times.parse().map_err(|error| format!("{times}: {error}"))?;
    let found = cases::computed().into_iter().find(|case| case.group == group && case.name == name);
    let mut case = found.ok_or_else(|| format!("no case {group} {name}"))?;
    let found = case.contestants.iter_mut().find(|(found, _)| found.to_string() == who);
    let (_, work) = found.ok_or_else(|| format!("nobody called {who} in {group} {name}"))?;
    work(times);
    Ok(())
}

fn table() -> Result<(), String> {
    println!("Instructions per frame, counted by callgrind.\n");
    println!("| what | contestant | instructions | / limit |\n|---|---|---|---|");
    for case in cases::computed() {
        let mut limit = None;
        for (who, _) in &case.contestants {
            let count = per_frame(&case, *who)?;
            let limit = *limit.get_or_insert(count);
            println!("| {} {} | {who} | {count:.0} | {:.2} |", case.group, case.name, count / limit);
        }
    }
    Ok(())
}

fn per_frame(case: &Case, who: Who) -> Result<f64, String> {
    let [few, many] = REPEATS.map(|times| count(case, who, times));
    let frames = (REPEATS[1] - REPEATS[0]) * case.frames;
    Ok((many? - few?) as f64 / frames as f64)
}

/// Runs this program under callgrind.
fn count(case: &Case, who: Who, times: u64) -> Result<u64, String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["run", case.group, &case.name, &who.to_string(), &times.to_string()])
        .output()
        .map_err(|error: io::Error| format!("valgrind: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing: {log}"))
}
