//! A server at a listener, and its graceful end.

use std::fmt;
use std::future::{Future, IntoFuture, pending};
use std::pin::Pin;

use super::open::Open;
use super::{Listener, Server};
use crate::{Error, Service};

/// A server at a listener: await it. See [`Server::serve`].
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve<S, L, F = std::future::Pending<()>> {
    server: Server<S>,
    listener: L,
    signal: F,
}

/// How a graceful shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Requests that got no answer of their handlers: those that were still in flight when `drain_timeout` was over,
    /// and got the fallback; those whose HAProxy left meanwhile; and those that were dropped when the shutdown was
    /// [forced](ForceShutdown).
    pub unanswered: usize,
}

/// Ends a graceful shutdown at once, when it is ready: see [`Serve::with_graceful_shutdown`].
///
/// `()` becomes one that never is.
pub struct ForceShutdown(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl ForceShutdown {
    /// Ends the graceful shutdown when `signal` is ready.
    pub fn when(signal: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(signal)))
    }

    async fn wait(self) {
        match self.0 {
            Some(signal) => signal.await,
            None => pending().await,
        }
    }
}

impl From<()> for ForceShutdown {
    fn from((): ()) -> Self {
        Self(None)
    }
}

impl fmt::Debug for ForceShutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForceShutdown").finish_non_exhaustive()
    }
}

impl<S, L> Serve<S, L> {
    pub(super) fn new(server: Server<S>, listener: L) -> Self {
        Self { server, listener, signal: pending() }
    }

    /// Ends once `signal` is ready, within [`Server::drain_timeout`], and loses no request behind HAProxy from 3.1 with
    /// another server to go to:
    ///
    /// 1. Health checks fail, so that HAProxy takes this server out of use; all else goes on: see
    ///    [`Server::drain_checks`].
    /// 2. Nothing is accepted any more. Each connection answers what it has, and what still comes; the answer to the
    ///    last request takes the AGENT-DISCONNECT with it. With pipelining HAProxy from 3.1 is asked to have one
    ///    request under way at most from then on, so that none crosses that DISCONNECT. A connection that is quiet for
    ///    a second ends by itself, one that has been quiet before ends at once.
    /// 3. What is left when the time is over gets the fallback answer, and all connections are closed.
    ///
    /// HAProxy up to 3.0 goes on using the connections that it has, and with `option pipelining` some of its requests
    /// may cross a DISCONNECT and fail; with `no option pipelining` none do.
    ///
    /// What `signal` returns may force the end: when the [`ForceShutdown`] is ready, all connections are closed as they
    /// are, and what HAProxy waits for fails at once. `shutdown_signal` (feature `signal`) returns one for a second
    /// signal:
    ///
    /// ```
    /// # use spop_tokio::{ForceShutdown, Listener, Serve, Service};
    /// # use tokio::sync::oneshot;
    /// # type Signal = oneshot::Receiver<()>;
    /// # fn example<S: Service, L: Listener>(serve: Serve<S, L>, stop: Signal, stop_now: Signal) {
    /// let serve = serve.with_graceful_shutdown(async {
    ///     stop.await.ok();
    ///     ForceShutdown::when(async { drop(stop_now.await) })
    /// });
    /// # }
    /// ```
    pub fn with_graceful_shutdown<F>(self, signal: F) -> Serve<S, L, F>
    where
        F: Future<Output: Into<ForceShutdown>>,
    {
        Serve { server: self.server, listener: self.listener, signal }
    }
}

impl<S, L, F> fmt::Debug for Serve<S, L, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").finish_non_exhaustive()
    }
}

impl<S, L, F> IntoFuture for Serve<S, L, F>
where
    S: Service,
    L: Listener,
    F: Future<Output: Into<ForceShutdown>> + Send + 'static,
{
    type Output = Result<Drained, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<S, L, F> Serve<S, L, F>
where
    S: Service,
    L: Listener,
    F: Future<Output: Into<ForceShutdown>>,
{
    async fn run(self) -> Result<Drained, Error> {
        #[cfg(feature = "systemd")]
        if self.server.config.notify_systemd {
            super::systemd::ready();
        }
        let mut open = Open::new(self.server, self.listener);
        let force = open.accept_until(self.signal).await.into();
        tokio::select! {
            biased;
            () = force.wait() => {}
            () = open.shut_down() => {}
        }
        Ok(Drained { unanswered: open.close().await })
    }
}
