//! What can be wrong with a frame that is being built, and with the arguments of one that came.

use alloc::boxed::Box;
use alloc::format;
use core::fmt;

use crate::wire::{ArgErrorKind, DecodeError};

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

/// An argument of a message that is not what the handler asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgError {
    message: Box<str>,
    arg: Box<str>,
    kind: ArgErrorKind,
    /// Says more than the kind does, if not empty.
    detail: Box<str>,
}

impl ArgError {
    /// Creates the error; `arg` is the name, or for an unnamed argument its position.
    #[cold]
    pub(crate) fn new(message: impl fmt::Display, arg: impl fmt::Display, kind: ArgErrorKind) -> Self {
        let arg = format!("{arg}").into();
        Self { message: format!("{message}").into(), arg, kind, detail: Box::default() }
    }

    /// Creates the error; `arg` is empty if the message as a whole is meant.
    #[cfg(feature = "serde")]
    pub(crate) fn with_detail(
        message: impl fmt::Display,
        arg: Box<str>,
        kind: ArgErrorKind,
        detail: Box<str>,
    ) -> Self {
        Self { arg, detail, ..Self::new(message, "", kind) }
    }

    /// Returns the name of the message, lossy where it is not UTF-8.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the name of the argument, lossy where it is not UTF-8; `#2` for the third by position; empty if it is
    /// the message as a whole that serde cannot make the type from.
    pub fn arg(&self) -> &str {
        &self.arg
    }

    /// Returns what is wrong with it.
    pub fn kind(&self) -> ArgErrorKind {
        self.kind
    }
}

impl fmt::Display for ArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {}", self.message)?;
        if !self.arg.is_empty() {
            write!(f, ", argument {}", self.arg)?;
        }
        write!(f, ": {}", self.kind)?;
        if !self.detail.is_empty() {
            write!(f, ", {}", self.detail)?;
        }
        Ok(())
    }
}

impl core::error::Error for ArgError {}

#[cfg(test)]
mod tests {
    use super::*;

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
        }
    }
}
