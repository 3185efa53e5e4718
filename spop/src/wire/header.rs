use core::fmt;

use super::{DecodeError, parse, varint};

/// Size of the length prefix that precedes every frame, in bytes. It does not count itself, and `max-frame-size` does
/// not count it either.
pub const LENGTH_PREFIX: usize = 4;

/// The type of a frame, its first byte. An open newtype: SPOE.txt lets a peer ignore types it does not know.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrameType(
    /// The byte as it stands on the wire.
    pub u8,
);

impl FrameType {
    /// `UNSET`: a fragment after the first one. HAProxy up to 3.0.
    pub const UNSET: Self = Self(0);
    /// `HAPROXY-HELLO`.
    pub const HAPROXY_HELLO: Self = Self(1);
    /// `HAPROXY-DISCONNECT`.
    pub const HAPROXY_DISCONNECT: Self = Self(2);
    /// `NOTIFY`.
    pub const NOTIFY: Self = Self(3);
    /// `AGENT-HELLO`.
    pub const AGENT_HELLO: Self = Self(101);
    /// `AGENT-DISCONNECT`.
    pub const AGENT_DISCONNECT: Self = Self(102);
    /// `ACK`.
    pub const ACK: Self = Self(103);
}

impl fmt::Display for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::UNSET => "UNSET",
            Self::HAPROXY_HELLO => "HAPROXY-HELLO",
            Self::HAPROXY_DISCONNECT => "HAPROXY-DISCONNECT",
            Self::NOTIFY => "NOTIFY",
            Self::AGENT_HELLO => "AGENT-HELLO",
            Self::AGENT_DISCONNECT => "AGENT-DISCONNECT",
            Self::ACK => "ACK",
            Self(code) => return write!(f, "unknown ({code})"),
        })
    }
}

impl fmt::Debug for FrameType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrameType({self})")
    }
}

/// The flags of a frame, four bytes in network order. Reserved bits are kept, and never looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags(
    /// The bits as they stand on the wire.
    pub u32,
);

impl Flags {
    /// No flag: a fragment that is not the last one.
    pub const NONE: Self = Self(0);
    /// `FIN`: the last, or only, fragment.
    pub const FIN: Self = Self(1);
    /// `ABORT`: the frame is given up.
    pub const ABORT: Self = Self(2);

    /// Returns whether FIN is set.
    pub const fn is_fin(self) -> bool {
        self.0 & Self::FIN.0 != 0
    }

    /// Returns whether ABORT is set.
    pub const fn is_abort(self) -> bool {
        self.0 & Self::ABORT.0 != 0
    }

    /// Returns these flags without the bits that SPOE.txt reserves: what may be sent.
    pub(crate) const fn sendable(self) -> Self {
        Self(self.0 & (Self::FIN.0 | Self::ABORT.0))
    }
}

/// The ids that tie an ACK to its NOTIFY.
///
/// Unique among the NOTIFYs that wait on one connection, and nowhere else: HAProxy from 3.1 numbers the streams of each
/// connection 1, 3, 5 and so on. They are opaque: up to 3.0 the first stream-id of a process is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NotifyId {
    /// `STREAM-ID`.
    pub stream_id: u64,
    /// `FRAME-ID`.
    pub frame_id: u64,
}

impl NotifyId {
    /// The ids of HELLO and DISCONNECT frames.
    pub(crate) const ZERO: Self = Self { stream_id: 0, frame_id: 0 };
}

impl fmt::Display for NotifyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream_id, self.frame_id)
    }
}

/// What every frame starts with (SPOE.txt 3.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The type.
    pub frame_type: FrameType,
    /// The flags.
    pub flags: Flags,
    /// Stream-id and frame-id.
    pub id: NotifyId,
}

impl FrameHeader {
    /// Returns the header of a frame of one part.
    pub(crate) const fn whole(frame_type: FrameType, id: NotifyId) -> Self {
        Self { frame_type, flags: Flags::FIN, id }
    }

    /// Reads the header of `frame`, which starts with the type byte; returns it with the payload.
    ///
    /// # Errors
    /// If `frame` ends within the header or an id is no valid varint.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<(Self, &[u8]), DecodeError> {
        match parse::header(frame) {
            Ok((payload, header)) => Ok((header, payload)),
            Err(error) => parse::finish(frame.len(), Err(error)),
        }
    }

    /// Writes the header at the start of `out` and returns its length; `None` if it does not fit.
    #[inline(always)]
    pub(crate) fn write(self, out: &mut [u8]) -> Option<usize> {
        let (start, rest) = out.split_first_chunk_mut()?;
        let [a, b, c, d] = self.flags.sendable().0.to_be_bytes();
        *start = [self.frame_type.0, a, b, c, d];
        let first = varint::write(self.id.stream_id, rest)?;
        let second = varint::write(self.id.frame_id, rest.get_mut(first..)?)?;
        Some(start.len() + first + second)
    }

    /// Type, flags and two ids.
    pub(crate) const MAX: usize = 5 + 2 * varint::MAX_LEN;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::DecodeErrorKind;

    #[test]
    fn flags_are_in_network_order() {
        let (header, _) = FrameHeader::parse(&[3, 0, 0, 0, 1, 0, 0]).unwrap();
        assert_eq!(header.flags, Flags::FIN);
        let (header, _) = FrameHeader::parse(&[3, 1, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(header.flags, Flags(0x0100_0000));
        assert!(!header.flags.is_fin());
    }

    #[test]
    fn fin_and_abort_are_the_two_lowest_bits() {
        for (bits, fin, abort) in [
            (0, false, false),
            (1, true, false),
            (2, false, true),
            (3, true, true),
            (u32::MAX - 3, false, false),
        ] {
            assert_eq!((Flags(bits).is_fin(), Flags(bits).is_abort()), (fin, abort), "{bits:#x}");
        }
    }

    #[test]
    fn ids_are_varints_of_64_bits() {
        let max = [0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e];
        let frame = [&[103, 0, 0, 0, 1][..], &max, &[0xf0, 0x00], b"payload"].concat();
        let (header, payload) = FrameHeader::parse(&frame).unwrap();
        assert_eq!(header.id, NotifyId { stream_id: u64::MAX, frame_id: 240 });
        assert_eq!(payload, b"payload");
    }

    #[test]
    fn an_id_past_64_bits_is_an_error_at_its_place() {
        let overflow = [0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0f];
        let frame = [&[103, 0, 0, 0, 1, 0x00][..], &overflow].concat();
        let error = FrameHeader::parse(&frame).unwrap_err();
        assert_eq!((error.kind(), error.offset()), (DecodeErrorKind::VarintOverflow, 6));
    }
}
