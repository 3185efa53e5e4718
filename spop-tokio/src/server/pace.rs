use spop::agent::Connection;
use tokio::time::{Duration, Instant};

/// How long HAProxy has to read what was sent, if nothing tells that it has. It reads within a millisecond unless the machine is
/// overloaded; with 10 ms it was too late now and then on a machine with many times more work than cores.
const PAUSE: Duration = Duration::from_millis(50);

/// Sends long answers in parts, as HAProxy from 3.1 is lost to us once it finds too much to read (wire pitfall P1).
///
/// A part is made of whole frames: of a frame that is not complete HAProxy keeps in its buffer what it has read. The next part
/// follows as soon as a request comes, which proves that an answer was read, or else after a pause.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// What is left of the part that is being sent; `out` has whole frames behind it.
    part: usize,
}

impl Pace {
    /// How many bytes of `out`, which `connection` wrote, may be sent now; 0 if HAProxy must read first.
    pub(super) fn allowance(&mut self, out: &[u8], connection: &Connection) -> usize {
        if self.part == 0 {
            self.part = connection.sendable(out);
        }
        self.part
    }

    /// Counts what was sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.part = self.part.saturating_sub(bytes);
    }

    /// When a pause that starts now is over: all that was sent has been read then.
    pub(super) fn pause_end() -> Instant {
        Instant::now() + PAUSE
    }
}
