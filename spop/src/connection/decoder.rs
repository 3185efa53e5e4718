use bytes::{Buf, Bytes, BytesMut};

use crate::wire::{DecodeError, DecodeErrorKind, LENGTH_PREFIX, parse};

/// Cuts a stream of bytes into frames.
///
/// ```
/// use bytes::BytesMut;
/// use spop::FrameDecoder;
///
/// let mut input = BytesMut::from(&b"\0\0\0\x07\x03\0\0\0\x01\x01\x01\0\0"[..]);
/// let decoder = FrameDecoder::new(16_380);
/// assert_eq!(&decoder.decode(&mut input)?.unwrap()[..], b"\x03\0\0\0\x01\x01\x01");
/// assert!(decoder.decode(&mut input)?.is_none(), "two bytes of a length prefix are left");
/// # Ok::<(), spop::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FrameDecoder {
    max_frame_size: u32,
}

impl FrameDecoder {
    /// Type, flags and two ids of one byte each.
    const MIN_FRAME_SIZE: u32 = 7;

    /// Takes frames of up to `max_frame_size` bytes, the length prefix not counted.
    pub const fn new(max_frame_size: u32) -> Self {
        Self { max_frame_size }
    }

    /// Returns the length of the frame that `input` starts with, the prefix not counted, or `None` if the prefix is not
    /// complete.
    ///
    /// # Errors
    /// If no frame of this length can be: the bytes that follow cannot be made sense of.
    #[inline]
    pub fn frame_len(&self, input: &[u8]) -> Result<Option<usize>, DecodeError> {
        let Some(len) = parse::length_prefix(input) else { return Ok(None) };
        if len < Self::MIN_FRAME_SIZE {
            return Err(DecodeError::new(DecodeErrorKind::FrameTooShort { len }, 0));
        }
        if len > self.max_frame_size {
            return Err(DecodeError::new(DecodeErrorKind::FrameTooBig { len, max: self.max_frame_size }, 0));
        }
        Ok(Some(len as usize))
    }

    /// Returns the frame that `input` starts with, from its type byte to its end, or `None` if it is not complete.
    ///
    /// # Errors
    /// As [`frame_len`](Self::frame_len).
    #[inline]
    pub fn peek<'a>(&self, input: &'a [u8]) -> Result<Option<&'a [u8]>, DecodeError> {
        let len = self.frame_len(input)?;
        Ok(len.and_then(|len| input.get(LENGTH_PREFIX..)?.get(..len)))
    }

    /// Takes the first frame out of `input`, without copying; `None` if it is not complete.
    ///
    /// # Errors
    /// As [`frame_len`](Self::frame_len).
    #[inline]
    pub fn decode(&self, input: &mut BytesMut) -> Result<Option<Bytes>, DecodeError> {
        match self.peek(input)?.map(<[u8]>::len) {
            Some(len) => Ok(Some(Self::take(input, len))),
            None => Ok(None),
        }
    }

    /// Takes a complete frame of `len` bytes out of `input`.
    #[inline]
    pub(crate) fn take(input: &mut BytesMut, len: usize) -> Bytes {
        let mut frame = input.split_to(LENGTH_PREFIX + len);
        frame.advance(LENGTH_PREFIX);
        frame.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u32 = 300;

    /// A frame of `len` bytes with its prefix.
    fn framed(len: u32) -> Vec<u8> {
        [&len.to_be_bytes()[..], &vec![b'x'; len as usize]].concat()
    }

    #[test]
    fn a_length_below_7_is_too_short() {
        for len in 0..7u32 {
            let mut input = BytesMut::from(&len.to_be_bytes()[..]);
            let error = FrameDecoder::new(MAX).decode(&mut input).unwrap_err();
            assert_eq!(error.kind(), DecodeErrorKind::FrameTooShort { len });
        }
    }

    #[test]
    fn a_length_above_the_limit_is_too_big_before_its_bytes_come() {
        for len in [MAX + 1, 0x4745_5420, u32::MAX] {
            let mut input = BytesMut::from(&len.to_be_bytes()[..]);
            let error = FrameDecoder::new(MAX).decode(&mut input).unwrap_err();
            assert_eq!(error.kind(), DecodeErrorKind::FrameTooBig { len, max: MAX });
        }
    }

    #[test]
    fn the_smallest_and_the_longest_frame_are_taken() {
        for len in [7, MAX] {
            let mut input = BytesMut::from(&framed(len)[..]);
            let frame = FrameDecoder::new(MAX).decode(&mut input).unwrap().unwrap();
            assert_eq!((frame.len(), input.len()), (len as usize, 0));
        }
    }

    #[test]
    fn a_frame_that_comes_byte_by_byte_is_taken_with_its_last_byte() {
        let (decoder, bytes) = (FrameDecoder::new(MAX), framed(20));
        let mut input = BytesMut::new();
        for (index, &byte) in bytes.iter().enumerate() {
            assert_eq!(decoder.decode(&mut input).unwrap(), None, "after {index} bytes");
            assert_eq!(input.len(), index, "an incomplete frame stays in the input");
            input.extend_from_slice(&[byte]);
        }
        assert_eq!(decoder.decode(&mut input).unwrap().unwrap(), bytes[LENGTH_PREFIX..]);
    }

    #[test]
    fn two_frames_in_one_buffer_are_taken_one_by_one() {
        let decoder = FrameDecoder::new(MAX);
        let mut input = BytesMut::from(&[framed(7), framed(9), vec![0, 0]].concat()[..]);
        assert_eq!(decoder.decode(&mut input).unwrap().unwrap().len(), 7);
        assert_eq!(decoder.decode(&mut input).unwrap().unwrap().len(), 9);
        assert_eq!(decoder.decode(&mut input).unwrap(), None);
        assert_eq!(input[..], [0, 0]);
    }

    #[test]
    fn a_frame_is_the_inputs_own_memory() {
        let mut input = BytesMut::from(&framed(20)[..]);
        let expected = input[LENGTH_PREFIX..].as_ptr();
        let frame = FrameDecoder::new(MAX).decode(&mut input).unwrap().unwrap();
        assert_eq!(frame.as_ptr(), expected);
    }

    #[test]
    fn peek_and_frame_len_leave_the_input_alone() {
        let (decoder, bytes) = (FrameDecoder::new(MAX), framed(20));
        assert_eq!(decoder.peek(&bytes).unwrap(), Some(&bytes[LENGTH_PREFIX..]));
        assert_eq!(decoder.peek(&bytes[..23]).unwrap(), None);
        assert_eq!(decoder.frame_len(&bytes[..4]).unwrap(), Some(20));
        assert_eq!(decoder.frame_len(&bytes[..3]).unwrap(), None);
    }
}
