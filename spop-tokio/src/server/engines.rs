//! What connections of one HAProxy know of each other.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::time::{Duration, Instant};

/// The HAProxys that a server has connections of, and what its connections share.
#[derive(Debug, Default)]
pub(super) struct Engines {
    /// The origin of time.
    start: OnceLock<Instant>,
    /// By engine id: one for each HAProxy process, or thread up to 3.0.
    known: Mutex<Vec<(Vec<u8>, Weak<Engine>)>>,
    /// The length of the longest ACK on any connection.
    longest_ack: AtomicUsize,
}

/// One HAProxy.
#[derive(Debug, Default)]
pub(super) struct Engine {
    /// The latest moment after which it was seen running, in nanoseconds since the origin; 0 is never.
    ran_after: AtomicU64,
}

impl Engines {
    /// Returns the origin of time, which is when this was asked first.
    pub(super) fn start(&self) -> Instant {
        *self.start.get_or_init(Instant::now)
    }

    /// Returns the engine of that id, which is known as long as there are connections of it.
    pub(super) fn engine(&self, id: &[u8]) -> Arc<Engine> {
        // Nothing in here panics halfway.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(_, engine)| engine.strong_count() > 0);
        let found = known.iter().find(|(known, _)| known == id).and_then(|(_, engine)| engine.upgrade());
        found.unwrap_or_else(|| {
            let engine = Arc::default();
            known.push((id.to_vec(), Arc::downgrade(&engine)));
            engine
        })
    }

    /// Tells of an ACK of `bytes` bytes, and returns how long the longest one is.
    #[inline]
    pub(super) fn longest_ack(&self, bytes: usize) -> usize {
        let longest = self.longest_ack.load(Ordering::Relaxed);
        if bytes > longest {
            self.longest_ack.fetch_max(bytes, Ordering::Relaxed);
        }
        longest.max(bytes)
    }
}

impl Engine {
    /// HAProxy was seen running after `moment`.
    #[inline]
    pub(super) fn seen_running_after(&self, moment: spop::Instant) {
        let nanos = u64::try_from(moment.since_origin().as_nanos()).unwrap_or(u64::MAX);
        if nanos > self.ran_after.load(Ordering::Relaxed) {
            self.ran_after.fetch_max(nanos, Ordering::Relaxed);
        }
    }

    /// Returns the latest moment after which HAProxy was seen running.
    pub(super) fn ran_after(&self) -> Option<spop::Instant> {
        let nanos = self.ran_after.load(Ordering::Relaxed);
        (nanos > 0).then(|| spop::Instant::from_origin(Duration::from_nanos(nanos)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> spop::Instant {
        spop::Instant::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn connections_of_one_engine_share_what_they_have_seen() {
        let engines = Engines::default();
        let (one, same, other) = (engines.engine(b"a"), engines.engine(b"a"), engines.engine(b"b"));
        one.seen_running_after(after(2));
        one.seen_running_after(after(1));
        assert_eq!((same.ran_after(), other.ran_after()), (Some(after(2)), None));
    }

    #[test]
    fn an_engine_without_connections_is_forgotten() {
        let engines = Engines::default();
        engines.engine(b"a").seen_running_after(after(1));
        assert_eq!(engines.engine(b"a").ran_after(), None);
        assert_eq!(engines.known.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_longest_ack_is_that_of_all() {
        let engines = Engines::default();
        assert_eq!([5, 3, 7, 0].map(|bytes| engines.longest_ack(bytes)), [5, 5, 7, 7]);
    }
}
