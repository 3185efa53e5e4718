//! From a handler's outcome to the ACK.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use spop::agent::{AckError, Ticket};
use spop::{Actions, EncodeError};

use super::Driver;
use crate::log::{Line, limited_warning};
use crate::server::config::{Failure, FailureKind};
use crate::server::handlers::Outcome;
use crate::server::observer::Watch;
use crate::unanswered::Unanswered;
use crate::{BoxError, Request};

impl<Io, C, F, E> Driver<'_, Io, C, F>
where
    C: Fn(Request) -> F,
    F: Future<Output = Result<Actions, E>>,
    E: Into<BoxError>,
{
    pub(super) fn respond_with(
        &mut self,
        ticket: Ticket,
        watch: &Watch<'_>,
        outcome: Outcome<Result<Actions, E>>,
    ) {
        let id = ticket.id();
        let (ticket, kind, error) = match outcome {
            Outcome::Done(Ok(actions)) => match self.ack(ticket, &actions) {
                Ok(()) => return watch.answered(id),
                Err(error) => {
                    let (kind, cause) = self.explain(&error, &actions);
                    (error.into_ticket(), kind, Some(cause))
                }
            },
            Outcome::Done(Err(error)) => {
                watch.span.in_scope(|| self.fail_with(ticket, error));
                return watch.answered(id);
            }
            Outcome::Panicked => (ticket, FailureKind::Panic, None),
            Outcome::TimedOut => (ticket, FailureKind::Timeout, None),
            Outcome::Refused => (ticket, FailureKind::Overload, None),
            Outcome::CutOff => {
                self.cut += 1;
                (ticket, FailureKind::Shutdown, None)
            }
            // HAProxy gave it up.
            Outcome::Cancelled => return,
        };
        watch.span.in_scope(|| self.fail(ticket, kind, error));
        watch.answered(id);
    }

    /// Why `actions` cannot be sent.
    #[cold]
    fn explain(&self, error: &AckError, actions: &Actions) -> (FailureKind, BoxError) {
        match error.encode_error() {
            error @ EncodeError::FrameTooBig { .. } => (FailureKind::TooBig, error.into()),
            error => {
                let too_long = self.config.check_names(actions).err().map(BoxError::from);
                (FailureKind::Error, too_long.unwrap_or_else(|| error.into()))
            }
        }
    }

    /// Answers for a service that returned an error; what messages that did not fail have come to is before the
    /// fallback actions.
    #[cold]
    fn fail_with(&mut self, ticket: Ticket, error: E) {
        // The error is the user's, and may panic wherever it has code.
        let known = catch_unwind(AssertUnwindSafe(|| Unanswered::of(error.into()).into_parts()));
        let Ok((mut done, failures)) = known else { return self.fail(ticket, FailureKind::Panic, None) };
        let mut fallback = None;
        for (index, failure) in failures.into_iter().enumerate() {
            let wanted = !failure.has_fallback() && fallback.is_none();
            let (kind, message, error) = failure.into_parts();
            let failure = Failure { kind, id: ticket.id(), message, error };
            let actions = self.tell(failure, index == 0, wanted);
            fallback = fallback.or(actions);
        }
        let fallback = fallback.unwrap_or_default();
        let ticket =
            if done.is_empty() { Some(ticket) } else { self.ack_if_it_fits(ticket, done.append(&fallback)) };
        if let Some(ticket) = ticket {
            self.ack_fallback(ticket, &fallback);
        }
    }

    /// Answers with the fallback actions: HAProxy must not wait for its own timeout.
    #[cold]
    pub(super) fn fail(&mut self, ticket: Ticket, kind: FailureKind, error: Option<BoxError>) {
        let failure = Failure { kind, id: ticket.id(), message: None, error };
        let fallback = self.tell(failure, true, true).unwrap_or_default();
        self.ack_fallback(ticket, &fallback);
    }

    /// Logs a failure, the first of its request or another one, and returns what HAProxy is to be told of it, if that
    /// is wanted.
    ///
    /// What an error of the user's says, and its end, may panic: that costs nobody anything.
    fn tell(&self, failure: Failure, first: bool, wanted: bool) -> Option<Actions> {
        let (id, kind) = (failure.id, failure.kind);
        let limits = self.observer.limits;
        let logged = catch_unwind(AssertUnwindSafe(|| {
            if first {
                self.observer.failed(&failure);
            } else {
                limited_warning!(
                    limits.also_failed, %id, error = %Line(&failure), "another message of the request failed"
                );
            }
        }));
        let actions = wanted.then(|| {
            let actions = catch_unwind(AssertUnwindSafe(|| (self.config.on_failure)(&failure)));
            actions.unwrap_or_else(|_| {
                limited_warning!(limits.fallback_panicked, %id, "on_failure panicked, the default answer is sent");
                failure.default_actions()
            })
        });
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(failure)));
        if logged.is_err() || dropped.is_err() {
            limited_warning!(limits.error_panicked, %id, %kind, "request failed, and its error panicked");
        }
        actions
    }

    fn ack_fallback(&mut self, ticket: Ticket, fallback: &Actions) {
        if let Some(ticket) = self.ack_if_it_fits(ticket, fallback) {
            let _ = self.ack(ticket, &Actions::new());
        }
    }

    #[inline]
    fn ack(&mut self, ticket: Ticket, actions: &Actions) -> Result<(), AckError> {
        let bytes = self.connection.ack(ticket, actions)?;
        self.observer.ack(bytes);
        Ok(())
    }

    /// Answers, unless it does not fit into the frame: then it returns the ticket.
    fn ack_if_it_fits(&mut self, ticket: Ticket, actions: &Actions) -> Option<Ticket> {
        let error = self.ack(ticket, actions).err()?;
        let limit = &self.observer.limits.fallback_too_big;
        let (cause, ticket) = (error.encode_error(), error.into_ticket());
        limited_warning!(limit, id = %ticket.id(), error = %cause, "fallback answer does not fit, sending less");
        Some(ticket)
    }
}
