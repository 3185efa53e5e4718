use bytes::{BufMut, BytesMut};

/// What frames, values and actions are written to.
pub(crate) trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);

    /// Lets `fill` write up to `N` bytes, and keeps as many as it says.
    ///
    /// The size of the room is known to the compiler, so what is written piece by piece costs one check and no calls.
    fn fill<const N: usize>(&mut self, fill: impl FnOnce(&mut Room<N>));
}

/// Room for `N` bytes, filled from the start.
pub(crate) struct Room<'a, const N: usize> {
    bytes: &'a mut [u8; N],
    len: usize,
}

impl<const N: usize> Room<'_, N> {
    /// Appends `bytes`, which must fit.
    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    #[inline(always)]
    pub(crate) fn put_varint(&mut self, value: u64) {
        if value < 240 {
            self.put(&[value as u8]);
        } else {
            self.put_long_varint(value);
        }
    }

    #[inline(never)]
    fn put_long_varint(&mut self, value: u64) {
        self.put(&[value as u8 | 0xf0]);
        let mut left = (value - 240) >> 4;
        while left >= 128 {
            self.put(&[left as u8 | 0x80]);
            left = (left - 128) >> 7;
        }
        self.put(&[left as u8]);
    }
}

impl Sink for BytesMut {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }

    #[inline]
    fn fill<const N: usize>(&mut self, fill: impl FnOnce(&mut Room<N>)) {
        let start = self.len();
        self.resize(start + N, 0);
        if let Some(bytes) = self.last_chunk_mut() {
            let mut room = Room { bytes, len: 0 };
            fill(&mut room);
            let end = start + room.len;
            self.truncate(end);
        }
    }
}

/// Bytes without a heap, as long as they are few.
#[derive(Clone, Debug)]
pub(crate) enum SmallBuffer {
    Inline { len: u8, bytes: [u8; Self::INLINE] },
    Heap(alloc::vec::Vec<u8>),
}

impl SmallBuffer {
    /// How many bytes need no heap; a `fill` asks for all of its room.
    pub(crate) const INLINE: usize = 158;

    pub(crate) const EMPTY: Self = Self::Inline { len: 0, bytes: [0; Self::INLINE] };

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }

    #[cold]
    fn spill(&mut self, more: &[u8]) {
        *self = Self::Heap([self.as_bytes(), more].concat());
    }
}

impl Sink for SmallBuffer {
    #[inline]
    fn put(&mut self, more: &[u8]) {
        match self {
            Self::Inline { len, bytes } => {
                let start = usize::from(*len);
                match bytes.get_mut(start..start + more.len()) {
                    Some(free) => {
                        free.copy_from_slice(more);
                        *len = (start + more.len()) as u8;
                    }
                    None => self.spill(more),
                }
            }
            Self::Heap(bytes) => bytes.extend_from_slice(more),
        }
    }

    #[inline]
    fn fill<const N: usize>(&mut self, fill: impl FnOnce(&mut Room<N>)) {
        if let Self::Inline { len, .. } = self
            && usize::from(*len) + N > Self::INLINE
        {
            self.spill(&[]);
        }
        let room = match self {
            Self::Inline { len, bytes } => bytes[usize::from(*len)..].first_chunk_mut(),
            Self::Heap(bytes) => {
                bytes.resize(bytes.len() + N, 0);
                bytes.last_chunk_mut()
            }
        };
        let Some(bytes) = room else { return };
        let mut room = Room { bytes, len: 0 };
        fill(&mut room);
        let filled = room.len;
        match self {
            Self::Inline { len, .. } => *len += filled as u8,
            Self::Heap(bytes) => bytes.truncate(bytes.len() - N + filled),
        }
    }
}
