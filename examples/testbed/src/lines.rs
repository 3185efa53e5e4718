//! Lines of text that a process keeps producing: all so far, and the next that is awaited.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::Error;

/// Oldest lines are forgotten past this many, so that a chatty process cannot eat the memory.
const MAX_LINES: usize = 100_000;
/// A longer line is cut into several.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// How many of the last lines an error shows.
const LINES_IN_ERROR: usize = 40;

/// Everything a process has written so far, line by line, and a way to wait for more. Clones share the lines.
///
/// Lines are numbered from 0. A *mark* is such a number: [`Lines::mark`] taken before an action, given to
/// [`Lines::wait_for_since`] after it, ignores what had been written earlier.
#[derive(Clone, Debug)]
pub struct Lines {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    /// Wakes the waiters; the data itself stays under the lock.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    forgotten: usize,
    sources: usize,
    ended: bool,
}

impl Lines {
    pub(crate) fn new() -> Self {
        let shared = Shared { kept: Mutex::default(), changed: watch::Sender::new(()) };
        Self { shared: Arc::new(shared) }
    }

    /// All lines so far.
    pub fn all(&self) -> Vec<String> {
        self.since(0)
    }

    /// The lines from `mark` on.
    pub fn since(&self, mark: usize) -> Vec<String> {
        let kept = self.lock();
        let skip = mark.saturating_sub(kept.forgotten);
        kept.lines.iter().skip(skip).cloned().collect()
    }

    /// The number that the next line will have.
    pub fn mark(&self) -> usize {
        let kept = self.lock();
        kept.forgotten + kept.lines.len()
    }

    /// Waits for a line that `wanted` accepts, earlier lines included, and returns it.
    /// `what` names it in the error, if it does not come before `deadline` has passed.
    ///
    /// `wanted` runs while the lines are locked, so it must not ask these `Lines` for anything.
    pub async fn wait_for(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl FnMut(&str) -> bool,
    ) -> Result<String, Error> {
        self.wait_for_since(0, what, deadline, wanted).await
    }

    /// The same for lines from `mark` on.
    pub async fn wait_for_since(
        &self,
        mark: usize,
        what: &str,
        deadline: Duration,
        wanted: impl FnMut(&str) -> bool,
    ) -> Result<String, Error> {
        match timeout(deadline, self.search(mark, wanted)).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(Error::Ended { awaited: what.to_owned(), status: None, seen: self.tail() }),
            Err(_) => Err(Error::Deadline { awaited: what.to_owned(), after: deadline, seen: self.tail() }),
        }
    }

    /// Waits until there is a line `mark`, or `at_most` has passed; which of the two is not told.
    pub(crate) async fn changed_since(&self, mark: usize, at_most: Duration) {
        let _ = timeout(at_most, self.search(mark, |_| true)).await;
    }

    /// The last lines, for an error.
    pub(crate) fn tail(&self) -> String {
        self.since(self.mark().saturating_sub(LINES_IN_ERROR)).join("\n")
    }

    pub(crate) fn push(&self, line: &[u8]) {
        let mut kept = self.lock();
        if kept.lines.len() == MAX_LINES {
            kept.lines.pop_front();
            kept.forgotten += 1;
        }
        kept.lines.push_back(String::from_utf8_lossy(line).trim_end().to_owned());
        drop(kept);
        self.shared.changed.send_replace(());
    }

    /// Adds everything that `source` returns until its end.
    ///
    /// In a thread of its own: HAProxy drops logs, and an agent blocks, when a pipe is full, and a test that keeps
    /// its runtime busy must cause neither. The thread ends with the pipe.
    pub(crate) fn follow(&self, source: impl Read + Send + 'static) -> Result<(), Error> {
        self.lock().sources += 1;
        let lines = self.clone();
        let read_all = move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while matches!(source.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line), Ok(1..)) {
                lines.push(&line);
                line.clear();
            }
            lines.source_ended();
        };
        let thread = thread::Builder::new().name("testbed-lines".to_owned());
        thread.spawn(read_all).map(drop).map_err(Error::io("start a thread that reads output"))
    }

    /// The first line from `next` on that is wanted, waiting for it; `None` if all sources ended without it.
    async fn search(&self, mut next: usize, mut wanted: impl FnMut(&str) -> bool) -> Option<String> {
        let mut changes = self.shared.changed.subscribe();
        loop {
            changes.mark_unchanged();
            {
                let kept = self.lock();
                let skip = next.saturating_sub(kept.forgotten);
                if let Some(found) = kept.lines.iter().skip(skip).find(|line| wanted(line)) {
                    return Some(found.clone());
                }
                if kept.ended {
                    return None;
                }
                next = next.max(kept.forgotten + kept.lines.len());
            }
            changes.changed().await.ok()?;
        }
    }

    fn source_ended(&self) {
        let mut kept = self.lock();
        kept.sources -= 1;
        kept.ended = kept.sources == 0;
        drop(kept);
        self.shared.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A predicate that panicked in a test left the lines whole.
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn finds_earlier_and_later_lines_and_honours_marks() {
        let lines = Lines::new();
        lines.push(b"one\n");
        assert_eq!(lines.wait_for("one", SOON, |l| l == "one").await.unwrap(), "one");
        let mark = lines.mark();
        let waiter = tokio::spawn({
            let lines = lines.clone();
            async move { lines.wait_for_since(mark, "another one", SOON, |l| l.contains("one")).await }
        });
        tokio::task::yield_now().await;
        lines.push(b"two\n");
        lines.push(b"one more\n");
        assert_eq!(waiter.await.unwrap().unwrap(), "one more");
        assert_eq!(lines.since(mark), ["two", "one more"]);
    }

    #[tokio::test]
    async fn says_what_was_awaited() {
        let lines = Lines::new();
        lines.push(b"something else");
        let error = lines.wait_for("the sun", Duration::from_millis(1), |_| false).await.unwrap_err();
        assert!(error.is_deadline());
        let text = error.to_string();
        assert!(text.contains("the sun") && text.contains("something else"), "{text}");
    }

    #[tokio::test]
    async fn a_source_that_ended_ends_the_wait() {
        let lines = Lines::new();
        lines.follow(&b"first\nsecond without end"[..]).unwrap();
        let error = lines.wait_for("a third", SOON, |l| l == "third").await.unwrap_err();
        assert!(matches!(error, Error::Ended { .. }), "{error}");
        assert_eq!(lines.all(), ["first", "second without end"]);
    }

    #[test]
    fn forgets_the_oldest_but_keeps_the_numbers() {
        let lines = Lines::new();
        for n in 0..MAX_LINES + 5 {
            lines.push(n.to_string().as_bytes());
        }
        assert_eq!(lines.mark(), MAX_LINES + 5);
        assert_eq!(lines.since(MAX_LINES + 3), [(MAX_LINES + 3).to_string(), (MAX_LINES + 4).to_string()]);
        assert_eq!(lines.all()[0], "5");
    }
}
