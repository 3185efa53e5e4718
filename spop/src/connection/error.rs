//! What can go wrong on a connection: a peer that breaks the protocol, a call that has no place.

use core::fmt;

use super::State;
use crate::Status;
use crate::wire::{DecodeError, FrameType, NotifyId};

/// A peer that breaks the protocol, which ends its connection.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A frame cannot be decoded.
    Decode(DecodeError),
    /// A frame that has no place in this state of the connection.
    UnexpectedFrame {
        /// The frame's type.
        frame_type: FrameType,
        /// The state of the connection when it came.
        state: State,
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
            Self::UnexpectedFrame { frame_type, state } => {
                write!(f, "unexpected {frame_type} frame in state {state:?}")
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

/// A call that the state of the connection does not allow. The connection goes on unchanged.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// The call has no place in this state.
    WrongState(State),
    /// As many NOTIFYs wait for their ACK as the peer takes on one connection.
    WindowFull,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongState(state) => write!(f, "not possible in state {state:?}"),
            Self::WindowFull => f.write_str("too many NOTIFYs wait for their ACK on this connection"),
        }
    }
}

impl core::error::Error for UsageError {}

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
            (UsageError::WrongState(State::Closed), "not possible in phase Closed"),
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
