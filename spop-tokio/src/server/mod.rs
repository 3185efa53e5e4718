//! The server: accepts connections and runs each to its end.

#[cfg(target_os = "linux")]
mod abstract_socket;
mod admission;
mod clock;
mod conf;
mod config;
mod connection;
mod engines;
mod handlers;
#[cfg(feature = "systemd")]
mod inherited;
mod listener;
#[cfg_attr(not(feature = "metrics"), path = "no_metrics.rs")]
mod metrics;
mod observer;
mod open;
mod serve;
mod shutdown;
mod sources;
#[cfg(feature = "systemd")]
mod systemd;
mod tcp;
mod unix;
mod var_prefix;

use std::sync::Arc;
#[cfg(feature = "metrics")]
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;

pub use config::{Failure, FailureKind};
pub use listener::{Listener, SocketListener};
pub use serve::{Drained, ForceShutdown, Serve};
use tokio::io::{AsyncRead, AsyncWrite};
pub use var_prefix::VarPrefixError;

use self::config::Config;
use self::connection::{Driver, End};
use self::engines::Engines;
use self::handlers::Handlers;
use self::metrics::Metrics;
use self::observer::{Limits, Observer};
use self::shutdown::{Shutdown, Signal};
use crate::log::{Instrument, Span, connection_span};
use crate::service::Peer;
use crate::{Error, Request, Service};

/// An agent: answers the requests of the connections it is given with a [`Service`].
///
/// Requests of one connection run at the same time, and each is answered as it finishes; answers that are ready
/// together leave in one write. A request that fails gets a fallback answer, and neither its connection nor its
/// neighbours notice.
///
/// ```no_run
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use spop_tokio::{Actions, Request, Scope, Server, SocketListener, service_fn};
///
/// let service = service_fn(|request: Request| async move {
///     let mut actions = Actions::new();
///     actions.set_var(Scope::Transaction, "messages", request.messages().len() as u64)?;
///     Ok::<_, spop_tokio::BoxError>(actions)
/// });
/// let listener = SocketListener::bind("127.0.0.1:12345").await?;
/// let drained = Server::new(service)
///     .serve(listener)
///     .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap() })
///     .await?;
/// println!("{} requests were left without an answer", drained.unanswered);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server<S> {
    service: S,
    config: Config,
    /// Handlers that wait for something, of all connections.
    waiting: AtomicUsize,
    engines: Engines,
    limits: Limits,
    /// Looked up when it starts to serve.
    #[cfg(feature = "metrics")]
    metrics: OnceLock<Metrics>,
}

impl<S: Service> Server<S> {
    /// Creates a server with the defaults that its setters state.
    pub fn new(service: S) -> Self {
        Self {
            service,
            config: Config::default(),
            waiting: AtomicUsize::new(0),
            engines: Engines::default(),
            limits: Limits::default(),
            #[cfg(feature = "metrics")]
            metrics: OnceLock::new(),
        }
    }

    /// Accepts and serves connections, of several listeners if it is given a `Vec` of them or a pair. The future it
    /// makes must be awaited; without [`with_graceful_shutdown`](Serve::with_graceful_shutdown) it never ends.
    pub fn serve<L: Listener>(self, listener: L) -> Serve<S, L> {
        // All are there from now on, at zero.
        self.metrics();
        Serve::new(self, listener)
    }

    /// Serves one connection that the caller accepted, to its end. Returns how many requests were left without an
    /// answer: those that HAProxy did not wait for, most often none.
    ///
    /// It is for tests and single connections: nothing limits how many there are, and nothing ends them gracefully. For
    /// an accept loop of your own, hand its connections to [`serve`](Self::serve) through a channel, whose receiver is
    /// a [`Listener`].
    ///
    /// # Errors
    /// If the stream fails, or the peer breaks the protocol or a timeout. A peer that leaves, with or without a
    /// DISCONNECT, is no error.
    pub async fn serve_connection<Io>(&self, io: Io) -> Result<usize, Error>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let (peer, shutdown) = (Peer::Other, Shutdown::new());
        let span = connection_span(&peer);
        let End { unanswered, result } = self.run(io, peer, shutdown, &span).await;
        result.map(|()| unanswered)
    }

    async fn run<Io>(&self, io: Io, peer: Peer, shutdown: Arc<Shutdown>, span: &Span) -> End
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let config = &self.config;
        let call = |mut request: Request| {
            request.set_time_limit(config.request_timeout);
            self.service.call(request)
        };
        let handlers = Handlers::new(config.request_timeout, &self.waiting, config.max_requests);
        let observer = Observer::new(span, self.metrics(), &self.limits);
        let signal = Signal::new(shutdown);
        let driver = Driver::new(io, peer, config, call, handlers, observer, signal, &self.engines);
        driver.run().instrument(span.clone()).await
    }

    #[cfg(feature = "metrics")]
    fn metrics(&self) -> &Metrics {
        self.metrics.get_or_init(|| {
            let messages = self.service.messages();
            let names = self.config.message_labels.iter().map(String::as_str);
            Metrics::new(names.chain(messages.iter().map(|message| message.name.as_str())))
        })
    }

    #[cfg(not(feature = "metrics"))]
    fn metrics(&self) -> &Metrics {
        &Metrics
    }
}
