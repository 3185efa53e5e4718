//! From a handler's outcome to the ACK.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use spop::{AckError, Actions, EncodeError, NotifyId};

use super::Driver;
use crate::log::{Line, debug, limited_warning};
use crate::server::config::{Failure, FailureKind};
use crate::server::handlers::Outcome;
use crate::server::observer::Watch;
use crate::{BoxError, Request, Unanswered};

impl<Io, C, F, E> Driver<'_, Io, C, F>
where
    C: Fn(Request) -> F,
    F: Future<Output = Result<Actions, E>>,
    E: Into<BoxError>,
{
    pub(super) fn answer(&mut self, id: NotifyId, watch: &Watch<'_>, outcome: Outcome<Result<Actions, E>>) {
        let failed = match outcome {
            Outcome::Done(Ok(actions)) => match self.ack(id, &actions) {
                Ok(()) => None,
                Err(AckError::Usage(error)) => return debug!(%id, %error, "answer dropped"),
                Err(AckError::Encode(error @ EncodeError::FrameTooBig { .. })) => {
                    Some((FailureKind::TooBig, Some(error.into())))
                }
                Err(error) => {
                    let too_long = self.config.check_names(&actions).err().map(BoxError::from);
                    Some((FailureKind::Error, Some(too_long.unwrap_or_else(|| error.into()))))
                }
            },
            Outcome::Done(Err(error)) => {
                watch.span.in_scope(|| self.fail_with(id, error.into()));
                None
            }
            Outcome::Panicked => Some((FailureKind::Panic, None)),
            Outcome::TimedOut => Some((FailureKind::Timeout, None)),
            Outcome::Refused => Some((FailureKind::Overload, None)),
            Outcome::CutOff => {
                self.cut += 1;
                Some((FailureKind::Shutdown, None))
            }
            // Not in flight any more: HAProxy aborted it.
            Outcome::Cancelled => return,
        };
        if let Some((kind, error)) = failed {
            watch.span.in_scope(|| self.fail(id, kind, error));
        }
        watch.answered(id);
    }

    /// Answers for a service that returned an error; what messages that did not fail have come to is before the fallback actions.
    #[cold]
    fn fail_with(&mut self, id: NotifyId, error: BoxError) {
        let (mut done, failures) = Unanswered::of(error).into_parts();
        let mut fallback = None;
        for (index, failure) in failures.into_iter().enumerate() {
            let has_fallback = failure.has_fallback();
            let (kind, message, error) = failure.into_parts();
            let failure = Failure { kind, id, message, error };
            if index == 0 {
                self.observer.failed(&failure);
            } else {
                let limit = &self.observer.limits.also_failed;
                limited_warning!(limit, %id, error = %Line(&failure), "another message of the request failed");
            }
            if !has_fallback && fallback.is_none() {
                fallback = Some(self.fallback(&failure));
            }
        }
        let fallback = fallback.unwrap_or_default();
        if done.is_empty() || !self.ack_if_it_fits(id, done.append(&fallback)) {
            self.ack_fallback(id, &fallback);
        }
    }

    /// Answers with the fallback actions: HAProxy must not wait for its own timeout.
    #[cold]
    pub(super) fn fail(&mut self, id: NotifyId, kind: FailureKind, error: Option<BoxError>) {
        let failure = Failure { kind, id, message: None, error };
        self.observer.failed(&failure);
        let fallback = self.fallback(&failure);
        self.ack_fallback(id, &fallback);
    }

    /// What HAProxy is to be told of a failure.
    fn fallback(&self, failure: &Failure) -> Actions {
        catch_unwind(AssertUnwindSafe(|| (self.config.on_failure)(failure))).unwrap_or_else(|_| {
            let (id, limit) = (failure.id, &self.observer.limits.fallback_panicked);
            limited_warning!(limit, %id, "on_failure panicked, the default answer is sent");
            failure.default_actions()
        })
    }

    fn ack_fallback(&mut self, id: NotifyId, fallback: &Actions) {
        if !self.ack_if_it_fits(id, fallback) {
            let _ = self.ack(id, &Actions::new());
        }
    }

    #[inline]
    fn ack(&mut self, id: NotifyId, actions: &Actions) -> Result<(), AckError> {
        let start = self.out.len();
        self.connection.ack(id, actions, &mut self.out)?;
        self.observer.ack(&self.out, start);
        Ok(())
    }

    /// Answers, unless it does not fit into the frame; gives whether it did.
    fn ack_if_it_fits(&mut self, id: NotifyId, actions: &Actions) -> bool {
        match self.ack(id, actions) {
            Err(AckError::Encode(error)) => {
                let limit = &self.observer.limits.fallback_too_big;
                limited_warning!(limit, %id, %error, "fallback answer does not fit, sending less");
                false
            }
            Ok(()) | Err(_) => true,
        }
    }
}
