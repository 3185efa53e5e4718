//! What an operator sees of connections and requests: log events and metrics.

use spop::{Negotiated, NotifyId, Status};

use super::config::{Failure, FailureKind};
use super::metrics::{Measure, Metrics, OpenConnection};
use crate::Request;
use crate::log::{
    Limit, Line, Name, Span, debug, display, limited_warning, request_span, set_engine_id, trace,
};

/// What would be logged too often otherwise, of one server.
#[derive(Debug, Default)]
pub(super) struct Limits {
    failed: [Limit; FailureKind::ALL.len()],
    pub(super) also_failed: Limit,
    pub(super) fallback_panicked: Limit,
    pub(super) error_panicked: Limit,
    pub(super) fallback_too_big: Limit,
    pub(super) connection_failed: Limit,
    pub(super) set_up_failed: Limit,
    pub(super) refused: Limit,
}

/// Looks at one connection.
pub(super) struct Observer<'c> {
    /// The connection's own, in which all happens.
    span: &'c Span,
    pub(super) connection: OpenConnection<'c>,
    pub(super) limits: &'c Limits,
}

impl<'c> Observer<'c> {
    pub(super) fn new(span: &'c Span, metrics: &'c Metrics, limits: &'c Limits) -> Self {
        Self { span, connection: metrics.connection(), limits }
    }

    /// The HELLOs are exchanged.
    pub(super) fn connected(&self, negotiated: &Negotiated) {
        set_engine_id(self.span, negotiated.engine_id.as_deref());
        debug!(max_frame_size = negotiated.max_frame_size, capabilities = %negotiated.capabilities, "connected");
    }

    /// A NOTIFY has come, and can be read.
    #[inline]
    pub(super) fn request(&self, request: &Request) -> Watch<'c> {
        Watch { span: request_span(request), measure: self.connection.metrics().request(request) }
    }

    /// An ACK of `bytes` bytes is to be sent; 0 if nobody waits for it.
    #[inline]
    pub(super) fn ack(&self, bytes: usize) {
        self.connection.metrics().ack(bytes);
    }

    /// A request is answered with the fallback.
    pub(super) fn failed(&self, failure: &Failure) {
        let Failure { kind, id, message, error } = failure;
        self.connection.metrics().failed(*kind);
        let limit = &self.limits.failed[*kind as usize];
        let name = message.as_deref().map(|name| display(Name(name.as_bytes())));
        let error = error.as_ref().map(|error| display(Line(error)));
        limited_warning!(limit, %id, %kind, name, error, "request failed");
    }

    /// It was a health check.
    pub(super) fn checked(&mut self, passed: bool) {
        self.connection.checked(passed);
        debug!(passed, "health check");
    }

    /// HAProxy has sent its DISCONNECT.
    pub(super) fn disconnected(&mut self, status: Status) {
        self.connection.ended_by_haproxy(Some(status));
        debug!(%status, "disconnected by HAProxy");
    }

    /// HAProxy is gone.
    pub(super) fn reset(&mut self, unanswered: usize) {
        self.connection.ended_by_haproxy(None);
        debug!(unanswered, "connection reset by peer");
    }

    /// HAProxy wants no answer to `id` any more.
    pub(super) fn aborted(&self, id: NotifyId) {
        debug!(%id, "request given up by HAProxy");
    }
}

/// Looks at one request, from its NOTIFY on.
pub(super) struct Watch<'c> {
    /// In which its handler works.
    pub(super) span: Span,
    measure: Measure<'c>,
}

impl Watch<'_> {
    /// Looks at nothing.
    pub(super) fn none() -> Self {
        Self { span: Span::none(), measure: Measure::default() }
    }

    /// The handler waits for something.
    pub(super) fn waits(&mut self) {
        self.measure.waits();
    }

    /// The ACK is written.
    #[inline]
    pub(super) fn answered(&self, id: NotifyId) {
        self.measure.answered();
        trace!(parent: &self.span, %id, "request answered");
    }
}
