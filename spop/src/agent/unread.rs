use crate::LENGTH_PREFIX;

/// What HAProxy from 3.1 can have left unread of our ACKs, with pipelining.
///
/// It lets 20 requests wait on a connection, and each waits until its ACK is read. So a request that waits here, or whose
/// ACK has not been sent yet, is one ACK less that can be unread; and as a stream is read in order, the unread ones are the
/// last ones that were sent. A NOTIFY that comes in thus proves that an ACK was read.
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
}

impl Unread {
    /// How many requests HAProxy from 3.1 has waiting on one connection at most.
    const WINDOW: usize = 20;

    /// For a HAProxy that offered `max_frame_size`: by default its `tune.bufsize` - 4, and never more. A smaller one may have been
    /// set by hand, so half of HAProxy's default buffer is taken for granted.
    pub(super) fn new(max_frame_size: u32) -> Self {
        let limit = (max_frame_size as usize).saturating_add(3).max(8191);
        Self { sizes: [0; Self::WINDOW], total: 0, written: 0, read: 0, limit }
    }

    /// An ACK of `size` bytes, its length prefix included, was written; or another frame, which takes as much room.
    #[inline]
    pub(super) fn add(&mut self, size: usize) {
        let oldest = &mut self.sizes[self.written % Self::WINDOW];
        self.total = self.total + size - *oldest as usize;
        *oldest = size as u32;
        self.written += 1;
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
        let queued = frames(out).count();
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

    /// HAProxy was given time to read all but `out`.
    pub(super) fn assume_read(&mut self, out: &[u8]) {
        self.read = self.written.saturating_sub(frames(out).count());
    }
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
                self.out.extend(((size - LENGTH_PREFIX) as u32).to_be_bytes());
                self.out.resize(self.out.len() + size - LENGTH_PREFIX, 0);
            }
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
        bench.write(1, 11);
        assert_eq!(bench.send(0), 2 * 8_190);
        bench.unread.assume_read(&bench.out);
        assert_eq!(bench.send(0), 11);
    }

    #[test]
    fn a_small_buffer_of_haproxy_is_taken_for_half_the_usual_one() {
        assert_eq!(Unread::new(256).limit, 8_191);
        assert_eq!(Unread::new(16_380).limit, LIMIT);
        assert_eq!(Unread::new(u32::MAX).limit, u32::MAX as usize + 3);
    }
}
