//! CPU time and memory of a process, from `/proc`.

use std::fs;
use std::time::Duration;

use crate::cli::Error;

/// A process that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

/// Resident memory in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Now.
    pub now: u64,
    /// At most so far.
    pub peak: u64,
}

impl Process {
    /// User and system time since it started, of all its threads.
    ///
    /// # Errors
    /// If it has ended.
    pub fn cpu(self) -> Result<Duration, Error> {
        let stat = self.read("stat")?;
        // The name in parentheses may have blanks and parentheses of its own.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
        let ticks: u64 =
            fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
    }

    /// What it holds now and has held at most.
    ///
    /// # Errors
    /// If it has ended.
    pub fn memory(self) -> Result<Memory, Error> {
        let status = self.read("status")?;
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        Ok(Memory { now: kib("VmRSS:"), peak: kib("VmHWM:") })
    }

    fn read(self, file: &str) -> Result<String, Error> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).map_err(|error| format!("process {}: {path}: {error}", self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_cpu_and_memory() {
        let this = Process(std::process::id());
        let before = this.cpu().unwrap();
        let mut sum = 0u64;
        while this.cpu().unwrap() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let memory = this.memory().unwrap();
        assert!(memory.now > 500 && memory.peak >= memory.now, "{} {}", memory.now, memory.peak);
    }
}
