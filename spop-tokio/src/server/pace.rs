use spop::LENGTH_PREFIX;
use spop::agent::Connection;
use tokio::time::{Duration, Instant};

/// How long HAProxy has to read what was sent. It reads within a millisecond unless the machine is overloaded; with 10 ms it was
/// too late now and then on a machine with many times more work than cores.
const PAUSE: Duration = Duration::from_millis(50);

/// Sends long answers in parts, as HAProxy from 3.1 is lost to us once it finds too much to read (wire pitfall P1).
///
/// Nothing tells us what HAProxy has read. That the last 20 ACKs are the only ones it may not have read keeps all but long
/// answers, of more than 800 bytes on average, out of this. Those leave in parts with a pause behind each. A part is made of
/// whole frames: of a frame that is not complete HAProxy keeps in its buffer what it has read.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Sent since the last pause; `None` if that was not counted, as it did not matter.
    unread: Option<usize>,
    /// What is left of the part that is being sent; `out` has whole frames behind it.
    part: usize,
}

impl Pace {
    /// How many bytes of `out`, which `connection` wrote, may be sent now.
    pub(super) fn allowance(&mut self, out: &[u8], connection: &Connection) -> usize {
        let limit = connection.unread_limit();
        if self.part == 0 && connection.max_unread() <= limit {
            self.unread = None;
            self.part = out.len();
        } else if self.part == 0 {
            let room = limit.saturating_sub(self.unread.unwrap_or(limit));
            self.part = whole_frames(out, room);
        }
        self.part
    }

    /// Counts what was sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.part = self.part.saturating_sub(bytes);
        self.unread = self.unread.map(|unread| unread + bytes);
    }

    /// When a pause that starts now is over.
    pub(super) fn pause_end() -> Instant {
        Instant::now() + PAUSE
    }

    /// The pause is over: what was sent has been read.
    pub(super) fn paused(&mut self) {
        self.unread = Some(0);
    }
}

/// Length of the frames at the start of `out` that fit into `room` together.
fn whole_frames(out: &[u8], room: usize) -> usize {
    let mut end = 0;
    while let Some(prefix) = out[end..].first_chunk::<LENGTH_PREFIX>() {
        let next = end + LENGTH_PREFIX + u32::from_be_bytes(*prefix) as usize;
        if next > room.min(out.len()) {
            break;
        }
        end = next;
    }
    end
}
