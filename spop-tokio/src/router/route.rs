//! One handler with its limits.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use futures_util::FutureExt;
use spop::{Actions, Var};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::extract::MessageRef;
use crate::handler::{Answer, Call, Called, Calling, Erased, WithState};
use crate::service::MessageSpec;
use crate::{BlockingHandler, BoxError, FailureKind, Handler, IntoActions, MessageFailure};

type OnFailure = Box<dyn Fn(&MessageFailure, &MessageRef<'_>) -> Result<Actions, BoxError> + Send + Sync>;

/// A handler with limits of its own: what [`Router::message`](crate::Router::message) takes in place of a function.
///
/// ```
/// use std::time::Duration;
///
/// use spop_tokio::{MessageFailure, MessageRef, MessageRequest, Route, Router, Var};
///
/// const CLEAN: Var = Var::transaction("clean");
///
/// fn scan(request: MessageRequest) -> Result<(Var, bool), spop_tokio::spop::ArgError> {
///     let body: &[u8] = request.get("body")?;
///     Ok((CLEAN, !body.contains(&0)))
/// }
///
/// // A scan keeps a thread busy: at most two at a time, and no one waits for one longer than this.
/// let scan = Route::blocking(scan)
///     .concurrency(2)
///     .time_limit(Duration::from_millis(200))
///     .on_failure(|_: &MessageFailure, _: &MessageRef<'_>| (CLEAN, false))
///     .sets([CLEAN]);
/// let router = Router::new().message("scan-body", scan);
/// # spop_tokio::Server::new(router);
/// ```
pub struct Route<S = ()> {
    handler: Box<dyn Call<S>>,
    arg_names: Option<&'static [&'static str]>,
    time_limit: Option<Duration>,
    concurrency: Option<Arc<Semaphore>>,
    on_failure: Option<OnFailure>,
    /// What it says of itself.
    about: MessageSpec,
}

/// Marks routes among what can be a [`Handler`].
#[derive(Debug)]
pub struct IsRoute;

impl<S: 'static> Route<S> {
    /// Creates a route without limits from a function, plain or async.
    pub fn new<M>(handler: impl Handler<M, S>) -> Self {
        Self::erased(handler.erase())
    }

    /// Creates a route from a plain function that computes long or blocks: it runs on a thread of its own (tokio's
    /// blocking pool).
    ///
    /// It cannot be stopped. Once its [`time_limit`](Self::time_limit) or the server's is over HAProxy has its fallback
    /// answer, and the function goes on to its end, and counts against [`concurrency`](Self::concurrency) until then:
    /// set one.
    pub fn blocking<M>(handler: impl BlockingHandler<M, S>) -> Self {
        Self::erased(handler.erase_blocking())
    }

    pub(crate) fn erased(Erased { call, arg_names }: Erased<S>) -> Self {
        let about = MessageSpec::new("");
        Self { handler: call, arg_names, time_limit: None, concurrency: None, on_failure: None, about }
    }

    /// Limits how long the handler may take; default as long as
    /// [`Server::request_timeout`](crate::Server::request_timeout) lets it. Then it is dropped, and the message fails
    /// with [`FailureKind::Timeout`]. A limit past that of the server has no effect.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Limits how many calls may be in flight at a time, on all connections, at least 1; default no limit but
    /// [`Server::max_requests`](crate::Server::max_requests). One more fails at once with [`FailureKind::Overload`]: a
    /// message that is slow takes nothing from the others.
    #[must_use]
    pub fn concurrency(mut self, limit: usize) -> Self {
        self.concurrency = Some(Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS))));
        self
    }

    /// Sets what to answer if the message fails, in place of [`Server::on_failure`](crate::Server::on_failure); an
    /// error leaves it to that. The failure is logged and counted all the same.
    #[must_use]
    pub fn on_failure<F, R>(mut self, fallback: F) -> Self
    where
        F: Fn(&MessageFailure, &MessageRef<'_>) -> R + Send + Sync + 'static,
        R: IntoActions,
    {
        self.on_failure = Some(Box::new(move |failure, message| fallback(failure, message).into_actions()));
        self
    }

    /// Declares which variables the handler sets, so that [`Server::var_prefix`](crate::Server::var_prefix) can check
    /// them before the server starts. Nothing holds the handler to it.
    #[must_use]
    pub fn sets(mut self, vars: impl IntoIterator<Item = Var>) -> Self {
        self.about.vars.extend(vars);
        self
    }

    /// Declares what spoe.conf has behind `args` for the message, such as `["ip=src", "path=path"]`: for
    /// [`Server::spoe_conf`](crate::Server::spoe_conf), which knows without it what is called like a sample.
    #[must_use]
    pub fn samples(mut self, samples: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.about.samples.extend(samples.into_iter().map(Into::into));
        self
    }

    /// Declares when HAProxy should send the message, such as `on-client-session`: for
    /// [`Server::spoe_conf`](crate::Server::spoe_conf); default `on-frontend-http-request`.
    #[must_use]
    pub fn event(mut self, event: impl Into<String>) -> Self {
        self.about.event = Some(event.into());
        self
    }

    pub(super) fn with_state(self, state: S) -> Route<()>
    where
        S: Send + Sync,
    {
        let Self { handler, arg_names, time_limit, concurrency, on_failure, about } = self;
        let handler = Box::new(WithState { handler, state });
        Route { handler, arg_names, time_limit, concurrency, on_failure, about }
    }

    pub(super) fn spec(&self, name: &str) -> MessageSpec {
        let about = self.about.clone();
        MessageSpec { name: name.into(), args: self.arg_names, at_once: self.handler.is_at_once(), ..about }
    }
}

impl Route {
    /// Calls the handler, and adds its actions to `done` if it answers at once. A panic is a failure as any other, so
    /// that it costs the other messages nothing.
    #[inline]
    pub(super) fn start(
        &self,
        message: &MessageRef<'_>,
        done: &mut Actions,
        task: &mut Context<'_>,
    ) -> Started {
        let place = match &self.concurrency {
            None => None,
            Some(limit) => match Arc::clone(limit).try_acquire_owned() {
                Ok(place) => Some(place),
                Err(_) => return Started::Failed(Fault::of(FailureKind::Overload)),
            },
        };
        let calling = Calling { place, done, task };
        match catch_unwind(AssertUnwindSafe(|| self.handler.call(message, &(), calling))) {
            Ok(Called::Done) => Started::Done,
            Ok(Called::Failed(error)) => Started::Failed(Fault::error(error)),
            Ok(Called::Waits(answer)) => Started::Waits(answer),
            Err(_) => Started::Failed(Fault::of(FailureKind::Panic)),
        }
    }

    pub(super) fn has_fallback(&self) -> bool {
        self.on_failure.is_some()
    }

    /// Waits for an answer, at most as long as the handler may take, and `limit`.
    pub(super) async fn outcome(&self, answer: Answer, limit: Option<Duration>) -> Outcome {
        let answer = AssertUnwindSafe(answer).catch_unwind();
        let answer = match self.time_limit.into_iter().chain(limit).min() {
            None => answer.await,
            Some(limit) => match timeout(limit, answer).await {
                Ok(answer) => answer,
                Err(_) => return Err(Fault::of(FailureKind::Timeout)),
            },
        };
        match answer {
            Ok(answer) => answer.map_err(Fault::error),
            Err(_) => Err(Fault::of(FailureKind::Panic)),
        }
    }

    /// A message has failed: adds the actions of `on_failure` to `done`, and says what there is to tell the server.
    #[cold]
    pub(super) fn fail(&self, fault: Fault, message: &MessageRef<'_>, done: &mut Actions) -> MessageFailure {
        let mut failure = MessageFailure::new(fault.kind).of_message(message.message().name().to_string());
        if let Some(error) = fault.error {
            failure = failure.with_error(error);
        }
        let Some(on_failure) = &self.on_failure else { return failure };
        // If it fails itself, the server's own fallback is left.
        if let Ok(Ok(actions)) = catch_unwind(AssertUnwindSafe(|| on_failure(&failure, message))) {
            done.append(&actions);
            failure.set_has_fallback();
        }
        failure
    }
}

impl<S: 'static> Handler<IsRoute, S> for Route<S> {
    fn erase(self) -> Erased<S> {
        Erased { call: self.handler, arg_names: self.arg_names }
    }

    fn into_route(self) -> Route<S> {
        self
    }
}

impl<S> fmt::Debug for Route<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("args", &self.arg_names)
            .field("sets", &self.about.vars)
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}

/// What became of a message.
pub(super) type Outcome = Result<Actions, Fault>;

/// Why a message has no answer.
pub(super) struct Fault {
    kind: FailureKind,
    error: Option<BoxError>,
}

impl Fault {
    #[cold]
    pub(super) fn of(kind: FailureKind) -> Self {
        Self { kind, error: None }
    }

    #[cold]
    pub(super) fn error(error: BoxError) -> Self {
        Self { kind: FailureKind::Error, error: Some(error) }
    }
}

/// What a call has come to at once.
pub(super) enum Started {
    /// Its actions have been added.
    Done,
    Failed(Fault),
    Waits(Answer),
}
