//! Counts instructions with valgrind's callgrind: results that do not depend on what else the machine does.
//!
//! The counted program is `codec-instructions`, which runs one contestant as often as told.

use std::path::Path;
use std::process::Command;

use crate::cases::{self, Case, Who};
use crate::cli::Error;

/// About how many frames a contestant handles to be counted.
const FRAMES: u64 = 2_000;

/// Runs before those that count: buffers have their size after a few.
const WARM: u64 = 10;

/// Runs one contestant.
///
/// # Errors
/// If there is no such case or contestant.
pub fn run(group: &str, name: &str, who: &str, times: u64) -> Result<(), Error> {
    let mut all = cases::computed().into_iter().chain(cases::strings()).chain(cases::bursts());
    let found = all.find(|case| case.group == group && case.name == name);
    let mut case = found.ok_or_else(|| format!("no case {group} {name}"))?;
    let found = case.contestants.iter_mut().find(|(found, _)| found.to_string() == who);
    let (_, work) = found.ok_or_else(|| format!("nobody called {who} in {group} {name}"))?;
    work(times);
    Ok(())
}

/// Instructions of one frame of a case. `programs` is the folder with `codec-instructions`.
///
/// # Errors
/// If valgrind is not installed or fails.
pub fn per_frame(programs: &Path, case: &Case, who: Who) -> Result<f64, Error> {
    // Two runs, and the difference taken: what starting the process costs drops out.
    let times = (FRAMES / case.frames).max(WARM);
    let [few, many] = [WARM, WARM + times].map(|times| count(programs, case, who, times));
    Ok((many? - few?) as f64 / (times * case.frames) as f64)
}

fn count(programs: &Path, case: &Case, who: Who, times: u64) -> Result<u64, Error> {
    let program = programs.join("codec-instructions");
    count_instructions(&program, &["run", case.group, &case.name, &who.to_string(), &times.to_string()])
}

/// Instructions of one run of a program.
///
/// # Errors
/// If valgrind is not installed or fails.
pub fn count_instructions(program: &Path, args: &[&str]) -> Result<u64, Error> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(args)
        .output()
        .map_err(|error| format!("valgrind: {error}; install it, it counts the instructions"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let collected = log.lines().find_map(|line| line.split_once("Collected :"));
    let count = collected.and_then(|(_, count)| count.trim().parse().ok());
    Ok(count.ok_or_else(|| format!("valgrind counted nothing: {log}"))?)
}
