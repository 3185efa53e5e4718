//! What can be wrong with bytes that a peer sent.

use core::fmt;

use super::{DataType, FrameType};
use crate::Status;

/// A frame that is not what SPOE.txt says: what is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    offset: usize,
}

impl DecodeError {
    pub(crate) const fn new(kind: DecodeErrorKind, offset: usize) -> Self {
        Self { kind, offset }
    }

    /// Returns what is wrong.
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// Returns where, in bytes from the frame's type byte (the length prefix does not count).
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Returns the code that a DISCONNECT for this error carries.
    pub const fn status(&self) -> Status {
        self.kind.status()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at byte {} of the frame)", self.kind, self.offset)
    }
}

impl core::error::Error for DecodeError {}

/// What is wrong with a frame.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeErrorKind {
    /// The length prefix is below 7, the size of an empty frame.
    FrameTooShort {
        /// The length prefix.
        len: u32,
    },
    /// The length prefix is above the limit.
    FrameTooBig {
        /// The length prefix.
        len: u32,
        /// The limit, `max-frame-size`.
        max: u32,
    },
    /// The frame ends in the middle of an item.
    Truncated,
    /// A variable-length integer has an 11th byte.
    VarintTooLong,
    /// A variable-length integer is past 2^64-1.
    VarintOverflow,
    /// A value has a type that SPOE.txt reserves, 10 to 15.
    ReservedType(u8),
    /// A message has no name. HAProxy never sends that on purpose: see [`DecodeErrorKind::ArgCount`].
    EmptyMessageName,
    /// What follows the first message is no message, at the offset. HAProxy's count of arguments is one byte and wraps,
    /// so a message configured with more than 255 arguments looks like this; most often, as its NULLs can look like
    /// messages.
    ArgCount,
    /// The frame is of another type than the one to be parsed.
    WrongType(FrameType),
    /// A frame that must be whole has its FIN flag clear.
    Fragmented,
    /// A HELLO or DISCONNECT has a stream-id or frame-id other than 0.
    IdsNotZero,
    /// An item of a HELLO or DISCONNECT has no name.
    EmptyItemName,
    /// The named item of a HELLO or DISCONNECT has a value of the wrong type.
    ItemType(&'static str),
    /// The HELLO has no version item.
    NoVersion,
    /// The HELLO has no `max-frame-size`.
    NoMaxFrameSize,
    /// The HELLO has no `capabilities`.
    NoCapabilities,
    /// The `max-frame-size` is not a 32-bit number.
    MaxFrameSizeRange,
    /// The version of an AGENT-HELLO is no `major.minor`.
    BadVersion,
    /// An action has a type other than set-var (1) and unset-var (2).
    UnknownAction(u8),
    /// An action has the wrong number of arguments.
    ActionArgs(u8),
    /// A variable has a scope other than 0 to 4.
    UnknownScope(u8),
    /// The fragments of one NOTIFY pass the limit of bytes or of frames.
    FragmentsTooBig,
}

impl DecodeErrorKind {
    const fn status(self) -> Status {
        match self {
            Self::FrameTooBig { .. } | Self::FragmentsTooBig => Status::TOO_BIG,
            Self::Fragmented => Status::FRAGMENTATION_NOT_SUPPORTED,
            Self::NoVersion => Status::NO_VERSION,
            Self::NoMaxFrameSize => Status::NO_FRAME_SIZE,
            Self::NoCapabilities => Status::NO_CAPABILITIES,
            Self::BadVersion => Status::BAD_VERSION,
            Self::MaxFrameSizeRange => Status::BAD_FRAME_SIZE,
            _ => Status::INVALID,
        }
    }
}

impl fmt::Display for DecodeErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameTooShort { len } => {
                write!(f, "frame of {len} bytes, a frame has at least 7: the peer does not speak SPOP")
            }
            Self::FrameTooBig { len, max } => {
                write!(
                    f,
                    "frame of {len} bytes, {max} allowed: raise max-frame-size if the peer does speak SPOP"
                )
            }
            Self::Truncated => f.write_str("the frame ends in the middle of an item"),
            Self::VarintTooLong => f.write_str("integer of more than 10 bytes"),
            Self::VarintOverflow => f.write_str("integer past 64 bits"),
            Self::ReservedType(code) => write!(f, "value of reserved type {code}"),
            Self::EmptyMessageName => f.write_str("message without a name"),
            Self::ArgCount => f.write_str(
                "what follows the first message is no message: has one more than 255 arguments? \
                 HAProxy counts them in one byte, split it",
            ),
            Self::WrongType(found) => write!(f, "unexpected frame type {found}"),
            Self::Fragmented => f.write_str("fragmented frame"),
            Self::IdsNotZero => f.write_str("stream-id and frame-id must be 0 here"),
            Self::EmptyItemName => f.write_str("item without a name"),
            Self::ItemType(item) => write!(f, "{item} has the wrong type"),
            Self::NoVersion => f.write_str("no version"),
            Self::NoMaxFrameSize => f.write_str("no max-frame-size"),
            Self::NoCapabilities => f.write_str("no capabilities"),
            Self::MaxFrameSizeRange => f.write_str("max-frame-size is not a 32-bit number"),
            Self::BadVersion => f.write_str("version is not MAJOR.MINOR"),
            Self::UnknownAction(code) => write!(f, "action of unknown type {code}"),
            Self::ActionArgs(count) => write!(f, "action with {count} arguments"),
            Self::UnknownScope(code) => write!(f, "variable of unknown scope {code}"),
            Self::FragmentsTooBig => f.write_str("the fragments of a NOTIFY are more than allowed"),
        }
    }
}

/// What is wrong with an argument.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgErrorKind {
    /// The message has no such argument.
    Missing,
    /// The value has another type; NULL is what HAProxy sends for a sample that gave nothing.
    WrongType {
        /// What was asked for.
        want: &'static str,
        /// What HAProxy sent.
        got: DataType,
    },
    /// The integer does not fit the type asked for.
    OutOfRange {
        /// What was asked for.
        want: &'static str,
    },
    /// The string is not UTF-8; ask for bytes or [`Text`](crate::Text) instead.
    NotUtf8,
    /// The type asked for has no place for this argument (serde's `deny_unknown_fields`).
    Unknown,
    /// The type asked for does not take this value; the error's text says why. Only types that serde deserializes do
    /// that.
    Rejected,
}

impl fmt::Display for ArgErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::WrongType { want, got } => write!(f, "want {want}, got {got}"),
            Self::OutOfRange { want } => write!(f, "does not fit {want}"),
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::Unknown => f.write_str("not known"),
            Self::Rejected => f.write_str("not taken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_frame_say_what_and_where() {
        for (kind, text) in [
            (DecodeErrorKind::Truncated, "the frame ends in the middle of an item"),
            (DecodeErrorKind::VarintTooLong, "integer of more than 10 bytes"),
            (DecodeErrorKind::VarintOverflow, "integer past 64 bits"),
            (DecodeErrorKind::ReservedType(12), "value of reserved type 12"),
            (DecodeErrorKind::EmptyMessageName, "message without a name"),
            (DecodeErrorKind::WrongType(FrameType::ACK), "unexpected frame type ACK"),
            (DecodeErrorKind::ItemType("version"), "version has the wrong type"),
            (DecodeErrorKind::BadVersion, "version is not MAJOR.MINOR"),
            (DecodeErrorKind::UnknownAction(3), "action of unknown type 3"),
            (DecodeErrorKind::ActionArgs(4), "action with 4 arguments"),
            (DecodeErrorKind::UnknownScope(5), "variable of unknown scope 5"),
            (DecodeErrorKind::FragmentsTooBig, "the fragments of a NOTIFY are more than allowed"),
        ] {
            let error = DecodeError::new(kind, 11);
            assert_eq!(error.to_string(), format!("{text} (at byte 11 of the frame)"));
        }
    }

    #[test]
    fn a_frame_too_big_says_what_to_raise() {
        let text = DecodeErrorKind::FrameTooBig { len: 20_000, max: 16_380 }.to_string();
        assert_eq!(
            text,
            "frame of 20000 bytes, 16380 allowed: raise max-frame-size if the peer does speak SPOP"
        );
    }
}
