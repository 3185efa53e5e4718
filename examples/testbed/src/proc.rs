//! What Linux tells about processes under /proc.

use std::fs;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::process::Signal;

use crate::Error;

/// The processes of a group that are alive: zombies are left out, they only wait for their parent to look.
pub(crate) fn group_members(group: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| {
        // state, parent, group
        let Some(fields) = stat_fields(pid) else { return false };
        !matches!(fields[0].as_str(), "Z" | "X") && fields[2].parse() == Ok(group)
    })
    .collect()
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, Error> {
    let doing = format!("read the resident memory of process {pid}");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(Error::io(doing.clone()))?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    kib.map(|kib: u64| kib * 1024).ok_or(Error::Malformed(doing))
}

/// True if the process has a handler for a signal, and would run it now.
pub(crate) fn catches(pid: u32, signal: Signal) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return false };
    let is_in = |set: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(set)?.strip_prefix(':'));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        // Signals count from 1.
        mask.is_some_and(|mask| mask & (1 << (signal.as_raw() - 1)) != 0)
    };
    is_in("SigCgt") && !is_in("SigBlk")
}

/// Returns how long the first thread of a process has waited for a processor so far, while it could have run. It
/// includes a wait once that has ended.
pub fn cpu_wait(pid: u32) -> Result<Duration, Error> {
    let path = format!("/proc/{pid}/schedstat");
    let text = fs::read_to_string(&path).map_err(Error::io(format!("read {path}")))?;
    let nanos = text.split_whitespace().nth(1).and_then(|nanos| nanos.parse().ok());
    nanos.map(Duration::from_nanos).ok_or(Error::Malformed(format!("{path}: {text:?}")))
}

/// CPU time used so far, user and system, by all of its threads.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, Error> {
    let doing = || Error::Malformed(format!("/proc/{pid}/stat: process gone?"));
    let fields = stat_fields(pid).ok_or_else(doing)?;
    // utime and stime are fields 14 and 15 of stat(5), where the state is field 3.
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let total = ticks(14).zip(ticks(15)).map(|(user, system)| user + system).ok_or_else(doing)?;
    Ok(Duration::from_millis(total * 1000 / clock_ticks_per_second()))
}

/// The fields of /proc/PID/stat after the name (which may hold anything, blanks and brackets included): at least three.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_whitespace().map(str::to_owned).collect();
    (fields.len() >= 3).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_this_process() {
        let me = std::process::id();
        assert!(resident_bytes(me).unwrap() > 100_000);
        assert!(cpu_time(me).unwrap() < Duration::from_secs(3600));
        let group: u32 = stat_fields(me).unwrap()[2].parse().unwrap();
        assert!(group_members(group).contains(&me));
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(resident_bytes(u32::MAX).is_err());
        assert!(cpu_time(u32::MAX).is_err());
    }
}
