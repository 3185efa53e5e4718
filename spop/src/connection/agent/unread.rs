use crate::{FrameType, LENGTH_PREFIX};

/// What HAProxy from 3.1 can have left unread of our ACKs, with pipelining.
///
/// It lets 20 requests wait on a connection, and each waits until its ACK is read. So a request that waits here, or whose
/// ACK has not been sent yet, is one ACK less that can be unread; and as a stream is read in order, the unread ones are the
/// last ones that were sent. A NOTIFY that comes in thus proves that an ACK was read, if HAProxy has so many waiting. Once it
/// lets one wait at a time, each proves that all were, and this is not needed any more.
#[derive(Debug)]
pub(super) struct Unread {
    /// Of the last ACKs that were written: that of number n is at n modulo the window.
    sizes: [u32; Self::WINDOW],
    /// The sum of them.
    total: usize,
    /// How many ACKs were written.
    written: usize,
    /// How many of them have been read for certain: HAProxy was given time.
    read: usize,
    limit: usize,
    window: Window,
}

/// How many requests HAProxy lets wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Window {
    Full,
    /// It is asked to let one wait.
    Narrowing,
    /// It has had time to read that.
    Narrow,
}

impl Unread {
    /// How many requests HAProxy from 3.1 has waiting on one connection at most.
    const WINDOW: usize = 20;

    /// For a HAProxy that offered `max_frame_size`: by default its `tune.bufsize` - 4, and never more. A smaller one may have been
    /// set by hand, so half of HAProxy's default buffer is taken for granted.
    pub(super) fn new(max_frame_size: u32) -> Self {
        let limit = (max_frame_size as usize).saturating_add(3).max(8191);
        Self { sizes: [0; Self::WINDOW], total: 0, written: 0, read: 0, limit, window: Window::Full }
    }

    /// An ACK of `size` bytes, its length prefix included, was written.
    #[inline]
    pub(super) fn add(&mut self, size: usize) {
        let oldest = &mut self.sizes[self.written % Self::WINDOW];
        self.total = self.total + size - *oldest as usize;
        *oldest = size as u32;
        self.written += 1;
    }

    /// Another frame of `size` bytes was written. It takes room as a part of the ACK before: no request waits for it.
    pub(super) fn add_other(&mut self, size: usize) {
        self.sizes[self.written.wrapping_sub(1) % Self::WINDOW] += size as u32;
        self.total += size;
    }

    /// How many bytes of `out`, which starts with a whole frame, can be sent without HAProxy finding more than the limit to
    /// read, while `in_flight` requests wait here.
    #[inline]
    pub(super) fn sendable(&self, out: &[u8], in_flight: usize) -> usize {
        // Nearly always: even if none of the last ones has been read.
        if self.total <= self.limit { out.len() } else { self.part(out, in_flight) }
    }

    #[cold]
    fn part(&self, out: &[u8], in_flight: usize) -> usize {
        let queued = acks(out);
        let sent = self.written.saturating_sub(queued);
        let unread = match Self::WINDOW.checked_sub(in_flight + queued) {
            Some(unread) => unread.min(sent - self.read),
            // HAProxy has given some requests up, so those that wait here prove nothing.
            None if sent > self.read => return 0,
            None => 0,
        };
        let size = |number: usize| self.sizes[number % Self::WINDOW] as usize;
        let mut room = self.limit.saturating_sub((sent - unread..sent).map(size).sum());
        let part = frames(out).map(<[u8]>::len).take_while(|&len| {
            let fits = len <= room;
            room = room.saturating_sub(len);
            fits
        });
        part.sum()
    }

    /// HAProxy is asked to let one request wait at a time.
    pub(super) fn narrow(&mut self) {
        self.window = Window::Narrowing;
    }

    /// Whether it has read that; requests that it sent before may still wait.
    #[inline]
    pub(super) fn is_narrow(&self) -> bool {
        self.window == Window::Narrow
    }

    /// HAProxy was given time to read all but `out`.
    pub(super) fn assume_read(&mut self, out: &[u8]) {
        let queued = acks(out);
        self.read = self.written.saturating_sub(queued);
        // Nothing else is in `out`, such as that it is asked to.
        if self.window == Window::Narrowing && queued == frames(out).count() {
            self.window = Window::Narrow;
        }
    }
}

fn acks(out: &[u8]) -> usize {
    frames(out).filter(|frame| frame.get(LENGTH_PREFIX) == Some(&FrameType::ACK.0)).count()
}

/// The frames in `out`, each with its length prefix.
fn frames(mut out: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let len = u32::from_be_bytes(*out.first_chunk()?) as usize;
        let (frame, rest) = out.split_at_checked(LENGTH_PREFIX + len)?;
        out = rest;
        Some(frame)
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const LIMIT: usize = 16_383;

    /// An `Unread` and what is to be sent.
    struct Bench {
        unread: Unread,
        out: Vec<u8>,
    }

    impl Bench {
        fn new() -> Self {
            Self { unread: Unread::new(16_380), out: Vec::new() }
        }

        fn write(&mut self, frames: usize, size: usize) {
            for _ in 0..frames {
                self.unread.add(size);
                self.put(FrameType::ACK, size);
            }
        }

        fn write_other(&mut self, kind: FrameType, size: usize) {
            self.unread.add_other(size);
            self.put(kind, size);
        }

        fn put(&mut self, kind: FrameType, size: usize) {
            self.out.extend(((size - LENGTH_PREFIX) as u32).to_be_bytes());
            self.out.push(kind.0);
            self.out.resize(self.out.len() + size - LENGTH_PREFIX - 1, 0);
        }

        /// Sends what can be, and gives how much that was.
        fn send(&mut self, in_flight: usize) -> usize {
            let part = self.unread.sendable(&self.out, in_flight);
            self.out.drain(..part);
            part
        }
    }

    #[test]
    fn a_window_of_819_bytes_each_leaves_at_once_and_of_820_does_not() {
        for (size, sent) in [(819, 20 * 819), (820, 19 * 820)] {
            let mut bench = Bench::new();
            bench.write(20, size);
            assert_eq!(bench.send(0), sent);
        }
    }

    #[test]
    fn nothing_leaves_behind_a_full_buffer_until_time_was_given() {
        let mut bench = Bench::new();
        bench.write(20, 2_000);
        assert_eq!(bench.send(0), 8 * 2_000);
        assert_eq!(bench.send(0), 0);
        bench.unread.assume_read(&bench.out);
        assert_eq!(bench.send(0), 8 * 2_000);
        bench.unread.assume_read(&bench.out);
        assert_eq!(bench.send(0), 4 * 2_000);
        assert!(bench.out.is_empty());
    }

    #[test]
    fn each_request_that_comes_in_proves_that_an_answer_was_read() {
        let mut bench = Bench::new();
        bench.write(20, 10_000);
        for in_flight in 0..20 {
            assert_eq!(bench.send(in_flight), 10_000, "{in_flight} in flight");
            assert_eq!(bench.send(in_flight), 0, "{in_flight} in flight");
        }
    }

    #[test]
    fn with_a_full_window_only_the_last_answer_can_be_unread() {
        let mut bench = Bench::new();
        for _ in 0..100 {
            bench.write(1, 16_000);
            assert_eq!(bench.send(19), 16_000);
        }
    }

    #[test]
    fn more_requests_than_haproxy_lets_wait_prove_nothing() {
        let mut bench = Bench::new();
        bench.write(4, 10_000);
        assert_eq!(bench.send(17), 10_000);
        assert_eq!(bench.send(18), 0);
        bench.unread.assume_read(&bench.out);
        assert_eq!(bench.send(18), 10_000);
    }

    #[test]
    fn a_goodbye_counts_as_something_to_read() {
        let mut bench = Bench::new();
        bench.write(2, 8_190);
        bench.write_other(FrameType::AGENT_DISCONNECT, 11);
        assert_eq!(bench.send(0), 2 * 8_190);
        bench.unread.assume_read(&bench.out);
        assert_eq!(bench.send(0), 11);
    }

    #[test]
    fn another_frame_is_no_ack_that_was_read() {
        let mut bench = Bench::new();
        bench.write(1, 10_000);
        assert_eq!(bench.send(19), 10_000);
        bench.write_other(FrameType::AGENT_HELLO, 80);
        assert_eq!(bench.send(19), 80);
        bench.write(1, 10_000);
        // One of 20 was answered, one is due: 18 wait here.
        assert_eq!(bench.send(18), 0);
    }

    #[test]
    fn haproxy_lets_one_request_wait_once_it_had_time_to_read_that() {
        let mut bench = Bench::new();
        bench.write(2, 10_000);
        assert_eq!(bench.send(1), 10_000);
        bench.unread.narrow();
        bench.write_other(FrameType::AGENT_HELLO, 80);
        bench.unread.assume_read(&bench.out);
        assert!(!bench.unread.is_narrow());
        assert_eq!(bench.send(1), 10_080);
        bench.unread.assume_read(&bench.out);
        assert!(bench.unread.is_narrow());
    }

    #[test]
    fn a_small_buffer_of_haproxy_is_taken_for_half_the_usual_one() {
        assert_eq!(Unread::new(256).limit, 8_191);
        assert_eq!(Unread::new(16_380).limit, LIMIT);
        assert_eq!(Unread::new(u32::MAX).limit, u32::MAX as usize + 3);
    }
}
