//! What can go wrong, by who is to blame: the peer's bytes ([`DecodeError`], [`ProtocolError`]), the answer being built
//! ([`EncodeError`]), the order of calls ([`UsageError`]), or an argument that is not what a handler wants
//! ([`ArgError`]).

mod arg;
mod var;

use core::fmt;

pub use arg::{ArgError, ArgErrorKind};
pub use var::VarError;

use crate::frame::{FrameType, NotifyId};
use crate::{Phase, Status};

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

    /// What is wrong.
    pub const fn kind(&self) -> DecodeErrorKind {
        self.kind
    }

    /// Where, in bytes from the frame's type byte (the length prefix does not count).
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// The code that a DISCONNECT for this error carries.
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
    /// What follows the first message is no message, at the offset. HAProxy's count of arguments is one byte and wraps, so a
    /// message configured with more than 255 arguments looks like this; most often, as its NULLs can look like messages.
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

/// A peer that breaks the protocol, which ends its connection.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A frame cannot be decoded.
    Decode(DecodeError),
    /// A frame that has no place in this phase of the connection.
    UnexpectedFrame {
        /// The frame's type.
        frame_type: FrameType,
        /// The phase it came in.
        phase: Phase,
    },
    /// The HELLO offers no version that both sides speak, 2.0.
    UnsupportedVersion,
    /// The `max-frame-size` of the HELLO is below 256 or, in an AGENT-HELLO, above the one offered.
    MaxFrameSize(u32),
    /// A fragment of one NOTIFY came before the last one of another (SPOE.txt 3.2.9).
    Interlaced {
        /// The NOTIFY that was not complete.
        unfinished: NotifyId,
        /// The ids of the frame that came.
        found: NotifyId,
    },
    /// An ACK whose ids match no NOTIFY sent on this connection.
    UnknownAck(NotifyId),
    /// The peer closed the connection in the middle of a frame.
    UnexpectedEof,
}

impl ProtocolError {
    /// The code that the DISCONNECT for this error carries.
    pub const fn status(&self) -> Status {
        match self {
            Self::Decode(error) => error.status(),
            Self::UnexpectedFrame { .. } => Status::INVALID,
            Self::UnsupportedVersion => Status::BAD_VERSION,
            Self::MaxFrameSize(_) => Status::BAD_FRAME_SIZE,
            Self::Interlaced { .. } => Status::INTERLACED_FRAMES,
            Self::UnknownAck(_) => Status::FRAME_ID_NOT_FOUND,
            Self::UnexpectedEof => Status::IO,
        }
    }
}

impl From<DecodeError> for ProtocolError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::UnexpectedFrame { frame_type, phase } => {
                write!(f, "unexpected {frame_type} frame in phase {phase:?}")
            }
            Self::UnsupportedVersion => f.write_str("no common version, this side speaks 2.0"),
            Self::MaxFrameSize(size) => write!(f, "max-frame-size {size} is too big or too small"),
            Self::Interlaced { unfinished, found } => {
                write!(f, "frame {found} came while the fragments of {unfinished} were not complete")
            }
            Self::UnknownAck(id) => write!(f, "ACK for {id}, which was never sent on this connection"),
            Self::UnexpectedEof => f.write_str("the peer closed the connection in the middle of a frame"),
        }
    }
}

impl core::error::Error for ProtocolError {}

/// Something that cannot be written as asked. Nothing of it was written.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The frame would be longer than the peer accepts.
    FrameTooBig {
        /// The limit on the frame without its length prefix, in bytes.
        max: usize,
    },
    /// HAProxy would silently drop the variable: `scope.prefix.name` is longer than 63 bytes.
    NameTooLong {
        /// The length of the name, in bytes.
        len: usize,
        /// The most it can have with this scope and prefix.
        max: usize,
    },
    /// HAProxy would silently drop the variable: its name has a byte other than `A-Z a-z 0-9 _ .`.
    NameByte(u8),
    /// A message has no name.
    EmptyMessageName,
    /// A message has more than 255 arguments, the most its count can say.
    TooManyArgs,
    /// An argument comes before the first message.
    ArgWithoutMessage,
    /// A payload that was given as bytes cannot be read.
    Payload(DecodeError),
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameTooBig { max } => {
                write!(f, "frame would be longer than the {max} bytes the peer accepts")
            }
            Self::NameTooLong { len, max } => write!(
                f,
                "variable name of {len} bytes, at most {max} here: HAProxy drops scope.prefix.name past 63 bytes"
            ),
            Self::NameByte(byte) => write!(
                f,
                "variable name has the byte {:?}: HAProxy drops all but A-Z a-z 0-9 _ .",
                char::from(*byte)
            ),
            Self::EmptyMessageName => f.write_str("message without a name"),
            Self::TooManyArgs => f.write_str("message with more than 255 arguments"),
            Self::ArgWithoutMessage => f.write_str("argument before the first message"),
            Self::Payload(error) => write!(f, "payload cannot be read: {error}"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// A call that the state of the connection does not allow. The connection goes on unchanged.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// No NOTIFY with these ids waits for an ACK: it was answered, superseded, or never came on this connection.
    NotInFlight(NotifyId),
    /// The call has no place in this phase.
    WrongPhase(Phase),
    /// As many NOTIFYs wait for their ACK as the peer takes on one connection.
    WindowFull,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInFlight(id) => write!(f, "no NOTIFY {id} waits for an ACK on this connection"),
            Self::WrongPhase(phase) => write!(f, "not possible in phase {phase:?}"),
            Self::WindowFull => f.write_str("too many NOTIFYs wait for their ACK on this connection"),
        }
    }
}

impl core::error::Error for UsageError {}

/// An ACK that could not be written. Nothing of it was, and its NOTIFY goes on waiting.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckError {
    /// No such ACK is due.
    Usage(UsageError),
    /// It is not as HAProxy takes it.
    Encode(EncodeError),
}

impl From<UsageError> for AckError {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<EncodeError> for AckError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AckError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: NotifyId = NotifyId { stream_id: 7, frame_id: 1 };

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
            assert_eq!(ProtocolError::from(error).to_string(), error.to_string());
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

    #[test]
    fn faults_of_an_answer_say_what_haproxy_takes() {
        for (error, text) in [
            (
                EncodeError::FrameTooBig { max: 300 },
                "frame would be longer than the 300 bytes the peer accepts",
            ),
            (
                EncodeError::NameTooLong { len: 60, max: 53 },
                "variable name of 60 bytes, at most 53 here: HAProxy drops scope.prefix.name past 63 bytes",
            ),
            (
                EncodeError::NameByte(b'-'),
                "variable name has the byte '-': HAProxy drops all but A-Z a-z 0-9 _ .",
            ),
            (EncodeError::EmptyMessageName, "message without a name"),
            (EncodeError::TooManyArgs, "message with more than 255 arguments"),
            (EncodeError::ArgWithoutMessage, "argument before the first message"),
        ] {
            assert_eq!(error.to_string(), text);
            assert_eq!(AckError::from(error).to_string(), text);
        }
    }

    #[test]
    fn faults_in_the_order_of_calls_say_what_is_not_possible() {
        for (error, text) in [
            (UsageError::NotInFlight(ID), "no NOTIFY 7/1 waits for an ACK on this connection"),
            (UsageError::WrongPhase(Phase::Closed), "not possible in phase Closed"),
            (UsageError::WindowFull, "too many NOTIFYs wait for their ACK on this connection"),
        ] {
            assert_eq!(error.to_string(), text);
            assert_eq!(AckError::from(error).to_string(), text);
        }
    }

    #[test]
    fn breaches_of_the_protocol_name_the_frames() {
        let found = NotifyId { stream_id: 9, frame_id: 1 };
        for (error, text) in [
            (ProtocolError::UnsupportedVersion, "no common version, this side speaks 2.0"),
            (
                ProtocolError::Interlaced { unfinished: ID, found },
                "frame 9/1 came while the fragments of 7/1 were not complete",
            ),
            (ProtocolError::UnknownAck(ID), "ACK for 7/1, which was never sent on this connection"),
            (ProtocolError::UnexpectedEof, "the peer closed the connection in the middle of a frame"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
