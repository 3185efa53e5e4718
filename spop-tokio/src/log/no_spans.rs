//! Without the feature `tracing`: nothing, in the shape of `spans.rs`.

use crate::Request;
use crate::service::Peer;

#[derive(Clone, Default)]
pub(crate) struct Span;

pub(crate) struct Entered;

impl Span {
    pub(crate) fn none() -> Self {
        Self
    }

    pub(crate) fn enter(&self) -> Entered {
        Entered
    }

    pub(crate) fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        work()
    }
}

pub(crate) trait Instrument: Sized {
    fn instrument(self, _: Span) -> Self {
        self
    }
}

impl<F: Future> Instrument for F {}

pub(crate) fn connection_span(_: &Peer) -> Span {
    Span
}

pub(crate) fn set_engine_id(_: &Span, _: Option<&[u8]>) {}

pub(crate) fn request_span(_: &Request) -> Span {
    Span
}

#[derive(Debug, Default)]
pub(crate) struct Limit;

/// A value of an event.
pub(crate) fn display<T>(value: T) -> T {
    value
}
