use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, ops};

use bytes::Bytes;
use spop::{Actions, Negotiated, Notify, Var};

use crate::BoxError;

/// Answers requests: what an agent is made of.
///
/// Calls for one connection overlap, and are answered in the order in which they finish. A future is dropped when its
/// time is over, its connection ends, or HAProxy gives the request up.
///
/// For a closure see [`service_fn`].
pub trait Service: Send + Sync + 'static {
    /// What the handler may fail with: HAProxy gets the fallback answer of
    /// [`Server::on_failure`](crate::Server::on_failure) at once.
    type Error: Into<BoxError>;

    /// Answers one NOTIFY, all its messages.
    fn call(&self, request: Request) -> impl Future<Output = Result<Actions, Self::Error>> + Send;

    /// Returns the messages it knows, as far as it says: a [`Router`](crate::Router) knows those it has handlers for;
    /// others none, unless they implement this. They are told apart in
    /// [`spop_notifies_total`](crate::Server::message_labels), and what is said of them is checked against HAProxy's
    /// configuration.
    fn messages(&self) -> Vec<MessageSpec> {
        Vec::new()
    }

    /// Erases its type, for where services of several types meet: it costs an allocation for each
    /// request.
    fn boxed(self) -> BoxService
    where
        Self: Sized,
    {
        BoxService(Box::new(self))
    }
}

/// A [`Service`] whose type is erased: see [`Service::boxed`].
///
/// ```
/// use spop_tokio::{Actions, BoxService, Request, Router, Service, service_fn};
///
/// let services: [BoxService; 2] = [
///     Router::new().message("check", || ()).boxed(),
///     service_fn(|_: Request| async { Ok::<_, std::io::Error>(Actions::new()) }).boxed(),
/// ];
/// # services.map(spop_tokio::Server::new);
/// ```
pub struct BoxService(Box<dyn Erased>);

/// A service, as an object.
trait Erased: Send + Sync {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Actions, BoxError>> + Send + '_>>;

    fn messages(&self) -> Vec<MessageSpec>;
}

impl<S: Service> Erased for S {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Actions, BoxError>> + Send + '_>> {
        Box::pin(async move { Service::call(self, request).await.map_err(Into::into) })
    }

    fn messages(&self) -> Vec<MessageSpec> {
        Service::messages(self)
    }
}

impl Service for BoxService {
    type Error = BoxError;

    fn call(&self, request: Request) -> impl Future<Output = Result<Actions, BoxError>> + Send {
        self.0.call(request)
    }

    fn messages(&self) -> Vec<MessageSpec> {
        self.0.messages()
    }
}

impl fmt::Debug for BoxService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxService").finish_non_exhaustive()
    }
}

/// A message that a [`Service`] answers, from the service's side.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSpec {
    /// Its name: that of the `spoe-message` section.
    pub name: String,
    /// The names of the arguments that its handler reads; `None` if that is not known.
    pub args: Option<&'static [&'static str]>,
    /// The variables that its handler sets, as far as it says.
    pub vars: Vec<Var>,
    /// What spoe.conf should have behind `args`: samples such as `ip=src`.
    pub samples: Vec<String>,
    /// When HAProxy should send it: an event of spoe.conf such as `on-client-session`.
    pub event: Option<String>,
    /// Whether its handler never waits: it is a plain function that answers on the thread that asks.
    pub at_once: bool,
}

impl MessageSpec {
    /// Creates a message of which only its name is known.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { name, args: None, vars: Vec::new(), samples: Vec::new(), event: None, at_once: false }
    }
}

/// Makes a [`Service`] of a function.
///
/// ```
/// use spop_tokio::{Actions, Request, Scope, service_fn};
///
/// let service = service_fn(|request: Request| async move {
///     let mut actions = Actions::new();
///     if let Some(message) = request.message("check-client-ip") {
///         let ip: std::net::IpAddr = message.get("ip")?;
///         actions.set_var(Scope::Session, "ip_score", if ip.is_loopback() { 100 } else { 50 })?;
///     }
///     Ok::<_, spop_tokio::BoxError>(actions)
/// });
/// # spop_tokio::Server::new(service);
/// ```
pub fn service_fn<F, Fut, E>(function: F) -> ServiceFn<F>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Actions, E>> + Send,
    E: Into<BoxError>,
{
    ServiceFn(function)
}

/// A function as a [`Service`]: see [`service_fn`].
#[derive(Clone, Copy)]
pub struct ServiceFn<F>(F);

impl<F> fmt::Debug for ServiceFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceFn").finish_non_exhaustive()
    }
}

impl<F, Fut, E> Service for ServiceFn<F>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Actions, E>> + Send,
    E: Into<BoxError>,
{
    type Error = E;

    fn call(&self, request: Request) -> impl Future<Output = Result<Actions, E>> + Send {
        (self.0)(request)
    }
}

impl<S: Service> Service for Arc<S> {
    type Error = S::Error;

    fn call(&self, request: Request) -> impl Future<Output = Result<Actions, S::Error>> + Send {
        S::call(self, request)
    }

    fn messages(&self) -> Vec<MessageSpec> {
        S::messages(self)
    }
}

/// One NOTIFY, and the connection it came on. Dereferences to [`Notify`], for its messages.
///
/// It holds on to the bytes it came in, so copy out what is to outlive the answer.
#[derive(Clone, Debug)]
pub struct Request {
    notify: Notify<Bytes>,
    connection: Arc<ConnectionInfo>,
    time_limit: Option<Duration>,
}

impl Request {
    pub(crate) fn new(notify: Notify<Bytes>, connection: Arc<ConnectionInfo>) -> Self {
        Self { notify, connection, time_limit: None }
    }

    pub(crate) fn set_time_limit(&mut self, limit: Option<Duration>) {
        self.time_limit = limit;
    }

    /// Returns how long the answer may take, from the call of the service on:
    /// [`Server::request_timeout`](crate::Server::request_timeout).
    pub fn time_limit(&self) -> Option<Duration> {
        self.time_limit
    }

    /// Returns the connection it came on.
    pub fn connection(&self) -> &ConnectionInfo {
        &self.connection
    }
}

impl ops::Deref for Request {
    type Target = Notify<Bytes>;

    fn deref(&self) -> &Notify<Bytes> {
        &self.notify
    }
}

/// What is known of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    pub(crate) peer: Peer,
    pub(crate) negotiated: Negotiated,
}

impl ConnectionInfo {
    /// Returns who connected.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Returns what both sides agreed on, the engine-id among it.
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }
}

/// Who connected: HAProxy, most often.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A process on this machine, over a Unix socket.
    Unix,
    /// A stream of the caller's own.
    Other,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Other => f.write_str("stream"),
        }
    }
}
