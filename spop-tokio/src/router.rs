//! Handlers by message name.

mod answering;
mod gather;
mod request;
mod route;
mod unknown;

use std::fmt;
use std::future::Future;

use spop::Message;

use self::answering::Answering;
pub use self::request::MessageRequest;
pub use self::route::Route;
use self::unknown::Unknown;
use crate::service::MessageSpec;
use crate::{Actions, FailureKind, Handler, MessageFailure, Request, Service, Unanswered};

/// A [`Service`] that has a handler for each message name.
///
/// A handler is a function, plain or async, that names what it needs: its parameters are made from the message and the
/// router's state ([`FromMessage`](crate::FromMessage)), and what it returns becomes actions
/// ([`IntoActions`](crate::IntoActions)).
///
#[cfg_attr(feature = "serde", doc = "```")]
#[cfg_attr(not(feature = "serde"), doc = "```ignore")]
/// use std::net::IpAddr;
/// use std::sync::Arc;
///
/// use serde::Deserialize;
/// use spop_tokio::{Actions, Args, BoxError, Router, Server, State, Var};
///
/// const SCORE: Var = Var::session("ip_score");
///
/// #[derive(Deserialize)]
/// struct Check {
///     ip: Option<IpAddr>, // NULL for a client on a Unix socket
/// }
///
/// # struct Scores;
/// # impl Scores { async fn of(&self, _: IpAddr) -> Result<u8, std::io::Error> { Ok(50) } }
/// async fn check(State(scores): State<Arc<Scores>>, Args(check): Args<Check>) -> Result<Actions, std::io::Error> {
///     let Some(ip) = check.ip else { return Ok(Actions::new()) };
///     Ok(Actions::new().set(SCORE, scores.of(ip).await?))
/// }
///
/// let router = Router::new().message("check-client-ip", check).with_state(Arc::new(Scores));
/// # Server::new(router);
/// ```
///
/// The messages of one NOTIFY (HAProxy sends all messages of an event together) are handled at the same time, and
/// answered in one ACK, their actions in the messages' order. If some fail, by an error, a panic, a limit or the time,
/// the actions of the others are kept, and the fallback actions of [`Server::on_failure`](crate::Server::on_failure)
/// follow, once, for the first failure, unless the messages have fallbacks of their own: [`Route::on_failure`].
///
/// A message without a handler is ignored, and warned about once for each name, as a name in spoe.conf that the agent
/// does not know is most often a mistake.
pub struct Router<S = ()> {
    routes: Vec<(Box<str>, Route<S>)>,
    fallback: Option<Route<S>>,
    max_messages: usize,
    unknown: Unknown,
}

impl<S: 'static> Router<S> {
    /// Creates a router without handlers: it ignores every message.
    pub fn new() -> Self {
        Self { routes: Vec::new(), fallback: None, max_messages: 64, unknown: Unknown::default() }
    }

    /// Has `handler`, a function or a [`Route`], answer the messages called `name`; the last one set for a name
    /// counts.
    #[must_use]
    pub fn message<M>(mut self, name: &str, handler: impl Handler<M, S>) -> Self {
        self.routes.retain(|(known, _)| **known != *name);
        self.routes.push((name.into(), handler.into_route()));
        self
    }

    /// Has `handler`, a function or a [`Route`], answer the messages that no other handler is for. Without it they are
    /// ignored.
    #[must_use]
    pub fn fallback<M>(mut self, handler: impl Handler<M, S>) -> Self {
        self.fallback = Some(handler.into_route());
        self
    }

    /// Limits how many messages a NOTIFY may have; default 64. One with more fails as a whole, as
    /// [`FailureKind::TooBig`].
    ///
    /// HAProxy sends at most as many as spoe.conf lists for one event or group. This bounds what a peer out to do harm
    /// can have called, and kept in memory, with one NOTIFY: its shortest message has three bytes, and one that waits
    /// costs about 600 bytes besides what its handler holds.
    #[must_use]
    pub fn max_messages(mut self, messages: usize) -> Self {
        self.max_messages = messages;
        self
    }

    /// Hands the handlers their [`State`](crate::State): a clone for each message. A handler that takes none can still
    /// be added.
    #[must_use]
    pub fn with_state(self, state: S) -> Router
    where
        S: Clone + Send + Sync,
    {
        let Self { routes, fallback, max_messages, unknown } = self;
        let with_state = |route: Route<S>| route.with_state(state.clone());
        let routes = routes.into_iter().map(|(name, route)| (name, with_state(route))).collect();
        Router { routes, fallback: fallback.map(with_state), max_messages, unknown }
    }
}

impl Router {
    /// Who answers the message, if anybody does.
    #[inline]
    fn route_for(&self, message: &Message<'_>) -> Option<&Route> {
        let known = self.routes.iter().find(|(name, _)| message.name() == **name);
        let route = known.map(|(_, route)| route).or(self.fallback.as_ref());
        if route.is_none() {
            self.unknown.warn(message.name(), self.routes.iter().map(|(name, _)| &**name));
        }
        route
    }

    /// A NOTIFY of no HAProxy's.
    #[cold]
    fn too_many(&self, messages: usize) -> Unanswered {
        let error =
            format!("NOTIFY of {messages} messages, at most {} (Router::max_messages)", self.max_messages);
        MessageFailure::new(FailureKind::TooBig).with_error(error).into()
    }
}

impl Service for Router {
    type Error = Unanswered;

    fn call(&self, request: Request) -> impl Future<Output = Result<Actions, Unanswered>> + Send {
        Answering::new(self, request)
    }

    fn messages(&self) -> Vec<MessageSpec> {
        let spec = |(name, route): &(Box<str>, Route)| route.spec(name);
        self.routes.iter().map(spec).collect()
    }
}

impl<S: 'static> Default for Router<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.routes.iter().map(|(name, route)| (name, route))).finish()
    }
}
