use alloc::boxed::Box;
use alloc::format;
use core::fmt;

use crate::typed_data::DataType;

/// An argument of a message that is not what the handler asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgError {
    message: Box<str>,
    arg: Box<str>,
    kind: ArgErrorKind,
    /// Says more than the kind does, if not empty.
    detail: Box<str>,
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
    /// The type asked for does not take this value; the error's text says why. Only types that serde deserializes do that.
    Rejected,
}

impl ArgError {
    /// `arg` is the name, or for an unnamed argument its position.
    #[cold]
    pub(crate) fn new(message: impl fmt::Display, arg: impl fmt::Display, kind: ArgErrorKind) -> Self {
        let arg = format!("{arg}").into();
        Self { message: format!("{message}").into(), arg, kind, detail: Box::default() }
    }

    /// `arg` is empty if the message as a whole is meant.
    #[cfg(feature = "serde")]
    pub(crate) fn with_detail(
        message: impl fmt::Display,
        arg: Box<str>,
        kind: ArgErrorKind,
        detail: Box<str>,
    ) -> Self {
        Self { arg, detail, ..Self::new(message, "", kind) }
    }

    /// Name of the message, lossy where it is not UTF-8.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Name of the argument, lossy where it is not UTF-8; `#2` for the third by position; empty if it is the message as a
    /// whole that serde cannot make the type from.
    pub fn arg(&self) -> &str {
        &self.arg
    }

    /// What is wrong with it.
    pub fn kind(&self) -> ArgErrorKind {
        self.kind
    }
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
