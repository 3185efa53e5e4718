//! The log of agents: what a test may not find there.

use std::io;
use std::sync::{Arc, Mutex};

use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

/// What agents in this thread have logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Runs `work`, with all that it logs kept here.
    pub(crate) fn capture<T>(&self, work: impl FnOnce() -> T) -> T {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .with_writer(self.clone())
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, work)
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("never held in a panic");
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("never held in a panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of requests that failed, of whatever level: a kind of failure is warned of once a second. Nothing else is
/// above debug.
#[track_caller]
pub(crate) fn failed_requests(lines: &[String]) -> Vec<&str> {
    let is_failed = |line: &&str| line.contains("request failed");
    let others: Vec<_> = above_debug(lines).into_iter().filter(|line| !is_failed(line)).collect();
    assert_eq!(others, [""; 0]);
    lines.iter().map(String::as_str).filter(is_failed).collect()
}

/// The lines that are not of level debug: also those that are of no level, such as those of a panic. That an agent was
/// asked to stop is left out.
pub(crate) fn above_debug(lines: &[String]) -> Vec<&str> {
    let is_everyday = |line: &&str| {
        // A process puts the time before the level.
        line.split_whitespace().take(2).any(|word| word == "DEBUG") || line.contains("shutdown: waiting")
    };
    lines.iter().map(String::as_str).filter(|line| !is_everyday(line)).collect()
}
