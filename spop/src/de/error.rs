//! The error on its way out of serde: the argument is known a few calls up, the message at the end.

use alloc::boxed::Box;
use alloc::format;
use core::fmt;

use serde_core::de::{self, Expected, Unexpected};

use crate::frame::ArgError;
use crate::wire::{ArgErrorKind, Text};

#[derive(Debug)]
pub(super) struct Error {
    arg: Option<Box<str>>,
    kind: ArgErrorKind,
    detail: Box<str>,
}

impl Error {
    fn rejected(detail: impl fmt::Display) -> Self {
        Self { arg: None, kind: ArgErrorKind::Rejected, detail: format!("{detail}").into() }
    }

    fn of_arg(arg: &str, kind: ArgErrorKind) -> Self {
        Self { arg: Some(arg.into()), ..Self::from(kind) }
    }

    /// Says which argument it was, if that is not known yet: unnamed ones by position.
    #[cold]
    pub(super) fn at(self, index: usize, name: Text<'_>) -> Self {
        let name = || if name == "" { format!("#{index}") } else { format!("{name}") };
        Self { arg: self.arg.or_else(|| Some(name().into())), ..self }
    }

    #[cold]
    pub(super) fn of_message(self, message: Text<'_>) -> ArgError {
        ArgError::with_detail(message, self.arg.unwrap_or_default(), self.kind, self.detail)
    }
}

impl From<ArgErrorKind> for Error {
    #[cold]
    fn from(kind: ArgErrorKind) -> Self {
        Self { arg: None, kind, detail: Box::default() }
    }
}

/// What comes from a client is in none of the texts, as they end up in logs.
impl de::Error for Error {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::rejected(text)
    }

    fn invalid_type(_: Unexpected<'_>, want: &dyn Expected) -> Self {
        Self::rejected(format_args!("want {want}"))
    }

    fn invalid_value(_: Unexpected<'_>, want: &dyn Expected) -> Self {
        Self::rejected(format_args!("want {want}"))
    }

    fn invalid_length(len: usize, want: &dyn Expected) -> Self {
        Self::rejected(format_args!("want {want}, got {len}"))
    }

    fn unknown_variant(_: &str, variants: &'static [&'static str]) -> Self {
        Self::rejected(format_args!("want one of {variants:?}"))
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        ArgErrorKind::Unknown.into()
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of_arg(field, ArgErrorKind::Missing)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self { arg: Some(field.into()), ..Self::rejected("given under two names") }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)
    }
}

impl core::error::Error for Error {}
