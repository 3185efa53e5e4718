//! From a handler's outcome to the ACK.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use spop::agent::{AckError, Ticket};
use spop::{Actions, NotifyId};

use super::Driver;
use crate::log::limited_warning;
use crate::router::{Partial, Unanswered};
use crate::server::config::{Failure, FailureKind};
use crate::server::handlers::Outcome;
use crate::server::observer::Watch;
use crate::{BoxError, Request};

impl<Io, C, F, E> Driver<'_, Io, C, F>
where
    C: Fn(Request) -> F,
    F: Future<Output = Result<Actions, E>>,
    E: Into<BoxError>,
{
    pub(super) fn answer(&mut self, ticket: Ticket, watch: &Watch<'_>, outcome: Outcome<Result<Actions, E>>) {
        let id = ticket.id();
        let (kind, ticket, error) = match outcome {
            Outcome::Done(Ok(actions)) => match self.ack(ticket, &actions) {
                Ok(()) => return watch.answered(id),
                Err(error) => {
                    let cause = error.encode_error();
                    (FailureKind::TooBig, error.into_ticket(), Some(cause.into()))
                }
            },
            Outcome::Done(Err(error)) => {
                watch.span.in_scope(|| self.fail_with(ticket, error));
                return watch.answered(id);
            }
            Outcome::Panicked => (FailureKind::Panic, ticket, None),
            Outcome::TimedOut => (FailureKind::Timeout, ticket, None),
            Outcome::Refused => (FailureKind::Overload, ticket, None),
            Outcome::CutOff => {
                self.cut += 1;
                (FailureKind::Shutdown, ticket, None)
            }
            // HAProxy gave it up.
            Outcome::Cancelled => return,
        };
        watch.span.in_scope(|| self.fail(ticket, kind, error));
        watch.answered(id);
    }

    /// Answers for a handler that returned an error; what a router's other handlers did comes before the fallback actions.
    #[cold]
    fn fail_with(&mut self, ticket: Ticket, error: E) {
        // It is the user's, and may panic wherever it has code.
        let cause = catch_unwind(AssertUnwindSafe(|| error.into()));
        let Ok(error) = cause else { return self.fail(ticket, FailureKind::Panic, None) };
        let (mut done, error) = match error.downcast::<Partial>() {
            Ok(partial) => (partial.done, partial.error),
            Err(error) => (Actions::new(), error),
        };
        let kind =
            error.downcast_ref::<Unanswered>().map_or(FailureKind::Error, |unanswered| unanswered.kind);
        let fallback = self.fallback(ticket.id(), kind, Some(error));
        let ticket =
            if done.is_empty() { Some(ticket) } else { self.ack_if_it_fits(ticket, done.append(&fallback)) };
        if let Some(ticket) = ticket {
            self.ack_fallback(ticket, &fallback);
        }
    }

    /// Answers with the fallback actions: HAProxy must not wait for its own timeout.
    #[cold]
    pub(super) fn fail(&mut self, ticket: Ticket, kind: FailureKind, error: Option<BoxError>) {
        let fallback = self.fallback(ticket.id(), kind, error);
        self.ack_fallback(ticket, &fallback);
    }

    /// Logs a failure, and asks what HAProxy is to be told.
    fn fallback(&self, id: NotifyId, kind: FailureKind, error: Option<BoxError>) -> Actions {
        let failure = Failure { kind, id, error };
        // The error is the user's: what it says, and its end, may panic.
        let logged = catch_unwind(AssertUnwindSafe(|| self.observer.failed(&failure)));
        let fallback = catch_unwind(AssertUnwindSafe(|| (self.config.on_failure)(&failure)));
        let fallback = fallback.unwrap_or_else(|_| {
            let limit = &self.observer.limits.fallback_panicked;
            limited_warning!(limit, %id, "on_failure panicked, the default answer is sent");
            failure.default_actions()
        });
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(failure)));
        if logged.is_err() || dropped.is_err() {
            let limit = &self.observer.limits.fallback_panicked;
            limited_warning!(limit, %id, %kind, "request failed, and its error panicked");
        }
        fallback
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
