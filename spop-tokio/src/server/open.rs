//! A server that listens, and its connections.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{io, iter};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet, yield_now};
use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::admission::{Admitted, PLACES, Place, Prefixed, Queue, admit, refuse};
use super::connection::End;
use super::listener::BACKLOG;
use super::shutdown::Shutdown;
use super::{Listener, Server};
use crate::Service;
use crate::log::{Line, connection_span, debug, info, limited_warning, warning};
use crate::service::Peer;

/// How long the connections may take to end after the deadline: one for the last answers, one for HAProxy to close.
const CLOSING: Duration = Duration::from_secs(3);
/// How long a connection may take to end that is dropped. It takes a moment, unless its handler keeps the thread.
const DROP: Duration = Duration::from_millis(100);

/// A server that listens, and its connections.
pub(super) struct Open<S, L> {
    server: Arc<Server<S>>,
    /// Until nothing is accepted any more.
    listener: Option<L>,
    /// One for each connection that may be served.
    permits: Arc<Semaphore>,
    queue: Queue,
    connections: JoinSet<usize>,
    shutdown: Arc<Shutdown>,
    /// Requests that were left without an answer, since the shutdown began.
    unanswered: usize,
}

impl<S: Service, L: Listener> Open<S, L> {
    pub(super) fn new(server: Server<S>, listener: L) -> Self {
        let permits = server.config.max_connections.min(Semaphore::MAX_PERMITS - PLACES);
        Self {
            server: Arc::new(server),
            listener: Some(listener),
            permits: Arc::new(Semaphore::new(permits)),
            queue: Queue::default(),
            connections: JoinSet::new(),
            shutdown: Shutdown::new(),
            unanswered: 0,
        }
    }

    /// Accepts connections.
    pub(super) async fn accept_until<T>(&mut self, end: impl Future<Output = T>) -> T {
        let mut end = pin!(end);
        loop {
            let setup = tokio::select! {
                // A flood of connections must not keep the others waiting.
                biased;
                output = &mut end => return output,
                Some(ended) = self.connections.join_next() => {
                    self.unanswered += report(ended);
                    continue;
                }
                setup = accept(&mut self.listener) => setup,
            };
            self.spawn(setup);
            if self.permits.available_permits() == 0 {
                // Whoever had to go for it goes before the next one comes.
                yield_now().await;
            }
        }
    }

    /// Ends when all connections have: first health checks fail, then each connection answers what it has.
    pub(super) async fn shut_down(&mut self) {
        let time = self.server.config.drain_timeout;
        let deadline = Instant::now() + time;
        // The rest is for the connections: some requests may take their whole request_timeout, and then it must be
        // quiet.
        let for_checks = time * 2 / 3;
        let checks = self.checks_to_fail(for_checks);
        self.unanswered = 0;
        self.announce(checks);
        if checks > 0 {
            debug!(checks, "shutdown: failing health checks");
            self.shutdown.fail_checks();
            let shutdown = Arc::clone(&self.shutdown);
            // More are better, but the rest has to go on.
            let _ = self.accept_until(timeout(for_checks, shutdown.checks_failed(checks))).await;
        }
        self.shutdown.fail_checks();
        self.close_listener().await;
        debug!("shutdown: draining connections");
        self.drain(deadline).await;
    }

    /// How many health checks are to fail before anything else ends.
    fn checks_to_fail(&self, within: Duration) -> u32 {
        let taken_over = self.listener.as_ref().is_some_and(Listener::is_taken_over);
        if taken_over || !self.shutdown.was_checked_within(within) {
            0
        } else {
            self.server.config.drain_checks
        }
    }

    /// Logs what the shutdown waits for, if it waits.
    fn announce(&self, checks: u32) {
        let at_most = self.server.config.drain_timeout + CLOSING;
        #[cfg(feature = "systemd")]
        if self.server.config.notify_systemd {
            super::systemd::stopping(at_most);
        }
        let (connections, requests) = (self.connections.len(), self.server.waiting.load(Ordering::Relaxed));
        if connections > 0 || checks > 0 {
            info!(connections, requests, checks, ?at_most, "shutdown: waiting");
        }
    }

    /// Closes the listener, after accepting what the system has accepted already: HAProxy takes it for connected.
    async fn close_listener(&mut self) {
        // The runtime gets to know what has come by now.
        yield_now().await;
        let Some(mut listener) = self.listener.take() else { return };
        // What comes between the last one and the close is lost, so that must be quick.
        let waiting: Vec<_> = iter::from_fn(|| listener.accept_waiting()).take(BACKLOG as usize).collect();
        drop(listener);
        waiting.into_iter().for_each(|setup| self.spawn(setup));
    }

    fn spawn(&mut self, setup: L::Setup) {
        let (server, shutdown) = (Arc::clone(&self.server), Arc::clone(&self.shutdown));
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            self.connections.spawn(async move {
                let _permit = permit;
                let Some((io, peer)) = set_up(&server, setup).await else { return 0 };
                serve_one(&server, Prefixed::new(io), peer, shutdown).await
            });
        } else {
            let (permits, place) = (Arc::clone(&self.permits), self.queue.join());
            self.connections.spawn(serve_in_turn(server, setup, shutdown, permits, place));
        }
    }

    /// Lets all connections end, by `deadline`.
    async fn drain(&mut self, deadline: Instant) {
        self.shutdown.drain(deadline);
        // Nobody comes after those that wait for their turn.
        self.permits.add_permits(PLACES);
        let all = async {
            while let Some(ended) = self.connections.join_next().await {
                self.unanswered += report(ended);
            }
        };
        // They end by themselves, unless a handler or a stream does not let go of its thread.
        let _ = timeout_at(deadline + CLOSING, all).await;
    }

    /// Drops what is left; returns how many requests were left without an answer since the shutdown began.
    pub(super) async fn close(mut self) -> usize {
        let waiting = || self.server.waiting.load(Ordering::Relaxed);
        let before = waiting();
        self.connections.abort_all();
        let all = async { while self.connections.join_next().await.is_some() {} };
        let _ = timeout(DROP, all).await;
        // A handler that keeps its thread cannot be dropped, and is not waited for: its connection has one such at
        // least.
        let after = waiting();
        self.unanswered + before.saturating_sub(after) + after.max(self.connections.len())
    }
}

/// The next connection; never one without a listener.
async fn accept<L: Listener>(listener: &mut Option<L>) -> L::Setup {
    match listener {
        Some(listener) => listener.accept().await,
        None => pending().await,
    }
}

/// How many requests a connection left without an answer.
fn report(ended: Result<usize, JoinError>) -> usize {
    ended.unwrap_or_else(|error| {
        // Only a stream of the user's can panic there.
        warning!(%error, "connection panicked");
        0
    })
}

/// A connection that can be used; `None` if it cannot.
async fn set_up<S, Io>(
    server: &Server<S>,
    setup: impl Future<Output = io::Result<(Io, Peer)>>,
) -> Option<(Io, Peer)> {
    match timeout(server.config.hello_timeout, setup).await {
        Ok(Ok(accepted)) => Some(accepted),
        Ok(Err(error)) => {
            limited_warning!(server.limits.set_up_failed, error = %Line(error), "connection not set up");
            None
        }
        Err(_) => {
            limited_warning!(
                server.limits.set_up_failed,
                error = "it took too long",
                "connection not set up"
            );
            None
        }
    }
}

async fn serve_one<S: Service, Io>(server: &Server<S>, io: Io, peer: Peer, shutdown: Arc<Shutdown>) -> usize
where
    Io: AsyncRead + AsyncWrite + Unpin,
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

/// Serves a connection that came when as many were open as may be: a health check at once, another one in its turn.
async fn serve_in_turn<S: Service, Io>(
    server: Arc<Server<S>>,
    setup: impl Future<Output = io::Result<(Io, Peer)>>,
    shutdown: Arc<Shutdown>,
    permits: Arc<Semaphore>,
    mut place: Place,
) -> usize
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let Some(Some((io, peer))) = place.hold(set_up(&server, setup)).await else { return 0 };
    let mut io = Prefixed::new(io);
    let turn = timeout(server.config.hello_timeout, admit(&mut io, permits));
    match place.hold(turn).await {
        Some(Ok(Admitted::Check)) => {
            place.hold(serve_one(&server, io, peer, shutdown)).await.unwrap_or_default()
        }
        Some(Ok(Admitted::Turn(permit))) => {
            drop(place);
            let _permit = permit;
            serve_one(&server, io, peer, shutdown).await
        }
        Some(Ok(Admitted::Left)) => 0,
        Some(Err(_)) | None => {
            let max_connections = server.config.max_connections;
            connection_span(&peer).in_scope(|| {
                limited_warning!(server.limits.refused, max_connections, "connection refused");
            });
            refuse(io);
            0
        }
    }
}
