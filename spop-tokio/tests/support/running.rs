use std::convert::Infallible;
use std::future::{IntoFuture, Ready, pending, ready};
use std::io;

use spop_tokio::spop::haproxy::{Config, Engine};
use spop_tokio::{Drained, Error, ForceShutdown, Listener, Peer, Server, Service};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{Haproxy, Recorder, Writes, soon};

type Io = Recorder<DuplexStream>;

/// A listener whose connections the test makes.
pub(crate) struct Connections(mpsc::UnboundedReceiver<Io>);

impl Listener for Connections {
    type Io = Io;
    type Setup = Ready<io::Result<(Io, Peer)>>;

    async fn accept(&mut self) -> Self::Setup {
        match self.0.recv().await {
            Some(io) => ready(Ok((io, Peer::Other))),
            None => pending().await,
        }
    }
}

/// A server that runs.
pub(crate) struct Running {
    connections: mpsc::UnboundedSender<Io>,
    stop: Option<oneshot::Sender<Infallible>>,
    end: JoinHandle<Result<Drained, Error>>,
}

impl Running {
    pub(crate) fn start<S: Service>(server: Server<S>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let signal = async {
            let Err(_) = stopped.await;
        };
        Self { stop: Some(stop), ..Self::start_until(server, signal) }
    }

    /// Starts a server that ends gracefully at a signal of the test's own.
    pub(crate) fn start_until<S, F>(server: Server<S>, signal: F) -> Self
    where
        S: Service,
        F: Future<Output: Into<ForceShutdown>> + Send + 'static,
    {
        let (connections, accepted) = mpsc::unbounded_channel();
        let serve = server.serve(Connections(accepted)).with_graceful_shutdown(signal);
        Self { connections, stop: None, end: tokio::spawn(serve.into_future()) }
    }

    /// A new connection.
    pub(crate) fn open(&self) -> (DuplexStream, Writes) {
        let (haproxy, agent) = tokio::io::duplex(1 << 16);
        let (agent, writes) = Recorder::new(agent);
        self.connections.send(agent).expect("the server accepts");
        (haproxy, writes)
    }

    pub(crate) async fn connect(&self) -> (Haproxy<DuplexStream>, Writes) {
        self.connect_as(Config::new(Engine::Mux)).await
    }

    pub(crate) async fn connect_as(&self, config: Config) -> (Haproxy<DuplexStream>, Writes) {
        let (io, writes) = self.open();
        (Haproxy::connect_as(io, config).await, writes)
    }

    /// Asks for the graceful end.
    pub(crate) fn signal(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until no more connections are accepted.
    pub(crate) async fn closed(&self) {
        soon(self.connections.closed()).await;
    }

    /// Whether no more connections are accepted.
    pub(crate) fn is_closed(&self) -> bool {
        self.connections.is_closed()
    }

    /// Starts the graceful end, and waits until no more connections are accepted.
    pub(crate) async fn stop(mut self) -> Stopped {
        self.signal();
        self.closed().await;
        Stopped(self.end)
    }
}

/// A server that drains its connections.
pub(crate) struct Stopped(JoinHandle<Result<Drained, Error>>);

impl Stopped {
    /// How many requests were left without an answer when it was over.
    pub(crate) async fn unanswered(self) -> usize {
        soon(self.0).await.unwrap().unwrap().unanswered
    }
}
