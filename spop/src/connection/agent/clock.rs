use core::time::Duration;

use super::Config;
use crate::Instant;

/// How long HAProxy has to read that it is to send one request at a time. It takes a millisecond, unless the machine is
/// overloaded.
pub(super) const SETTLE: Duration = Duration::from_millis(100);
/// A connection without a frame for that long is quiet: it is not worth the memory that bursts took, and most likely no
/// NOTIFY comes at the very moment it is closed. HAProxy goes on with the connection it has used last, so busy ones are
/// not quiet.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// How long to wait for the peer to take our DISCONNECT and close, so that it is not lost to a reset.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// The moments that matter to a connection; the lifecycle says when each counts.
#[derive(Debug)]
pub(super) struct Clock {
    /// The latest time that is known.
    pub(super) now: Instant,
    /// Nothing is due before this, but for what `stalled` and flow control say. Putting a moment off, which happens
    /// with every frame, leaves it alone: it is looked at too early then, and computed anew.
    pub(super) bound: Instant,
    /// When the HELLO is overdue.
    pub(super) hello: Instant,
    /// When the connection is to be drained.
    pub(super) age: Option<Instant>,
    /// When a frame came or bytes were sent last.
    pub(super) active: Instant,
    /// Whether the connection is known to be quiet since then.
    pub(super) quiet: bool,
    /// Since when the peer has not taken what is to be sent.
    pub(super) stalled: Option<Instant>,
    /// When HAProxy has read that it is to send one NOTIFY at a time.
    pub(super) settled: Option<Instant>,
    /// When the drain must be over.
    pub(super) deadline: Option<Instant>,
    /// Whether it was over before, and the deadline has become the end of the second after it.
    pub(super) cut: bool,
    /// When the connection is closed, whether the peer has taken the last bytes or not.
    pub(super) linger: Instant,
}

impl Clock {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            now,
            bound: now,
            hello: now + config.hello_timeout,
            age: config.max_connection_age.map(|age| now + age),
            active: now,
            quiet: false,
            stalled: None,
            settled: None,
            deadline: None,
            cut: false,
            linger: now,
        }
    }

    /// Notes that the connection is not quiet.
    #[inline]
    pub(super) fn touch(&mut self) {
        self.active = self.now;
        if self.quiet {
            self.quiet = false;
            self.bound = self.bound.min(self.now);
        }
    }
}
