//! Handlers by message name.

use std::fmt;
use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::join_all;
use spop::{Actions, Message};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::log::{Limit, Line, Name, debug, limited_warning};
use crate::{BoxError, FailureKind, Request, Service};

type Answer = Pin<Box<dyn Future<Output = Result<Actions, BoxError>> + Send>>;
/// Gets the place that the call takes under a limit, and drops it when it is done.
type Handler = Box<dyn Fn(MessageRequest, Option<Place>) -> Answer + Send + Sync>;
type Place = OwnedSemaphorePermit;

/// A [`Service`] that has a handler for each message name, so that slow ones and fast ones can live in one agent.
///
/// The messages of one NOTIFY (HAProxy sends all messages of an event together) are handled at the same time, and answered
/// in one ACK, their actions in the messages' order. If some return an error, the actions of the others are kept, and the
/// fallback actions of [`Server::on_failure`](crate::Server::on_failure) follow, once, for the first error. The same goes for
/// panics and for what is over a limit; a handler that takes too long fails the whole request.
///
/// ```
/// use std::net::IpAddr;
///
/// use spop_tokio::{Actions, BoxError, MessageRequest, Router, Scope, Server};
///
/// async fn check_client_ip(request: MessageRequest) -> Result<Actions, BoxError> {
///     let ip: IpAddr = request.message().get("ip")?;
///     let mut actions = Actions::new();
///     actions.set_var(Scope::Session, "ip_score", if ip.is_loopback() { 100 } else { 50 })?;
///     Ok(actions)
/// }
///
/// let router = Router::new()
///     .message("check-client-ip", check_client_ip)
///     // A scan of the body keeps a thread busy: at most two at a time, any more fail at once.
///     .blocking("scan-body", 2, |request| {
///         let body: &[u8] = request.message().get("body")?;
///         let mut actions = Actions::new();
///         actions.set_var(Scope::Transaction, "clean", !body.contains(&0))?;
///         Ok(actions)
///     });
/// # Server::new(router);
/// ```
#[derive(Default)]
pub struct Router {
    routes: Vec<Route>,
    fallback: Option<Route>,
    /// Failures that are not the first one of their request.
    failed: Limit,
}

struct Route {
    name: Box<str>,
    handler: Handler,
    limit: Option<Arc<Semaphore>>,
}

impl Router {
    /// A router without handlers: it passes over every message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `handler` answer the messages called `name`; the last one given for a name counts.
    #[must_use]
    pub fn message<F, Fut>(self, name: &str, handler: F) -> Self
    where
        F: Fn(MessageRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Actions, BoxError>> + Send + 'static,
    {
        self.route(Route::new(name, None, waiting(handler)))
    }

    /// As [`message`](Self::message), with at most `limit` calls at a time, at least 1. One more fails at once with
    /// [`FailureKind::Overload`](crate::FailureKind::Overload): a message that is slow takes nothing from the others.
    #[must_use]
    pub fn message_limited<F, Fut>(self, name: &str, limit: usize, handler: F) -> Self
    where
        F: Fn(MessageRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Actions, BoxError>> + Send + 'static,
    {
        self.route(Route::new(name, Some(limit), waiting(handler)))
    }

    /// As [`message_limited`](Self::message_limited), for a handler that computes long or blocks: it runs on a thread of its
    /// own (tokio's blocking pool). It cannot be stopped: after `request_timeout` HAProxy has its fallback answer, and the
    /// handler goes on to its end, and counts against `limit` until then.
    #[must_use]
    pub fn blocking<F>(self, name: &str, limit: usize, handler: F) -> Self
    where
        F: Fn(MessageRequest) -> Result<Actions, BoxError> + Send + Sync + 'static,
    {
        self.route(Route::new(name, Some(limit), blocking(handler)))
    }

    /// Has `handler` answer the messages that no other handler is for. Without it they are passed over: no action, and a log
    /// event at debug.
    #[must_use]
    pub fn fallback<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(MessageRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Actions, BoxError>> + Send + 'static,
    {
        self.fallback = Some(Route::new("(any other)", None, waiting(handler)));
        self
    }

    fn route(mut self, route: Route) -> Self {
        self.routes.retain(|known| known.name != route.name);
        self.routes.push(route);
        self
    }

    /// Who answers the message, if anybody does.
    fn route_for(&self, message: &Message<'_>) -> Option<&Route> {
        let known = self.routes.iter().find(|route| message.name() == *route.name);
        let route = known.or(self.fallback.as_ref());
        if route.is_none() {
            debug!(name = %Name(message.name().as_bytes()), "message without a handler");
        }
        route
    }
}

impl Route {
    fn new(name: &str, limit: Option<usize>, handler: Handler) -> Self {
        let places = |limit: usize| Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS)));
        Self { name: name.into(), handler, limit: limit.map(places) }
    }

    /// The answer to the message at `index`. A panic is an error as any other, so that it costs the other messages nothing.
    async fn answer(&self, request: &Request, index: usize) -> Result<Actions, BoxError> {
        let request = MessageRequest { request: request.clone(), index };
        let call = async { self.call(request).await };
        let unwound = |_| Err(Unanswered::error(FailureKind::Panic, &self.name));
        AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(unwound)
    }

    fn call(&self, request: MessageRequest) -> Answer {
        let Some(limit) = &self.limit else { return (self.handler)(request, None) };
        match Arc::clone(limit).try_acquire_owned() {
            Ok(place) => (self.handler)(request, Some(place)),
            Err(_) => Box::pin(ready(Err(Unanswered::error(FailureKind::Overload, &self.name)))),
        }
    }
}

/// A handler that is a future. Its place is free once it is done, or dropped.
fn waiting<F, Fut>(handler: F) -> Handler
where
    F: Fn(MessageRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Actions, BoxError>> + Send + 'static,
{
    Box::new(move |request, place| {
        let answer = handler(request);
        Box::pin(async move {
            let answer = answer.await;
            drop(place);
            answer
        })
    })
}

/// A handler that needs a thread. Its place is free once the thread is, whether somebody still waits or not.
fn blocking<F>(handler: F) -> Handler
where
    F: Fn(MessageRequest) -> Result<Actions, BoxError> + Send + Sync + 'static,
{
    let handler = Arc::new(handler);
    Box::new(move |request, place| {
        let handler = Arc::clone(&handler);
        let work = move || {
            let answer = handler(request);
            drop(place);
            answer
        };
        Box::pin(async move {
            match spawn_blocking(work).await {
                Ok(answer) => answer,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(error) => Err(error.into()),
            }
        })
    })
}

impl Service for Router {
    type Error = BoxError;

    async fn call(&self, request: Request) -> Result<Actions, BoxError> {
        let messages = request.messages().enumerate();
        let routes = messages.filter_map(|(index, message)| Some((index, self.route_for(&message)?)));
        let answers = routes.map(|(index, route)| route.answer(&request, index));
        let (mut done, mut failed) = (Actions::new(), None);
        for answer in join_all(answers).await {
            match answer {
                Ok(actions) => {
                    done.append(&actions);
                }
                Err(error) if failed.is_none() => failed = Some(error),
                Err(error) => {
                    limited_warning!(self.failed, error = %Line(error), "another message of the request failed");
                }
            }
        }
        match failed {
            None => Ok(done),
            Some(error) => Err(Partial { done, error }.into()),
        }
    }

    #[cfg(feature = "metrics")]
    fn message_names(&self) -> Vec<&str> {
        self.routes.iter().map(|route| &*route.name).collect()
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.routes.iter().map(|route| &route.name);
        f.debug_list().entries(names).finish()
    }
}

/// One message of a [`Request`]: what a handler of a [`Router`] gets.
#[derive(Debug)]
pub struct MessageRequest {
    request: Request,
    index: usize,
}

impl MessageRequest {
    /// The message.
    pub fn message(&self) -> Message<'_> {
        // It is there: the index was taken from this request.
        self.request.messages().nth(self.index).unwrap_or_default()
    }

    /// The whole request, with the other messages and the connection.
    pub fn request(&self) -> &Request {
        &self.request
    }
}

/// A message that has no answer of its handler.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) kind: FailureKind,
    message: Box<str>,
}

impl Unanswered {
    fn error(kind: FailureKind, message: &str) -> BoxError {
        Self { kind, message: message.into() }.into()
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FailureKind::Overload => write!(f, "too many requests at work for message {}", self.message),
            _ => write!(f, "the handler of message {} panicked", self.message),
        }
    }
}

impl std::error::Error for Unanswered {}

/// Some messages of a request failed; the answers of the others are kept.
#[derive(Debug)]
pub(crate) struct Partial {
    pub(crate) done: Actions,
    pub(crate) error: BoxError,
}

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// Stands for the error it holds, so it has the same source.
impl std::error::Error for Partial {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
