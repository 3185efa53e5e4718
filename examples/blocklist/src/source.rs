//! Where lists come from.

use std::fmt;
use std::sync::Arc;

use metrics::counter;
use spop_tokio::BoxError;
use tracing::{info, warn};

use crate::list::{Draft, List, now};
use crate::rule;

/// Has the entries, and knows when they change.
pub trait Source: fmt::Display + Send + 'static {
    /// Waits for the list that comes after `list`, and returns it; `None` if the source has just been asked, and `list` is
    /// still right. The first call brings a list as soon as there is one. It must come back within seconds, with `None` if
    /// nothing else: that is how the age of the list is known.
    ///
    /// # Errors
    /// If the source cannot be reached or makes no sense. It is asked again after a second.
    fn next(&mut self, list: &Arc<List>) -> impl Future<Output = Result<Option<List>, BoxError>> + Send;
}

/// How many entries that are wrong are told of, each in a line.
const SHOWN: usize = 10;

/// Takes in what a source has, and tells of what is wrong with it.
#[derive(Debug)]
pub struct Intake {
    draft: Draft,
    max_entries: usize,
    bad: usize,
}

impl Intake {
    /// Changes of `list`, which shall have at most `max_entries` then.
    pub fn new(list: &List, max_entries: usize) -> Self {
        Self { draft: Draft::new(list, max_entries), max_entries, bad: 0 }
    }

    /// Takes a line, as [`rule::parse`] reads it, which stands at `place`; with a time of expiry if it has none itself.
    pub fn set(&mut self, place: impl fmt::Display, line: &[u8], until: u32) {
        match std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned()).and_then(rule::parse) {
            Ok(Some((rule, mut entry))) => {
                entry.until = entry.until.min(until);
                self.draft.set(rule, entry);
            }
            Ok(None) => {}
            Err(error) => self.ignore(place, error),
        }
    }

    /// Removes the entry of a line's rule.
    pub fn remove(&mut self, place: impl fmt::Display, line: &[u8]) {
        match std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned()).and_then(rule::parse) {
            Ok(Some((rule, _))) => self.draft.remove(rule),
            Ok(None) => {}
            Err(error) => self.ignore(place, error),
        }
    }

    /// Tells of something that is no entry.
    pub fn ignore(&mut self, place: impl fmt::Display, error: impl fmt::Display) {
        self.bad += 1;
        if self.bad <= SHOWN {
            warn!("{place}: ignored: {error}");
        }
    }

    /// `list` with the changes.
    #[must_use]
    pub fn apply_to(self, list: &List) -> List {
        if self.bad > SHOWN {
            warn!("{} more that were ignored", self.bad - SHOWN);
        }
        let refused = self.draft.refused();
        if refused > 0 {
            let max = self.max_entries;
            warn!("the list is full: {refused} entries ignored, at most {max} are kept (--max-entries)");
        }
        counter!("blocklist_ignored_entries_total", "reason" => "bad").increment(self.bad as u64);
        counter!("blocklist_ignored_entries_total", "reason" => "full").increment(refused as u64);
        self.draft.apply_to(list, now())
    }
}

/// Says in the log what a load has brought.
pub(crate) fn loaded(source: &impl fmt::Display, list: &List) {
    info!(%source, entries = list.len(), bytes = list.bytes(), "list loaded");
}
