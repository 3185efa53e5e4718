//! Other rules than the core's, which must fail: they show that the model bites.

use spop::LENGTH_PREFIX;
use spop::agent::Connection;

use super::agent::instant;
use super::schedule::{MS, Time};

/// What decides how much is sent at a time.
pub(crate) enum Rule {
    /// The core.
    Core,
    /// The core, which leaves HAProxy no time to read.
    NoGrace,
    /// Nothing: all is sent at once.
    None(Vec<u8>),
    /// The rule that was: HAProxy has at most as many answers unread as there are requests missing here from 20, and
    /// has read everything after a pause of 50 ms.
    TwentyLessInFlight(Queue),
}

#[derive(Default)]
pub(crate) struct Queue {
    out: Vec<u8>,
    limit: usize,
    /// The sizes of the answers that may be unread, and of those in `out`.
    sent: Vec<usize>,
    queued: Vec<usize>,
    /// What may be sent of `out`.
    part: usize,
    blocked: Option<Time>,
}

impl Rule {
    pub(crate) fn none() -> Self {
        Self::None(Vec::new())
    }

    pub(crate) fn twenty_less_in_flight(bufsize: usize) -> Self {
        Self::TwentyLessInFlight(Queue { limit: bufsize - 1, ..Queue::default() })
    }

    /// Whether the core must not have its own rule.
    pub(crate) fn replaces_core(&self) -> bool {
        !matches!(self, Self::Core | Self::NoGrace)
    }

    /// Takes what the core has, and returns what may be sent.
    pub(crate) fn filter(&mut self, core: &mut Connection, in_flight: usize, now: Time) -> &[u8] {
        let out = match self {
            Self::Core | Self::NoGrace => return &[],
            Self::None(out) => out,
            Self::TwentyLessInFlight(queue) => &mut queue.out,
        };
        let bytes = core.poll_transmit(instant(now));
        let len = bytes.len();
        out.extend_from_slice(bytes);
        core.transmitted(len);
        match self {
            Self::TwentyLessInFlight(queue) => queue.part(len, in_flight, now),
            Self::None(out) => out,
            Self::Core | Self::NoGrace => &[],
        }
    }

    pub(crate) fn transmitted(&mut self, len: usize) {
        match self {
            Self::Core | Self::NoGrace => {}
            Self::None(out) => drop(out.drain(..len)),
            Self::TwentyLessInFlight(queue) => {
                queue.out.drain(..len);
                queue.part -= len;
            }
        }
    }

    pub(crate) fn retry_at(&self) -> Option<Time> {
        let Self::TwentyLessInFlight(queue) = self else { return None };
        queue.blocked.map(|since| since + 50 * MS)
    }
}

impl Queue {
    fn part(&mut self, new: usize, in_flight: usize, now: Time) -> &[u8] {
        let mut at = self.out.len() - new;
        while let Some(len) = self.out[at..].first_chunk() {
            let len = LENGTH_PREFIX + u32::from_be_bytes(*len) as usize;
            self.queued.push(len);
            at += len;
        }
        if self.part > 0 {
            return &self.out[..self.part];
        }
        if self.blocked.is_some_and(|since| since + 50 * MS <= now) {
            self.sent.clear();
        }
        let unread = 20_usize.saturating_sub(in_flight + self.queued.len()).min(self.sent.len());
        let mut unread: usize = self.sent[self.sent.len() - unread..].iter().sum();
        while let Some(&len) = self.queued.first()
            && unread + len <= self.limit
        {
            unread += len;
            self.part += len;
            self.sent.push(self.queued.remove(0));
        }
        self.blocked = if self.part > 0 || self.out.is_empty() { None } else { self.blocked.or(Some(now)) };
        &self.out[..self.part]
    }
}
