//! The list in use, and what replaces it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::list::List;
use crate::source::Source;

/// After a failure of the source.
const RETRY: Duration = Duration::from_secs(1);

/// How often the log says that the source still fails.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(60);

const AGE_INTERVAL: Duration = Duration::from_secs(1);

/// The list in use.
#[derive(Debug)]
pub struct Current {
    list: RwLock<Option<Arc<List>>>,
    started: Instant,
    /// When the source last confirmed the list, in milliseconds since `started`.
    confirmed: AtomicU64,
    tried: watch::Sender<bool>,
}

impl Current {
    /// No list is known yet.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            list: RwLock::new(None),
            started: Instant::now(),
            confirmed: AtomicU64::new(0),
            tried: watch::Sender::new(false),
        }
    }

    /// Looks something up in the list, `None` until there is one. `look_up` should be short: a new list waits for it.
    ///
    /// The lock is held to write only while one pointer is exchanged for another, so nobody waits for a list to be made,
    /// nor for an old one to be freed.
    #[inline]
    pub fn with<T>(&self, look_up: impl FnOnce(Option<&List>) -> T) -> T {
        look_up(self.list.read().unwrap_or_else(PoisonError::into_inner).as_deref())
    }

    /// Makes `list` the one to look up in. Returns the one before.
    pub fn replace(&self, list: Arc<List>) -> Option<Arc<List>> {
        self.list.write().unwrap_or_else(PoisonError::into_inner).replace(list)
    }

    /// The list, to make the next one of it: empty if there is none.
    fn list(&self) -> Arc<List> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// How long ago the source was last known to agree with the list; since the start, if it never was.
    pub fn age(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.confirmed.load(Ordering::Relaxed)))
    }

    /// Waits until the source has brought a list, or has failed to.
    pub async fn tried(&self) {
        // The sender is a part of this value.
        let _ = self.tried.subscribe().wait_for(|&tried| tried).await;
    }

    fn confirm(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.confirmed.store(elapsed, Ordering::Relaxed);
        self.tried.send_replace(true);
    }
}

/// Keeps `current` as `source` has it. While the source fails, the last list stays, and the log says so once a minute.
/// Never returns.
pub async fn follow(mut source: impl Source, current: Arc<Current>) {
    describe();
    tokio::spawn(show_age(current.clone()));
    let mut failing: Option<Instant> = None;
    loop {
        let list = current.list();
        match source.next(&list).await {
            Ok(next) => {
                if failing.take().is_some() {
                    info!(%source, "the source is back");
                }
                if let Some(next) = next {
                    counter!("blocklist_updates_total").increment(1);
                    gauge!("blocklist_entries").set(next.len() as f64);
                    gauge!("blocklist_bytes").set(next.bytes() as f64);
                    let old = current.replace(Arc::new(next));
                    // To free a million texts takes a while.
                    spawn_blocking(move || drop((old, list)));
                }
                current.confirm();
            }
            Err(error) => {
                counter!("blocklist_source_failures_total").increment(1);
                if failing.is_none_or(|logged| logged.elapsed() >= COMPLAINT_INTERVAL) {
                    let age = current.age().as_secs();
                    warn!(%source, age, "the list stays as it is: {error}");
                    failing = Some(Instant::now());
                }
                current.tried.send_replace(true);
                sleep(RETRY).await;
            }
        }
    }
}

async fn show_age(current: Arc<Current>) {
    let age = gauge!("blocklist_age_seconds");
    loop {
        age.set(current.age().as_secs_f64());
        sleep(AGE_INTERVAL).await;
    }
}

fn describe() {
    describe_gauge!("blocklist_age_seconds", Unit::Seconds, "Time since the source last confirmed the list");
    describe_gauge!("blocklist_entries", "Entries of the list");
    describe_gauge!("blocklist_bytes", Unit::Bytes, "Memory that the list takes");
    describe_counter!("blocklist_updates_total", "Lists that replaced another");
    describe_counter!("blocklist_source_failures_total", "Tries to reach the source that failed");
    describe_counter!("blocklist_ignored_entries_total", "Entries that were not taken, by reason");
    describe_counter!("blocklist_checks_total", "Requests, by what the list says of them");
}
