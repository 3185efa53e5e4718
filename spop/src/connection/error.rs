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
    /// Returns the code that the DISCONNECT for this error carries.
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
    use crate::wire::DecodeErrorKind;

    const ID: NotifyId = NotifyId { stream_id: 7, frame_id: 1 };

    #[test]
    fn a_fault_of_a_frame_is_told_as_it_is() {
        let error = DecodeError::new(DecodeErrorKind::Truncated, 11);
        assert_eq!(ProtocolError::from(error).to_string(), error.to_string());
    }

    #[test]
    fn faults_in_the_order_of_calls_say_what_is_not_possible() {
        for (error, text) in [
            (UsageError::WrongState(State::Closed), "not possible in state Closed"),
            (UsageError::WindowFull, "too many NOTIFYs wait for their ACK on this connection"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn breaches_of_the_protocol_name_the_frames() {
        let found = NotifyId { stream_id: 9, frame_id: 1 };
        let (frame_type, state) = (FrameType::NOTIFY, State::Hello);
        for (error, text) in [
            (ProtocolError::UnexpectedFrame { frame_type, state }, "unexpected NOTIFY frame in state Hello"),
            (ProtocolError::MaxFrameSize(255), "max-frame-size 255 is too big or too small"),
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
