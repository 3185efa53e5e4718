use bytes::{BufMut, BytesMut};

use super::EncodeError;
use super::action::{Head, Sink};
use crate::wire::{FrameHeader, LENGTH_PREFIX};

/// A frame being written at the end of a buffer: its length goes in last, and unless that happens, drop takes back
/// all that was written.
///
/// The buffer is longer than the frame meanwhile: capacity is made once for all that a short frame has, as asking the
/// buffer for it item by item costs more than writing the items.
#[derive(Debug)]
pub(crate) struct OpenFrame<'b> {
    out: &'b mut BytesMut,
    start: usize,
    payload: usize,
    /// Where the frame ends; behind it is capacity.
    end: usize,
    max: usize,
}

/// Length prefix and header.
const MAX_START: usize = LENGTH_PREFIX + FrameHeader::MAX;

/// What a frame with one variable takes at most, if its value is not long.
const SPARE: usize = MAX_START + Head::MAX;

impl<'b> OpenFrame<'b> {
    /// Starts a frame of at most `max` bytes, the length prefix not counted.
    #[inline(always)]
    pub(crate) fn new(out: &'b mut BytesMut, header: FrameHeader, max: usize) -> Self {
        let start = out.len();
        out.resize(start + SPARE, 0);
        // What the length prefix can say.
        let max = max.min(u32::MAX as usize);
        let mut frame = Self { out, start, payload: start, end: start, max };
        frame.put_in_place(|spare: &mut [u8; MAX_START]| {
            let (prefix, rest) = spare.split_first_chunk_mut()?;
            // A length no peer accepts, should these bytes ever leave.
            *prefix = u32::MAX.to_be_bytes();
            Some(prefix.len() + header.write(rest)?)
        });
        frame.payload = frame.end;
        frame
    }

    /// Lets `write` append to the frame; if that fails or the frame grows past its limit, nothing of it stays.
    #[inline(always)]
    pub(crate) fn append(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let before = self.end;
        let result = match write(self) {
            Ok(()) if self.len() > self.max => Err(EncodeError::FrameTooBig { max: self.max }),
            result => result,
        };
        if result.is_err() {
            self.end = before;
        }
        result
    }

    /// Appends what `write` writes into `N` bytes of spare capacity.
    #[inline(always)]
    pub(crate) fn put_in_place<const N: usize>(&mut self, write: impl FnOnce(&mut [u8; N]) -> Option<usize>) {
        if self.out.len() - self.end < N {
            self.grow(N);
        }
        let spare = self.out.get_mut(self.end..).and_then(<[u8]>::first_chunk_mut);
        self.end += spare.and_then(write).unwrap_or_default();
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        self.out.resize(self.end + more, 0);
    }

    /// Returns the length of the frame so far, the prefix not counted.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end - self.start - LENGTH_PREFIX
    }

    /// Returns how many more bytes fit.
    pub(crate) fn remaining(&self) -> usize {
        self.max.saturating_sub(self.len())
    }

    /// Returns what was written so far, the header included, to set a count in it.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.out[self.start + LENGTH_PREFIX..self.end]
    }

    /// Returns where the frame starts in the buffer.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Returns whether the frame has no payload.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.end == self.payload
    }

    /// Writes the length: the frame stays. Returns the buffer, for what is to follow.
    #[inline(always)]
    pub(crate) fn finish(&mut self) -> &mut BytesMut {
        if let Some(prefix) = self.out.get_mut(self.start..).and_then(<[u8]>::first_chunk_mut) {
            *prefix = ((self.end - self.start - LENGTH_PREFIX) as u32).to_be_bytes();
        }
        // Nothing is that long: drop takes nothing back from now on.
        self.start = usize::MAX;
        self.out.truncate(self.end);
        self.out
    }
}

impl Sink for OpenFrame<'_> {
    #[inline(always)]
    fn put_head(&mut self, head: &Head<'_>) {
        self.put_in_place::<{ Head::MAX }>(|spare| head.write(spare));
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.out.truncate(self.end);
        self.out.put_slice(bytes);
        self.end = self.out.len();
    }
}

impl Drop for OpenFrame<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.out.truncate(self.start);
    }
}
