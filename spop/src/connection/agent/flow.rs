//! How much HAProxy from 3.1 is sent at a time.
//!
//! It never processes another frame of a connection once it finds its whole buffer full to read (wire pitfall P1),
//! and it never says what it has read. So what may be unread is counted here, and more is sent only on evidence that
//! it was read.
//!
//! HAProxy works in rounds. In each it polls; then it reads every connection that had something, ends requests whose
//! time is over or whose client has left, and starts new ones; in no fixed order, and without a word about those it
//! has given up. So a NOTIFY is no proof that an answer was read. There are three kinds of evidence that HAProxy has
//! read what was sent before a [`Mark`]:
//!
//! - It has sent more NOTIFYs since then than it can without reading. None of them counts that may have lain in our
//!   socket before.
//! - It has been seen running since then, and had time to end its round
//!   ([`Config::read_grace`](super::Config::read_grace)). A NOTIFY that came after the mark shows that, on any
//!   connection; it must have been sent after the bytes had arrived, so the mark must be half a grace old when our
//!   socket was last empty before it. With one request at a time it need not: it came because the last answer was
//!   read, or in the moment in which HAProxy gave that request up and the answer was under way.
//! - Nothing has come for fifty graces: there is nothing that it could send.
//!
//! What is unsound about the second is known. HAProxy may be stopped, by a signal or an overloaded machine, between a
//! NOTIFY and the next time it reads the connection, while an answer to a request that it gave up is under way. And the
//! second NOTIFY on a connection is taken for one that came alone, as HAProxy lets one request wait on a connection that
//! was never idle; but if the request for which it was opened is given up by the time of the HELLO, several come at once,
//! and a stop right then loses the connection: in 7 of 400,000 schedules of `tests/simulation`, which found nothing else.

use core::time::Duration;

use crate::Instant;
use crate::wire::{FrameType, LENGTH_PREFIX};

/// What HAProxy may have left unread.
#[derive(Debug)]
pub(super) struct FlowControl {
    /// The most that may be unread, in bytes.
    limit: u64,
    /// How many requests HAProxy lets wait.
    window: u32,
    /// The size of as many answers, each as long as the longest so far, in bytes.
    reserve: u64,
    grace: Duration,
    /// How many bytes the AGENT-HELLO has.
    hello: u64,
    /// How many bytes were sent.
    sent: u64,
    /// How many of them were read.
    read: u64,
    /// Waits for evidence.
    mark: Option<Mark>,
    /// The latest mark, behind the one that waits.
    next_mark: Option<Mark>,
    /// Since when nothing may be sent although there is something.
    blocked: Option<Instant>,
    /// When that was found last.
    tried: Instant,
    /// HAProxy lets one request wait once it has read so many bytes.
    narrowed_at: Option<u64>,
    /// Whether no more than one NOTIFY has come.
    fresh: bool,
}

/// A moment between two frames that were sent.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// How many bytes were sent by then.
    sent: u64,
    at: Instant,
    /// Whether nothing that HAProxy had sent was in our socket at some moment since then.
    drained: bool,
    /// The NOTIFYs since that moment.
    notifies: u32,
    /// When HAProxy was first seen running after this.
    seen: Option<Instant>,
}

impl FlowControl {
    /// How many requests HAProxy lets wait on a connection with pipelining.
    const WINDOW: u32 = 20;
    /// How often it can send as many before it reads: what was under way, what it starts in the round whose poll came
    /// too early, and what it starts in the next one before it comes to read.
    const WAVES: u32 = 3;
    /// How many times the grace HAProxy gets if it shows nothing at all.
    const SILENCE: u32 = 50;

    /// Creates the flow control for a HAProxy that offered `max_frame_size`: its `tune.bufsize` - 4, or less, which
    /// costs a pause where it need not be. It reads an AGENT-HELLO of `hello` bytes before it sends a NOTIFY.
    pub(super) fn new(max_frame_size: u32, hello: usize, pipelining: bool, grace: Duration) -> Self {
        Self {
            limit: Self::limit(max_frame_size),
            window: if pipelining { Self::WINDOW } else { 1 },
            reserve: 0,
            grace,
            hello: hello as u64,
            sent: 0,
            read: 0,
            mark: None,
            next_mark: None,
            blocked: None,
            tried: Instant::default(),
            narrowed_at: None,
            fresh: true,
        }
    }

    /// Returns whether a NOTIFY proves that HAProxy has given up the one before, if that is unanswered.
    #[inline]
    pub(super) fn is_one_at_a_time(&self) -> bool {
        self.window == 1
    }

    /// Returns whether HAProxy lets more than one request wait, and was not asked to stop that.
    #[inline]
    pub(super) fn is_wide(&self) -> bool {
        self.window > 1 && self.narrowed_at.is_none()
    }

    /// Returns whether the AGENT-HELLO, which is the first frame, was sent at least in part.
    #[inline]
    pub(super) fn has_sent_hello(&self) -> bool {
        self.sent > 0
    }

    /// Notes that HAProxy is asked to let one request wait, in the last of `queued` bytes.
    pub(super) fn narrow(&mut self, queued: usize) {
        self.narrowed_at = Some(self.sent + queued as u64);
    }

    /// Returns the most that a HAProxy that offered `max_frame_size` may have unread: one byte less than its buffer.
    fn limit(max_frame_size: u32) -> u64 {
        u64::from(max_frame_size) + LENGTH_PREFIX as u64 - 1
    }

    /// Returns whether a HAProxy that offered `max_frame_size` must not have a window of ACKs of `size` bytes unread.
    pub(super) fn is_too_long(size: usize, max_frame_size: u32) -> bool {
        size as u64 * u64::from(Self::WINDOW) > Self::limit(max_frame_size)
    }

    /// Expects ACKs of `size` bytes; returns whether HAProxy must not have a window of them unread.
    pub(super) fn expect(&mut self, size: usize) -> bool {
        self.reserve = size as u64 * u64::from(Self::WINDOW);
        self.reserve > self.limit
    }

    /// Returns whether `size` bytes can be sent and, if HAProxy lets several requests wait, answers to all of them
    /// after that.
    #[inline]
    pub(super) fn has_capacity(&self, size: usize) -> bool {
        let reserve = if self.is_wide() { self.reserve } else { 0 };
        self.sent - self.read + size as u64 + reserve <= self.limit
    }

    /// Returns whether more than half of what may be unread may be.
    #[inline]
    pub(super) fn needs_evidence(&self) -> bool {
        (self.sent - self.read) * 2 > self.limit
    }

    /// Returns whether HAProxy's buffer has capacity for `size` bytes, if all before were read.
    pub(super) fn fits(&self, size: usize) -> bool {
        size as u64 <= self.limit
    }

    /// Counts a NOTIFY that has come, with none in the socket at `drained`; `between_frames` if no frame was sent in
    /// part.
    #[inline]
    pub(super) fn notify(
        &mut self,
        drained: Option<Instant>,
        between_frames: bool,
        all_answered: bool,
        now: Instant,
    ) {
        // HAProxy lets one request wait on a connection that was never idle, so the second one comes as if it always
        // did; unless it comes beside the first, as the one before, which HAProxy gave up, was never sent.
        let mut one_at_a_time = self.window == 1;
        if self.read == 0 {
            // None comes before HAProxy has read the AGENT-HELLO; a second one may follow that.
            self.read = self.hello.min(self.sent);
        } else if self.fresh {
            self.fresh = false;
            one_at_a_time |= all_answered;
        }
        if let Some(mark) = &mut self.next_mark {
            mark.notifies += u32::from(mark.drained);
        }
        if let Some(mark) = &mut self.mark {
            mark.notifies += u32::from(mark.drained);
            if mark.notifies > Self::WAVES * self.window {
                self.read = mark.sent;
                self.mark = self.next_mark.take();
            }
        }
        if one_at_a_time {
            // It comes after the answer to the one before was read, or that one was given up: at most a round before
            // the answer is.
            if between_frames {
                self.mark(now);
            }
            self.seen(now, |_| true);
        } else if let Some(drained) = drained {
            self.ran(drained, now);
        }
        if self.narrowed_at.is_some() {
            self.take_evidence(now);
        }
    }

    /// Notes that a NOTIFY came although another has no answer yet. HAProxy gave that up, if it does let no more than
    /// one wait; and if it does let more wait, those that overlap may have been sent in one go.
    pub(super) fn overlap(&mut self) {
        self.blocked = None;
        self.forget_notifies();
    }

    fn forget_notifies(&mut self) {
        for mark in [&mut self.mark, &mut self.next_mark].into_iter().flatten() {
            mark.notifies = 0;
        }
    }

    /// Notes that all that HAProxy had sent by now was read and handled, and no frame was sent in part.
    #[inline]
    pub(super) fn input_drained(&mut self, now: Instant) {
        if self.mark.is_some_and(|mark| mark.is_over(self.grace, now)) {
            self.take_evidence(now);
        }
        self.mark(now);
        for mark in [&mut self.mark, &mut self.next_mark].into_iter().flatten() {
            mark.drained = true;
        }
        if self.narrowed_at.is_some_and(|at| at <= self.read) {
            self.narrowed();
        }
    }

    /// Waits for evidence that all that was sent by now was read, unless it does so already.
    #[inline]
    fn mark(&mut self, now: Instant) {
        let Self { window, sent, read, mark, next_mark, .. } = self;
        let known = next_mark.or(*mark).map_or(*read, |mark| mark.sent);
        if *sent > known {
            let new = Some(Mark { sent: *sent, at: now, drained: false, notifies: 0, seen: None });
            if mark.is_none() {
                *mark = new;
            } else if next_mark.is_none() || *window == 1 {
                // With more requests the one that is there must grow old.
                *next_mark = new;
            }
        }
    }

    /// Notes that HAProxy was seen running some time after `after`.
    #[inline]
    pub(super) fn ran(&mut self, after: Instant, now: Instant) {
        // What it sent before the bytes reached it may have been under way.
        let grace = self.grace / 2;
        self.seen(now, |mark| mark.at + grace <= after);
    }

    #[inline]
    fn seen(&mut self, now: Instant, since: impl Fn(&Mark) -> bool) {
        for mark in [&mut self.mark, &mut self.next_mark].into_iter().flatten() {
            if since(mark) {
                mark.seen.get_or_insert(now);
            }
        }
    }

    /// Notes that HAProxy lets one request wait from now on.
    #[cold]
    fn narrowed(&mut self) {
        self.narrowed_at = None;
        self.window = 1;
        // Those before may have been sent in one go.
        self.forget_notifies();
    }

    /// Counts `bytes` that were sent.
    #[inline]
    pub(super) fn transmitted(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        self.blocked = None;
    }

    /// Returns how many bytes of `out`, which starts with a whole frame, may be sent now, in whole frames: of a frame
    /// that is not complete HAProxy keeps in its buffer what it has read.
    pub(super) fn part(&mut self, out: &[u8], now: Instant) -> usize {
        self.take_evidence(now);
        let mut capacity = self.limit.saturating_sub(self.sent - self.read);
        let fits = |frame: &&[u8]| {
            let fits = frame.len() as u64 <= capacity;
            capacity = capacity.saturating_sub(frame.len() as u64);
            fits
        };
        let mut last = 0;
        let mut part = frames(out).take_while(fits).map(<[u8]>::len).inspect(|&len| last = len).sum();
        if self.sent > self.read && is_disconnect(&out[part..]) {
            // The ACK before it waits for it: a NOTIFY that comes between the two would be lost.
            part -= last;
        }
        if part == 0 && self.sent == self.read {
            // A DISCONNECT can be longer than the smallest buffer: it is the last frame, and alone.
            part = first_frame_len(out);
        }
        if part == 0 {
            self.blocked.get_or_insert(now);
            self.tried = now;
        }
        part
    }

    fn take_evidence(&mut self, now: Instant) {
        let is_over = |mark: &Option<Mark>| mark.is_some_and(|mark| mark.is_over(self.grace, now));
        if self.blocked.is_some_and(|since| since + self.grace.saturating_mul(Self::SILENCE) <= now) {
            self.read = self.sent;
            (self.mark, self.next_mark) = (None, None);
        } else if is_over(&self.next_mark) {
            self.read = self.next_mark.map_or(self.read, |mark| mark.sent);
            (self.mark, self.next_mark) = (None, None);
        } else if is_over(&self.mark) {
            self.read = self.mark.map_or(self.read, |mark| mark.sent);
            self.mark = self.next_mark.take();
        }
    }

    /// Returns when [`part`](Self::part) may return more, if it returned nothing.
    #[inline]
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let silence = self.blocked? + self.grace.saturating_mul(Self::SILENCE);
        let marks = [self.mark, self.next_mark].into_iter().flatten();
        let evidence = marks.filter_map(|mark| Some(mark.seen? + self.grace));
        // HAProxy may be seen running elsewhere.
        Some(evidence.fold(silence.min(self.tried + self.grace), Instant::min))
    }
}

impl Mark {
    /// Returns whether HAProxy has been seen running since, and then had time to end its round.
    fn is_over(&self, grace: Duration, now: Instant) -> bool {
        self.seen.is_some_and(|seen| seen + grace <= now)
    }
}

/// Returns the length of the frame that `out` starts with, its length prefix included.
pub(super) fn first_frame_len(out: &[u8]) -> usize {
    frames(out).next().map_or(0, <[u8]>::len)
}

/// Returns whether `out` starts with a DISCONNECT.
fn is_disconnect(out: &[u8]) -> bool {
    out.get(LENGTH_PREFIX) == Some(&FrameType::AGENT_DISCONNECT.0)
}

/// Returns the frames in `out`, each with its length prefix.
fn frames(mut out: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let len = u32::from_be_bytes(*out.first_chunk()?) as usize;
        let (frame, rest) = out.split_at_checked(LENGTH_PREFIX + len)?;
        out = rest;
        Some(frame)
    })
}
