//! Services of tower's: the cargo feature `tower`.
//!
//! [`FromTower`] makes a [`Service`] of a `tower::Service<Request>`, such as a stack of tower's layers, and [`ToTower`]
//! one of tower's from a [`Service`], to be what such a stack is around:
//!
//! ```
//! use std::time::Duration;
//!
//! use spop_tokio::tower::{FromTower, ToTower};
//! use spop_tokio::{Router, Server};
//! use tower::ServiceBuilder;
//!
//! let agent = Router::new().message("check", || ());
//! let stack = ServiceBuilder::new()
//!     .load_shed() // one more is an error at once, which is what HAProxy needs
//!     .concurrency_limit(1000)
//!     .timeout(Duration::from_millis(200))
//!     .service(ToTower::new(agent));
//! # let _ = || {
//! Server::new(FromTower::new(stack));
//! # };
//! ```
//!
//! Without `load_shed` a request over the concurrency limit waits, for as long as [`Server::request_timeout`] lets it,
//! and counts against [`Server::max_requests`]. tower's errors are failures of the kind `error`, whatever they mean; to
//! say otherwise, map them to an [`Unanswered`](crate::Unanswered). What a [`Router`](crate::Router) says of the
//! messages that it could answer gets through.
//!
//! [`Server::request_timeout`]: crate::Server::request_timeout
//! [`Server::max_requests`]: crate::Server::max_requests

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use spop::Actions;
use tower_service::Service as TowerService;

use crate::service::MessageSpec;
use crate::{BoxError, Request, Service};

/// A [`Service`] of tower's one, which is cloned for each request: see the [module](self).
pub struct FromTower<T> {
    service: T,
    messages: Vec<MessageSpec>,
}

impl<T> FromTower<T> {
    /// Creates one of `service`, which is cloned for each request, awaited to be ready, and called once.
    pub fn new(service: T) -> Self {
        Self { service, messages: Vec::new() }
    }

    /// Declares which messages it knows, as [`Service::messages`] of what is inside does: it cannot be asked through
    /// tower's layers.
    #[must_use]
    pub fn with_messages(self, messages: Vec<MessageSpec>) -> Self {
        Self { messages, ..self }
    }
}

impl<T> fmt::Debug for FromTower<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromTower").finish_non_exhaustive()
    }
}

impl<T> Service for FromTower<T>
where
    T: TowerService<Request, Response = Actions> + Clone + Send + Sync + 'static,
    T::Error: Into<BoxError> + Send,
    T::Future: Send,
{
    type Error = T::Error;

    fn call(&self, request: Request) -> impl Future<Output = Result<Actions, T::Error>> + Send {
        let mut service = self.service.clone();
        async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            service.call(request).await
        }
    }

    fn messages(&self) -> Vec<MessageSpec> {
        self.messages.clone()
    }
}

/// A service of tower's from a [`Service`], always ready: see the [module](self).
pub struct ToTower<S>(Arc<S>);

impl<S: Service> ToTower<S> {
    /// Creates one of `service`, which its clones share.
    pub fn new(service: S) -> Self {
        Self(Arc::new(service))
    }
}

impl<S> Clone for ToTower<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for ToTower<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToTower").finish_non_exhaustive()
    }
}

impl<S: Service> TowerService<Request> for ToTower<S>
where
    S::Error: Send,
{
    type Response = Actions;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Actions, S::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let service = Arc::clone(&self.0);
        Box::pin(async move { service.call(request).await })
    }
}
