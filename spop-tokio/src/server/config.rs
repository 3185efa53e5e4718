use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use spop::{Actions, NotifyId, Scope, VarError, agent};

use super::Server;
use crate::BoxError;

/// Ten years: what every longer time is cut to, so that adding one to the present overflows nowhere.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Every knob of a [`Server`].
#[derive(Clone)]
pub(super) struct Config {
    pub(super) agent: agent::Config,
    pub(super) var_prefix: Option<Box<str>>,
    pub(super) max_connections: usize,
    pub(super) max_requests: usize,
    pub(super) hello_timeout: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) write_timeout: Duration,
    pub(super) request_timeout: Option<Duration>,
    pub(super) max_connection_age: Option<Duration>,
    pub(super) drain_timeout: Duration,
    pub(super) drain_checks: u32,
    #[cfg(feature = "systemd")]
    pub(super) notify_systemd: bool,
    pub(super) on_failure: Arc<dyn Fn(&Failure) -> Actions + Send + Sync>,
    #[cfg(feature = "metrics")]
    pub(super) message_labels: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agent: agent::Config::new(),
            var_prefix: None,
            max_connections: 1024,
            max_requests: 4096,
            hello_timeout: Duration::from_secs(5),
            idle_timeout: None,
            write_timeout: Duration::from_secs(10),
            request_timeout: Some(Duration::from_millis(500)),
            max_connection_age: None,
            drain_timeout: Duration::from_secs(10),
            drain_checks: 3,
            #[cfg(feature = "systemd")]
            notify_systemd: false,
            on_failure: Arc::new(Failure::default_actions),
            #[cfg(feature = "metrics")]
            message_labels: Vec::new(),
        }
    }
}

impl Config {
    /// What holds for one connection.
    pub(super) fn of_connection(&self) -> agent::Config {
        let agent = self.agent.clone().hello_timeout(self.hello_timeout).idle_timeout(self.idle_timeout);
        let agent = agent.write_timeout(self.write_timeout).drain_timeout(self.drain_timeout);
        agent.max_connection_age(self.max_connection_age.map(jittered))
    }

    /// Checks that no variable's name is too long for the prefix; the error names the first that is.
    #[cold]
    pub(super) fn check_names(&self, actions: &Actions) -> Result<(), VarError> {
        self.var_prefix.as_deref().map_or(Ok(()), |prefix| actions.check_prefix(prefix))
    }
}

/// Returns up to a tenth less than `age`, so that connections that were opened together do not all end together.
fn jittered(age: Duration) -> Duration {
    // A source of randomness that std has; it is good enough for this.
    let random = RandomState::new().hash_one(());
    age - (age / 10).mul_f64(random as f64 / u64::MAX as f64)
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("agent", &self.agent)
            .field("var_prefix", &self.var_prefix)
            .field("max_connections", &self.max_connections)
            .field("max_requests", &self.max_requests)
            .field("hello_timeout", &self.hello_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("write_timeout", &self.write_timeout)
            .field("request_timeout", &self.request_timeout)
            .field("max_connection_age", &self.max_connection_age)
            .field("drain_timeout", &self.drain_timeout)
            .field("drain_checks", &self.drain_checks)
            .finish_non_exhaustive()
    }
}

/// Why a request has no answer of its own, so that HAProxy gets the fallback: see [`Server::on_failure`].
#[derive(Debug)]
pub struct Failure {
    pub(super) kind: FailureKind,
    pub(super) id: NotifyId,
    pub(super) message: Option<Box<str>>,
    pub(super) error: Option<BoxError>,
}

/// What kind of failure it is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The handler returned an error.
    Error,
    /// The handler panicked.
    Panic,
    /// The handler took longer than [`Server::request_timeout`].
    Timeout,
    /// The handler was not started: as many wait as [`Server::max_requests`] allows, or as a limit of a
    /// [`Router`](crate::Router) does.
    Overload,
    /// The handler's answer is longer than HAProxy takes, or the request longer than [`Server::fragments`] allows.
    TooBig,
    /// The messages of the NOTIFY cannot be read.
    Malformed,
    /// The handler was still in flight when [`Server::drain_timeout`] was over.
    Shutdown,
}

impl FailureKind {
    pub(super) const ALL: [Self; 7] = [
        Self::Error,
        Self::Panic,
        Self::Timeout,
        Self::Overload,
        Self::TooBig,
        Self::Malformed,
        Self::Shutdown,
    ];

    /// Returns the word of the default fallback: `error`, `panic`, `timeout`, `overload`, `too-big`, `malformed` or
    /// `shutdown`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Overload => "overload",
            Self::TooBig => "too-big",
            Self::Malformed => "malformed",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Failure {
    /// Returns what kind of failure it is.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Returns the ids of the NOTIFY.
    pub fn id(&self) -> NotifyId {
        self.id
    }

    /// Returns the name of the message that failed; `None` if it is the request as a whole.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Returns the handler's error, or what is wrong with the frame or the answer.
    pub fn error(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.error.as_deref()
    }

    /// Sets `txn.<var-prefix>.failure` to the kind's word.
    pub(super) fn default_actions(&self) -> Actions {
        let mut actions = Actions::new();
        // Cannot fail: the name is short and plain.
        let _ = actions.set_var(Scope::Transaction, "failure", self.kind.as_str());
        actions
    }
}

/// What is wrong with which message.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(message) = &self.message {
            write!(f, "message {message}: ")?;
        }
        match &self.error {
            Some(error) => error.fmt(f),
            None => self.kind.fmt(f),
        }
    }
}

/// Times of more than ten years count as ten years.
impl<S> Server<S> {
    /// Limits how many connections may be served at a time; default 1024. An idle one costs about 5 KiB.
    ///
    /// At the limit 32 more are accepted. Those that turn out to be health checks are answered, so that HAProxy does
    /// not take an agent for dead that is busy, or whose connections belong to peers that are gone. The others wait
    /// until one that is open ends. One that has waited for [`hello_timeout`](Self::hello_timeout), or has waited
    /// longest when yet another one comes, is refused with AGENT-DISCONNECT, status 13, which fails its requests at
    /// once.
    ///
    /// HAProxy opens a connection per request of a burst, up to the `maxconn` of its `server` line: set that, times the
    /// HAProxy processes that use this agent, to no more than this.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.config.max_connections = connections.max(1);
        self
    }

    /// Limits how many requests of one connection may be in flight; default 64. At the limit the connection is not
    /// read, so that the requests wait in HAProxy.
    ///
    /// HAProxy sends 20 at most (`max-waiting-frames` in 3.0 and before). Each holds its frame in memory.
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.config.agent = self.config.agent.max_in_flight(requests);
        self
    }

    /// Limits how many handlers may wait for something at a time, on all connections; default 4096. At the limit a
    /// further request is not started, and fails at once with [`FailureKind::Overload`]. Handlers that answer without
    /// waiting never count.
    ///
    /// It bounds what a backend that hangs can pile up: each request holds its frame and its future, so 4096 of them
    /// with full frames of 16 KiB take 64 MiB. A frame holds the read that it came with, which is most often not much
    /// more; a peer out to do harm can make that 64 KiB more for each, 320 MiB in all. Runtime threads that reach the
    /// limit at the same moment may go over it by one each. HAProxy's side is the `maxconn` of its `server` line, times
    /// the 20 that it sends on a connection.
    #[must_use]
    pub fn max_requests(mut self, requests: usize) -> Self {
        self.config.max_requests = requests.max(1);
        self
    }

    /// Sets the longest frame, in bytes, the length prefix not counted; default 16380, at least 256. Raise it with
    /// HAProxy's `tune.bufsize`, of which it is 4 less.
    #[must_use]
    pub fn max_frame_size(mut self, bytes: u32) -> Self {
        self.config.agent = self.config.agent.max_frame_size(bytes);
        self
    }

    /// Limits how much of a request that HAProxy up to 3.0 sends in fragments is kept; default 256 KiB and 4096
    /// fragments, zero to refuse fragments. A longer one fails as [`FailureKind::TooBig`]. HAProxy's side is
    /// `option send-frag-payload`.
    ///
    /// A connection puts one request together at a time, but each that is in flight holds up to twice that:
    /// [`max_in_flight`](Self::max_in_flight) bounds how many.
    #[must_use]
    pub fn fragments(mut self, bytes: usize, frames: u32) -> Self {
        self.config.agent = self.config.agent.fragments(bytes, frames);
        self
    }

    /// Sets whether HAProxy may send several requests at a time on a connection; default true. HAProxy's side is
    /// `option pipelining`. Connections to HAProxy from 3.1 do without it where answers are long: see
    /// [`longest_answer`](Self::longest_answer).
    #[must_use]
    pub fn pipelining(mut self, enabled: bool) -> Self {
        self.config.agent = self.config.agent.pipelining(enabled);
        self
    }

    /// Sets the longest answer to expect, in bytes, the length prefix of its frame included; default 0, to find out. If
    /// HAProxy's buffer (`tune.bufsize`, 16384 bytes) could not hold one to each of the 20 requests that it lets wait
    /// on a connection, that is from 820 bytes on, connections to HAProxy from 3.1 do without
    /// [`pipelining`](Self::pipelining): it opens more of them instead.
    ///
    /// The server remembers the longest answer that it has sent, so this only spares it the first one. See also
    /// [`read_grace`](Self::read_grace).
    #[must_use]
    pub fn longest_answer(self, bytes: usize) -> Self {
        self.engines.longest_ack(bytes);
        self
    }

    /// Sets how long HAProxy from 3.1 may take, once it is seen running, until it has read a connection; default 10 ms.
    ///
    /// It matters for answers whose sum could fill HAProxy's buffer (`tune.bufsize`), which loses the connection: with
    /// more than half a buffer each, one leaves that long after its request at the earliest, if the one before on the
    /// connection was as long. Shorter loses connections where HAProxy is held up, on a machine with more work than
    /// cores. A larger `tune.bufsize` spares the wait.
    #[must_use]
    pub fn read_grace(mut self, grace: Duration) -> Self {
        self.config.agent = self.config.agent.read_grace(grace.min(LONGEST));
        self
    }

    /// Limits how long a peer may take from connecting to its whole HELLO; default 5 s. It bounds how long one that
    /// never speaks holds a connection. The set-up of a [`Listener`](crate::Listener), such as a TLS handshake, may
    /// take as long before that, and so may the wait for a turn at [`max_connections`](Self::max_connections).
    /// HAProxy's side is `timeout hello` up to 3.0, and `timeout processing` later.
    #[must_use]
    pub fn hello_timeout(mut self, timeout: Duration) -> Self {
        self.config.hello_timeout = timeout.min(LONGEST);
        self
    }

    /// Limits how long a connection may be without a request; default `None`, for ever.
    ///
    /// Leave it to HAProxy to close idle connections (`timeout idle` up to 3.0, `pool-purge-delay` later): one that the
    /// agent closes may be carrying a request already, which fails. If set, more than two minutes.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config.idle_timeout = timeout.into().map(|timeout| timeout.min(LONGEST));
        self
    }

    /// Limits how long a peer may leave answers unread once the socket is full; default 10 s, then the connection is
    /// closed.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.config.write_timeout = timeout.min(LONGEST);
        self
    }

    /// Limits how long a handler may take; default 500 ms, `None` for ever. Then its future is dropped, and HAProxy
    /// gets the fallback answer of [`on_failure`](Self::on_failure).
    ///
    /// Keep it below `timeout processing` of the `spoe-agent`: HAProxy waits that long for an answer, and takes none
    /// later.
    #[must_use]
    pub fn request_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.config.request_timeout = timeout.into().map(|timeout| timeout.min(LONGEST));
        self
    }

    /// Limits how long a connection may live; default `None`, for ever. It ends up to a tenth of the time earlier, each
    /// connection at another moment, and as in a [graceful shutdown](crate::Serve::with_graceful_shutdown): with the
    /// answer to its last request, or once it is quiet, and at the latest [`drain_timeout`](Self::drain_timeout) later.
    ///
    /// For agents behind a balancer that only looks at new connections; HAProxy itself has no need of it. Up to HAProxy
    /// 3.0 with `option pipelining` another request may be under way at that moment, which fails.
    #[must_use]
    pub fn max_connection_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.config.max_connection_age = age.into().map(|age| age.min(LONGEST));
        self
    }

    /// Limits how long a graceful shutdown may take; default 10 s. Then requests that are still in flight get the
    /// fallback answer of [`on_failure`](Self::on_failure), as [`FailureKind::Shutdown`], and all connections are
    /// closed, within two seconds more. A handler that blocks its thread is left behind a second later; but a runtime
    /// that is dropped, such as that of `#[tokio::main]`, waits for its threads: see tokio's
    /// `Runtime::shutdown_background`, or call `std::process::exit`.
    ///
    /// Two thirds of it at most go to failing health checks, see [`drain_checks`](Self::drain_checks): with HAProxy's
    /// default `inter 2s` and `fall 3` these take 6 s. Keep it below the time that a supervisor allows the process to
    /// stop.
    #[must_use]
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.config.drain_timeout = timeout.min(LONGEST);
        self
    }

    /// Sets how many health checks a graceful shutdown fails before anything else ends; default 3, which is HAProxy's
    /// default `fall`. Set it to the `fall` of the `server` line, times the number of HAProxy processes that check this
    /// agent; 0 is to fail none.
    ///
    /// HAProxy from 3.1 uses other servers as soon as this one is DOWN, and HAProxy up to 3.0 opens no more connections
    /// to it. Until then nothing changes for it, as a connection that is refused costs it seconds. If no health check
    /// (`option spop-check`) has come lately, none is waited for.
    #[must_use]
    pub fn drain_checks(mut self, checks: u32) -> Self {
        self.config.drain_checks = checks;
        self
    }

    /// Tells systemd when the agent is ready, for units of `Type=notify`, and when it stops and how long that may take
    /// at most, so that `TimeoutStopSec` does not end it before; default: nothing is said, and nothing either where no
    /// systemd is.
    ///
    /// It is ready when it is served. Bind all that the agent listens at before.
    #[cfg(feature = "systemd")]
    #[must_use]
    pub fn notify_systemd(mut self) -> Self {
        self.config.notify_systemd = true;
        self
    }

    /// Sets the answer to a request whose handler fails, panics, takes too long, answers too much or is one too many;
    /// default: set-var `txn.<var-prefix>.failure` to the word of its [`FailureKind`].
    ///
    /// If some messages of a request fail in a [`Router`](crate::Router), the actions of the others come first; if all
    /// that does not fit into the frame, they are left out.
    ///
    /// HAProxy takes an empty answer for success, and none at all makes it wait for `timeout processing`. So say here
    /// what your rules take for "let it pass" or "keep it out":
    ///
    /// ```
    /// use spop_tokio::{Actions, Request, Scope, Server, service_fn};
    ///
    /// let service = service_fn(|_: Request| async { Err::<Actions, _>("database down") });
    /// let server = Server::new(service).on_failure(|failure| {
    ///     let mut actions = Actions::new();
    ///     // http-request deny if { var(txn.guard.verdict) -m str deny }
    ///     actions.set_var(Scope::Transaction, "verdict", "deny").expect("a plain name");
    ///     actions.set_var(Scope::Transaction, "reason", failure.kind().as_str()).expect("a plain name");
    ///     actions
    /// });
    /// ```
    #[must_use]
    pub fn on_failure(mut self, fallback: impl Fn(&Failure) -> Actions + Send + Sync + 'static) -> Self {
        self.config.on_failure = Arc::new(fallback);
        self
    }

    /// Sets the message names that [`spop_notifies_total`](crate::metrics::NOTIFIES) tells apart; default: those that
    /// the service knows, see [`Service::messages`](crate::Service::messages), which are taken anyway. All others count
    /// as `other`.
    ///
    /// Each request's names are searched for among them one by one, so a few dozen at most.
    #[cfg(feature = "metrics")]
    #[must_use]
    pub fn message_labels(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.config.message_labels = names.into_iter().map(Into::into).collect();
        self
    }
}
