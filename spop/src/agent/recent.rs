/// The sizes of the last ACKs: those that HAProxy may not have read.
///
/// It lets 20 requests wait on a connection, and a request waits until its ACK is read. So the ACKs that are not read are
/// 20 at most, and as a stream is read in order, they are the last ones.
#[derive(Debug)]
pub(super) struct Recent {
    sizes: [u32; Self::WINDOW],
    next: usize,
    total: usize,
    limit: usize,
}

impl Recent {
    /// How many requests HAProxy from 3.1 has waiting on one connection at most.
    const WINDOW: usize = 20;

    /// For a HAProxy that offered `max_frame_size`: by default its `tune.bufsize` - 4, and never more. A smaller one may have been
    /// set by hand, so half of HAProxy's default buffer is taken for granted.
    pub(super) fn new(max_frame_size: u32) -> Self {
        let limit = (max_frame_size as usize).saturating_add(3).max(8191);
        Self { sizes: [0; Self::WINDOW], next: 0, total: 0, limit }
    }

    /// The most bytes that HAProxy can find to read without harm: one less than its buffer has.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// An ACK of `size` bytes, its length prefix included, was written.
    #[inline]
    pub(super) fn add(&mut self, size: usize) {
        let Some(oldest) = self.sizes.get_mut(self.next) else { return };
        self.total = self.total + size - *oldest as usize;
        *oldest = size as u32;
        self.next = (self.next + 1) % Self::WINDOW;
    }

    /// The bytes of all of them.
    pub(super) const fn total(&self) -> usize {
        self.total
    }
}
