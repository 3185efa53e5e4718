//! The rules in use, and reading them again.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::metrics::count_reload;
use crate::rules::Rules;

/// How often the file is looked at. It is read once it has stayed the same from one look to the next, so that a file
/// that is being written is not taken for a short one.
const INTERVAL: Duration = Duration::from_secs(1);

/// The rules in use.
#[derive(Debug)]
pub struct Current(RwLock<Arc<Rules>>);

impl Current {
    /// Starts with `rules`.
    pub fn new(rules: Rules) -> Self {
        Self(RwLock::new(Arc::new(rules)))
    }

    /// The rules, to decide one request with.
    pub fn get(&self) -> Arc<Rules> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}

/// What tells one version of a file from another.
type Stamp = Option<(SystemTime, u64, u64)>;

async fn stamp(file: &Path) -> Stamp {
    let metadata = tokio::fs::metadata(file).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// Reads `file` again whenever it has changed, and at `hangup`, at once. If it cannot be used, the rules stay, and the
/// log says why. Ends never.
pub async fn watch(file: Option<PathBuf>, current: Arc<Current>, mut hangup: Signal) {
    let Some(file) = file else {
        // SIGHUP would end a process that does not listen to it.
        while hangup.recv().await.is_some() {
            info!("no rules to read again: they are built in (see --rules)");
        }
        return;
    };
    let mut used = stamp(&file).await;
    let mut seen = used;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let asked = tokio::select! {
            Some(()) = hangup.recv() => true,
            _ = ticks.tick() => false,
        };
        let now = stamp(&file).await;
        if asked || (now != used && now == seen) {
            used = now;
            read(&file, &current).await;
        }
        seen = now;
    }
}

async fn read(file: &Path, current: &Current) {
    let path = file.to_owned();
    let loaded = tokio::task::spawn_blocking(move || Rules::load(Some(&path))).await;
    match loaded.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(rules) => {
            current.set(rules);
            count_reload("ok");
            info!(file = %file.display(), "rules read again");
        }
        Err(error) => {
            count_reload("failed");
            warn!("the rules stay as they are: {error}");
        }
    }
}
