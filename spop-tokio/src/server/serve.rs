//! The accept loop, and its graceful end.

use std::fmt;
use std::future::{Future, IntoFuture, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Listener, Server};
use crate::log::{debug, warning};
use crate::service::Peer;
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
    /// Requests that got no answer: those whose handlers were not ready when `drain_timeout` was over.
    pub unanswered: usize,
}

impl<S, L> Serve<S, L> {
    pub(super) fn new(server: Server<S>, listener: L) -> Self {
        Self { server, listener, signal: pending() }
    }

    /// Ends once `signal` is ready: stops accepting, lets every connection answer what it has, says goodbye to HAProxy, all
    /// within [`Server::drain_timeout`].
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
        let Self { server, mut listener, signal } = self;
        let drain_timeout = server.config.drain_timeout;
        let permits = Arc::new(Semaphore::new(server.config.max_connections.min(Semaphore::MAX_PERMITS)));
        let server = Arc::new(server);
        let shutdown = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut signal = std::pin::pin!(signal);
        loop {
            let accept = async {
                // Never closed, so there is always one to come.
                let permit = Arc::clone(&permits).acquire_owned().await.ok();
                (permit, listener.accept().await)
            };
            tokio::select! {
                () = &mut signal => break,
                Some(ended) = connections.join_next() => {
                    report(ended);
                }
                (permit, (io, peer)) = accept => {
                    let (server, shutdown) = (Arc::clone(&server), shutdown.clone());
                    connections.spawn(async move {
                        let _permit = permit;
                        serve_one(&server, io, peer, shutdown).await
                    });
                }
            }
        }
        drop(listener);
        shutdown.cancel();
        let mut drained = Drained { unanswered: 0 };
        let all = async {
            while let Some(ended) = connections.join_next().await {
                drained.unanswered += report(ended);
            }
        };
        if timeout(drain_timeout, all).await.is_err() {
            drained.unanswered += server.waiting.load(Ordering::Relaxed);
            connections.shutdown().await;
        }
        Ok(drained)
    }
}

/// How many requests a connection left without an answer.
fn report(ended: Result<usize, JoinError>) -> usize {
    ended.unwrap_or_else(|error| {
        // Only a fallback of the user's can panic there.
        warning!(%error, "connection failed");
        0
    })
}

async fn serve_one<S: Service, Io>(
    server: &Server<S>,
    io: Io,
    peer: Peer,
    shutdown: CancellationToken,
) -> usize
where
    Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    debug!(%peer, "connection accepted");
    let result = server.run(io, peer.clone(), shutdown).await;
    match result {
        Ok(unanswered) => {
            debug!(%peer, unanswered, "connection ended");
            unanswered
        }
        Err(error) => {
            warning!(%peer, %error, "connection failed");
            0
        }
    }
}
