//! The variable-length integer of SPOP, the same as that of HAProxy's peers protocol (SPOE.txt 3.1).
//!
//! A value below 240 is one byte. Otherwise the first byte holds the low four bits under a top nibble of ones, and
//! seven bits at a time follow, low ones first, each byte but the last with bit 7 set. The decoder *adds* every raw
//! byte, continuation bit included; the encoder subtracts that bit beforehand, so every value has one encoding only.

use super::{DecodeError, DecodeErrorKind};

/// The longest encoding of a 64-bit value, in bytes.
pub const MAX_LEN: usize = 10;

/// Smallest value that needs more than one byte.
const LONG: u64 = 240;

/// Smallest value that needs more than two bytes.
const LONGER: u64 = LONG + (128 << 4);

/// Returns how many bytes [`encode`] writes for `value`: 1 to [`MAX_LEN`].
#[inline]
pub const fn encoded_len(value: u64) -> usize {
    if value < LONG {
        return 1;
    }
    let mut left = (value - LONG) >> 4;
    let mut len = 2;
    while left >= 128 {
        left = (left - 128) >> 7;
        len += 1;
    }
    len
}

/// Writes `value` at the start of `out` and returns the bytes written.
///
/// ```
/// let mut buffer = [0; spop::varint::MAX_LEN];
/// assert_eq!(spop::varint::encode(16_380, &mut buffer), [0xfc, 0xf0, 0x06]);
/// ```
#[inline]
pub fn encode(value: u64, out: &mut [u8; MAX_LEN]) -> &[u8] {
    if value < LONG {
        out[0] = value as u8;
        return &out[..1];
    }
    out[0] = value as u8 | 0xf0;
    let mut left = (value - LONG) >> 4;
    let mut len = 1;
    while left >= 128 {
        out[len] = left as u8 | 0x80;
        left = (left - 128) >> 7;
        len += 1;
    }
    out[len] = left as u8;
    &out[..=len]
}

/// Writes `value` at the start of `out` and returns the length; `None` if there is not enough capacity.
#[inline(always)]
pub(crate) fn write(value: u64, out: &mut [u8]) -> Option<usize> {
    if value < LONG {
        *out.first_mut()? = value as u8;
        return Some(1);
    }
    if value < LONGER {
        *out.first_chunk_mut()? = [value as u8 | 0xf0, ((value - LONG) >> 4) as u8];
        return Some(2);
    }
    write_long(value, out)
}

fn write_long(value: u64, out: &mut [u8]) -> Option<usize> {
    let (first, rest) = out.split_first_mut()?;
    *first = value as u8 | 0xf0;
    let mut left = (value - LONG) >> 4;
    for (index, byte) in rest.iter_mut().enumerate() {
        if left < 128 {
            *byte = left as u8;
            return Some(index + 2);
        }
        *byte = left as u8 | 0x80;
        left = (left - 128) >> 7;
    }
    None
}

/// Reads one value from the start of `input`; returns it with the bytes that follow.
///
/// HAProxy's own decoder has no bound and wraps past 64 bits; this one is strict, as HAProxy never sends such bytes.
///
/// # Errors
/// - `Truncated` if `input` ends first,
/// - `VarintTooLong` if an 11th byte would follow,
/// - `VarintOverflow` if the value is past 2^64-1.
///
/// The offset of the error is that of the varint, 0.
pub fn parse(input: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    read(input).map_err(|kind| DecodeError::new(kind, 0))
}

#[inline(always)]
pub(crate) fn read(input: &[u8]) -> Result<(u64, &[u8]), DecodeErrorKind> {
    match input.split_first() {
        Some((&first, rest)) if u64::from(first) < LONG => Ok((u64::from(first), rest)),
        Some((&first, rest)) => match rest.split_first() {
            Some((&second, rest)) if second < 128 => Ok((u64::from(first) + (u64::from(second) << 4), rest)),
            _ => read_long(first, rest),
        },
        None => Err(DecodeErrorKind::Truncated),
    }
}

#[cold]
fn read_long(first: u8, rest: &[u8]) -> Result<(u64, &[u8]), DecodeErrorKind> {
    // The ninth byte after the first is shifted by 60: only there can the sum pass 2^64-1.
    const LAST_SHIFT: u32 = 60;
    let mut value = u64::from(first);
    let mut shift = 4;
    for (index, &byte) in rest.iter().enumerate() {
        if shift == LAST_SHIFT {
            return match byte {
                0..=15 => value
                    .checked_add(u64::from(byte) << LAST_SHIFT)
                    .map(|value| (value, &rest[index + 1..]))
                    .ok_or(DecodeErrorKind::VarintOverflow),
                16..=127 => Err(DecodeErrorKind::VarintOverflow),
                128.. => Err(DecodeErrorKind::VarintTooLong),
            };
        }
        value += u64::from(byte) << shift;
        if byte < 128 {
            return Ok((value, &rest[index + 1..]));
        }
        shift += 7;
    }
    Err(DecodeErrorKind::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Value and encoding, as HAProxy writes it; both sides of every change of length.
    const TABLE: &[(u64, &[u8])] = &[
        (0, &[0x00]),
        (239, &[0xef]),
        (240, &[0xf0, 0x00]),
        (255, &[0xff, 0x00]),
        (256, &[0xf0, 0x01]),
        (2287, &[0xff, 0x7f]),
        (2288, &[0xf0, 0x80, 0x00]),
        (16_380, &[0xfc, 0xf0, 0x06]),
        (264_431, &[0xff, 0xff, 0x7f]),
        (264_432, &[0xf0, 0x80, 0x80, 0x00]),
        (33_818_863, &[0xff, 0xff, 0xff, 0x7f]),
        (33_818_864, &[0xf0, 0x80, 0x80, 0x80, 0x00]),
        (4_294_967_295, &[0xff, 0xf0, 0xfe, 0xfe, 0x7e]),
        (4_328_786_159, &[0xff, 0xff, 0xff, 0xff, 0x7f]),
        (4_328_786_160, &[0xf0, 0x80, 0x80, 0x80, 0x80, 0x00]),
        ((1 << 31) - 1, &[0xff, 0xf0, 0xfe, 0xfe, 0x3e]),
        ((1 << 63) - 1, &[0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x06]),
        (1 << 63, &[0xf0, 0xf1, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x06]),
        (u64::MAX, &[0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e]),
        (-5i64 as u64, &[0xfb, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e]),
    ];

    #[test]
    fn table_encodes_as_haproxy_does() {
        for &(value, bytes) in TABLE {
            assert_eq!(encode(value, &mut [0; MAX_LEN]), bytes, "{value}");
            assert_eq!(encoded_len(value), bytes.len(), "{value}");
        }
    }

    #[test]
    fn table_parses_and_leaves_what_follows() {
        for &(value, bytes) in TABLE {
            let input = [bytes, &[0xaa]].concat();
            assert_eq!(parse(&input).unwrap(), (value, &[0xaa][..]), "{value}");
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        for &(value, bytes) in TABLE {
            for end in 0..bytes.len() {
                let error = parse(&bytes[..end]).unwrap_err();
                assert_eq!(error.kind(), DecodeErrorKind::Truncated, "{value} cut at {end}");
            }
        }
    }

    #[test]
    fn an_eleventh_byte_is_an_error() {
        let error = parse(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]).unwrap_err();
        assert_eq!(error.kind(), DecodeErrorKind::VarintTooLong);
    }

    #[test]
    fn a_value_past_64_bits_is_an_error() {
        for last in [0x0f, 0x10, 0x7f] {
            let error = parse(&[0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, last]).unwrap_err();
            assert_eq!(error.kind(), DecodeErrorKind::VarintOverflow, "last byte {last:#x}");
        }
    }
}
