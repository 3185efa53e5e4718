//! The accept loop, and its graceful end.

use std::fmt;
use std::future::{Future, IntoFuture, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet, unconstrained, yield_now};
use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::connection::End;
use super::listener::BACKLOG;
use super::shutdown::Shutdown;
use super::{Listener, Server};
use crate::log::{connection_span, debug, limited_warning, warning};
use crate::service::Peer;
use crate::{Error, Service};

/// How long the connections may take to say goodbye after the deadline: one for the last answers, one for HAProxy to close.
const GOODBYE: Duration = Duration::from_secs(3);

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
    /// Requests that got no answer of their handlers: those that were still at work when `drain_timeout` was over, and got
    /// the fallback, and those whose HAProxy left meanwhile.
    pub unanswered: usize,
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
    /// 2. Nothing is accepted any more. Each connection answers what it has, and what still comes; the answer to the last
    ///    request takes the AGENT-DISCONNECT with it. With pipelining HAProxy from 3.1 is asked to have one request under way
    ///    at most from then on, so that none crosses that goodbye. A connection that is quiet for a second ends by itself, one
    ///    that has been quiet before ends at once.
    /// 3. What is left when the time is over gets the fallback answer, and all connections are closed.
    ///
    /// HAProxy up to 3.0 goes on using the connections that it has, and with `option pipelining` some of its requests may
    /// cross a goodbye and fail; with `no option pipelining` none do.
    pub fn with_graceful_shutdown<F: Future<Output = ()>>(self, signal: F) -> Serve<S, L, F> {
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
    F: Future<Output = ()> + Send + 'static,
{
    type Output = Result<Drained, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<S: Service, L: Listener, F: Future<Output = ()>> Serve<S, L, F> {
    async fn run(self) -> Result<Drained, Error> {
        let Self { server, listener, signal } = self;
        let (checks, drain_timeout) = (server.config.drain_checks, server.config.drain_timeout);
        let mut open = Open::new(server, listener);
        open.accept_until(signal).await;
        let deadline = Instant::now() + drain_timeout;
        // The rest is for the connections: some requests may take their whole request_timeout, and then it must be quiet.
        let for_checks = drain_timeout * 2 / 3;
        let mut unanswered = 0;
        if checks > 0 && !open.listener.is_taken_over() && open.shutdown.was_checked_within(for_checks) {
            debug!(checks, "shutdown: failing health checks");
            open.shutdown.fail_checks();
            let shutdown = Arc::clone(&open.shutdown);
            let failed = async {
                // More are better, but the rest has to go on.
                let _ = timeout(for_checks, shutdown.checks_failed(checks)).await;
            };
            unanswered += open.accept_until(failed).await;
        }
        open.shutdown.fail_checks();
        open.accept_backlog().await;
        debug!("shutdown: draining connections");
        unanswered += open.drain(deadline).await;
        Ok(Drained { unanswered })
    }
}

/// A server that listens, and its connections.
struct Open<S, L> {
    server: Arc<Server<S>>,
    listener: L,
    permits: Arc<Semaphore>,
    connections: JoinSet<usize>,
    shutdown: Arc<Shutdown>,
}

impl<S: Service, L: Listener> Open<S, L> {
    fn new(server: Server<S>, listener: L) -> Self {
        let permits = server.config.max_connections.min(Semaphore::MAX_PERMITS);
        Self {
            server: Arc::new(server),
            listener,
            permits: Arc::new(Semaphore::new(permits)),
            connections: JoinSet::new(),
            shutdown: Shutdown::new(),
        }
    }

    /// Accepts connections; gives how many requests those left without an answer that ended meanwhile.
    async fn accept_until(&mut self, end: impl Future<Output = ()>) -> usize {
        let mut end = pin!(end);
        let mut unanswered = 0;
        loop {
            tokio::select! {
                // A flood of connections must not keep the others waiting.
                biased;
                () = &mut end => return unanswered,
                Some(ended) = self.connections.join_next() => unanswered += report(ended),
                accepted = accept(&self.permits, &mut self.listener) => self.spawn(accepted),
            }
        }
    }

    /// Accepts what the system has accepted already: HAProxy takes it for connected.
    async fn accept_backlog(&mut self) {
        // The runtime gets to know what has come by now.
        yield_now().await;
        for _ in 0..BACKLOG {
            match unconstrained(accept(&self.permits, &mut self.listener)).now_or_never() {
                Some(accepted) => self.spawn(accepted),
                None => return,
            }
        }
    }

    fn spawn(&mut self, (permit, (io, peer)): Accepted<L::Io>) {
        let (server, shutdown) = (Arc::clone(&self.server), Arc::clone(&self.shutdown));
        self.connections.spawn(async move {
            let _permit = permit;
            serve_one(&server, io, peer, shutdown).await
        });
    }

    /// Lets all connections end, by `deadline`; gives how many requests were left without an answer.
    async fn drain(mut self, deadline: Instant) -> usize {
        drop(self.listener);
        self.shutdown.drain(deadline);
        let mut unanswered = 0;
        let all = async {
            while let Some(ended) = self.connections.join_next().await {
                unanswered += report(ended);
            }
        };
        // They end by themselves, unless a handler or a stream does not give its thread back.
        if timeout_at(deadline + GOODBYE, all).await.is_err() {
            unanswered += self.server.waiting.load(Ordering::Relaxed);
            self.connections.shutdown().await;
        }
        unanswered
    }
}

/// A connection, and its place among those that may be open.
type Accepted<Io> = (Option<OwnedSemaphorePermit>, (Io, Peer));

async fn accept<L: Listener>(permits: &Arc<Semaphore>, listener: &mut L) -> Accepted<L::Io> {
    // Never closed, so there is always one to come.
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    (permit, listener.accept().await)
}

/// How many requests a connection left without an answer.
fn report(ended: Result<usize, JoinError>) -> usize {
    ended.unwrap_or_else(|error| {
        // Only a stream of the user's can panic there.
        warning!(%error, "connection panicked");
        0
    })
}

async fn serve_one<S: Service, Io>(server: &Server<S>, io: Io, peer: Peer, shutdown: Arc<Shutdown>) -> usize
where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let span = connection_span(&peer);
    span.in_scope(|| debug!("connection accepted"));
    let End { unanswered, result } = server.run(io, peer, shutdown, &span).await;
    span.in_scope(|| match result {
        Ok(()) => debug!(unanswered, "connection ended"),
        Err(error) => {
            limited_warning!(server.limits.connection_failed, unanswered, %error, "connection failed");
        }
    });
    unanswered
}
