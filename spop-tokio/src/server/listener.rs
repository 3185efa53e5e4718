//! Where connections come from.

use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use std::{fmt, io};

use futures_util::FutureExt;
use socket2::{SockAddr, SockRef, Socket as RawSocket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::unconstrained;
use tokio::time::sleep;
use tokio_util::either::Either;

#[cfg(target_os = "linux")]
use super::abstract_socket::AbstractSocket;
#[cfg(feature = "systemd")]
use super::inherited::{self, Inherited};
use super::tcp;
use super::unix::UnixSocket;
use crate::log::warning;
use crate::service::Peer;

/// How many connections wait for their turn, unless the system allows fewer (`net.core.somaxconn`). HAProxy opens one
/// per request of a burst, and one that finds no place in the queue waits for a second (TCP) or fails (Unix).
pub(super) const BACKLOG: u32 = 4096;

/// A source of connections: a [`SocketListener`], a listener of tokio's, several listeners (a `Vec` of a kind, or a
/// pair), or the receiver of a channel, for an accept loop of your own. Implement it to serve TLS or anything else.
///
/// A `TcpListener` of your own has no [keep-alive](SocketListener::keepalive), unless you set it.
pub trait Listener: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// What there is to do before a connection can be used, such as a TLS handshake: [`Ready`] if there is nothing.
    ///
    /// It runs in the connection's own task, so a slow peer keeps nobody else waiting, for
    /// [`hello_timeout`](crate::Server::hello_timeout) at most. It returns the connection and who it comes from. Its
    /// error ends the connection and is logged, so it should say whom it is about.
    type Setup: Future<Output = io::Result<(Self::Io, Peer)>> + Send + 'static;

    /// Accepts the next connection. Errors are its own to deal with: it must not return in a tight loop.
    ///
    /// Dropping the future must lose no connection.
    fn accept(&mut self) -> impl Future<Output = Self::Setup> + Send;

    /// Accepts a connection that waits already, if one does. A graceful shutdown takes all that wait before it closes,
    /// as HAProxy takes them for connected. By default what [`accept`](Self::accept) returns at once.
    fn accept_waiting(&mut self) -> Option<Self::Setup> {
        unconstrained(self.accept()).now_or_never()
    }

    /// Whether somebody else takes new connections, too, see [`SocketListener::take_over`]: a graceful shutdown then
    /// fails no health check before it closes. False unless implemented.
    fn is_taken_over(&self) -> bool {
        false
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;
    type Setup = Accepted<TcpStream>;

    async fn accept(&mut self) -> Self::Setup {
        let (stream, address) = retry(|| TcpListener::accept(self)).await;
        // Answers are small and must leave at once; if the system refuses that, they leave a little later.
        let _ = stream.set_nodelay(true);
        ready(Ok((stream, Peer::Tcp(address))))
    }

    fn accept_waiting(&mut self) -> Option<Self::Setup> {
        let (socket, address) = accept_now(self)?;
        let stream = TcpStream::from_std(socket.into()).ok()?;
        let _ = stream.set_nodelay(true);
        Some(ready(Ok((stream, Peer::Tcp(address.as_socket()?)))))
    }
}

impl Listener for UnixListener {
    type Io = UnixStream;
    type Setup = Accepted<UnixStream>;

    async fn accept(&mut self) -> Self::Setup {
        ready(Ok((retry(|| UnixListener::accept(self)).await.0, Peer::Unix)))
    }

    fn accept_waiting(&mut self) -> Option<Self::Setup> {
        let stream = UnixStream::from_std(OwnedFd::from(accept_now(self)?.0).into()).ok()?;
        Some(ready(Ok((stream, Peer::Unix))))
    }
}

/// Accepts a connection that waits, without asking the runtime, which may not have heard of it.
fn accept_now<L: AsFd>(listener: &L) -> Option<(RawSocket, SockAddr)> {
    loop {
        match SockRef::from(listener).accept() {
            Ok((socket, address)) => return socket.set_nonblocking(true).ok().map(|()| (socket, address)),
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => return None,
        }
    }
}

/// What to do at an address where another process listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    Refuse,
    TakeOver,
}

/// There is nothing to set up.
type Accepted<Io> = Ready<io::Result<(Io, Peer)>>;

/// A listener at an address that a user wrote: TCP or Unix.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> std::io::Result<()> {
/// use spop_tokio::SocketListener;
///
/// let listener = SocketListener::bind("127.0.0.1:0").await?;
/// println!("listening on {listener}");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SocketListener(Socket);

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixSocket),
    #[cfg(target_os = "linux")]
    Abstract(AbstractSocket),
    #[cfg(feature = "systemd")]
    Inherited(Inherited),
}

impl SocketListener {
    /// Listens at `address`: `127.0.0.1:12345`, `[::1]:12345`, `localhost:12345`, or, with the path of a Unix socket,
    /// `unix:/run/agent.sock`; HAProxy's own spelling `unix@/run/agent.sock` does too. Port 0 takes any free port.
    ///
    /// On Linux also at an abstract Unix socket, which is in no file system: everybody in the same network namespace
    /// can connect to it. `abns@NAME` and `abnsz@NAME` are what HAProxy calls so: it fills the name of the first with
    /// zeros to 107 bytes, and knows the second since 3.1. Other programs do not fill the name, `unix:@NAME` is the
    /// second too.
    ///
    /// With the feature `systemd`, `fd:3` is the first socket of a `.socket` unit, `fd:4` the second (HAProxy's
    /// spelling is `fd@3`). It stays open when the process ends: a graceful shutdown then fails no health check, and
    /// connections wait for the next process.
    ///
    /// # Errors
    /// If the address is none of these, or cannot be listened at; for a Unix socket see [`bind_unix`](Self::bind_unix).
    pub async fn bind(address: &str) -> io::Result<Self> {
        Self::listen(address, Live::Refuse).await
    }

    /// Listens at `address` as [`bind`](Self::bind) does, but also if another process listens there: an upgrade of a
    /// single agent without a moment in which nobody listens.
    ///
    /// The other process is not told: ask it to stop (SIGTERM) once this one is ready. It then fails no health check,
    /// accepts what the system has connected to it, and closes.
    ///
    /// At a TCP address, which takes Linux, new connections go to either process until the old one stops. Both must
    /// have been started by the same user, with the same address, and by this library. A connection whose handshake is
    /// under way at the moment the old one closes is reset, unless `net.ipv4.tcp_migrate_req` is 1; on the loopback
    /// interface a handshake takes microseconds.
    ///
    /// At a Unix socket all new connections come here from now on. See [`take_over_unix`](Self::take_over_unix) to set
    /// its mode.
    ///
    /// # Errors
    /// If the address cannot be listened at: `AddrInUse` if another user or program listens there, and for abstract
    /// Unix sockets, which cannot be taken over, if anybody does.
    pub async fn take_over(address: &str) -> io::Result<Self> {
        Self::listen(address, Live::TakeOver).await
    }

    async fn listen(address: &str, live: Live) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(socket) = AbstractSocket::bind(address) {
            return socket.map(|socket| Self(Socket::Abstract(socket)));
        }
        #[cfg(feature = "systemd")]
        if let Some(socket) = Inherited::bind(address) {
            return socket.map(|socket| Self(Socket::Inherited(socket)));
        }
        if let Some(path) = address.strip_prefix("unix:").or_else(|| address.strip_prefix("unix@")) {
            return UnixSocket::bind(path.as_ref(), None, live).map(|socket| Self(Socket::Unix(socket)));
        }
        let explain = |error: io::Error| {
            let text = format!("cannot listen at {address}: {error} (want HOST:PORT or unix:PATH)");
            io::Error::new(error.kind(), text)
        };
        tcp::bind(address, live).await.map(|listener| Self(Socket::Tcp(listener))).map_err(explain)
    }

    /// Listens at a Unix socket in the file system, which is removed when the listener is dropped.
    ///
    /// `mode` sets who may connect (such as `0o660`: owner and group), before anybody can; `None` leaves that to the
    /// umask. A socket that was left behind by a process that is gone is replaced; one that somebody listens at is not.
    ///
    /// # Errors
    /// `AddrInUse` if somebody listens at `path` or it is no socket; what the file system refuses.
    pub fn bind_unix(path: impl AsRef<Path>, mode: Option<u32>) -> io::Result<Self> {
        UnixSocket::bind(path.as_ref(), mode, Live::Refuse).map(|socket| Self(Socket::Unix(socket)))
    }

    /// Listens at a Unix socket as [`bind_unix`](Self::bind_unix) does, but also if another process listens there: an
    /// upgrade without a moment in which nobody does.
    ///
    /// From now on all new connections come here. The other process keeps those it has, and is not told: ask it to stop
    /// (SIGTERM) once this one is ready. It leaves the socket alone, which is not its own any more.
    ///
    /// # Errors
    /// `AddrInUse` if `path` is no socket; what the file system refuses.
    pub fn take_over_unix(path: impl AsRef<Path>, mode: Option<u32>) -> io::Result<Self> {
        UnixSocket::bind(path.as_ref(), mode, Live::TakeOver).map(|socket| Self(Socket::Unix(socket)))
    }

    /// Sets after how long a silence the system asks the peer of a TCP connection whether it is still there; default 60
    /// s, `None` for never. It asks three times, a sixth of that apart, and then closes the connection: after 90 s with
    /// the default.
    ///
    /// So a peer that is gone without a word, such as a machine that lost its power, does not hold its connection for
    /// ever. It costs an idle connection a packet each way a minute. HAProxy's side, for agents that are gone, is
    /// `option srvtcpka` with `srvtcpka-idle`, `srvtcpka-intvl` and `srvtcpka-cnt`. Nothing changes for Unix sockets,
    /// whose peers cannot be gone like that, and for connections that have been accepted already.
    ///
    /// # Errors
    /// If the system refuses that.
    pub fn keepalive(self, silence: impl Into<Option<Duration>>) -> io::Result<Self> {
        if let Some(listener) = self.tcp() {
            tcp::set_keepalive(listener, silence.into())?;
        }
        Ok(self)
    }

    /// Returns the TCP address; `None` for a Unix socket.
    pub fn tcp_addr(&self) -> Option<SocketAddr> {
        self.tcp()?.local_addr().ok()
    }

    fn tcp(&self) -> Option<&TcpListener> {
        match &self.0 {
            Socket::Tcp(listener) => Some(listener),
            #[cfg(feature = "systemd")]
            Socket::Inherited(Inherited { listener: inherited::Kind::Tcp(listener), .. }) => Some(listener),
            _ => None,
        }
    }
}

/// The address as `bind` takes it, with the port that was chosen for port 0.
impl fmt::Display for SocketListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Socket::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("unknown address"),
            },
            Socket::Unix(socket) => write!(f, "unix:{}", socket.path().display()),
            #[cfg(target_os = "linux")]
            Socket::Abstract(socket) => f.write_str(socket.address()),
            #[cfg(feature = "systemd")]
            Socket::Inherited(socket) => write!(f, "fd:{}", socket.number()),
        }
    }
}

impl Listener for SocketListener {
    type Io = Either<TcpStream, UnixStream>;
    type Setup = Accepted<Self::Io>;

    async fn accept(&mut self) -> Self::Setup {
        match &mut self.0 {
            Socket::Tcp(listener) => tcp_of(Listener::accept(listener).await),
            Socket::Unix(socket) => unix_of(Listener::accept(socket.listener()).await),
            #[cfg(target_os = "linux")]
            Socket::Abstract(socket) => unix_of(Listener::accept(socket.listener()).await),
            #[cfg(feature = "systemd")]
            Socket::Inherited(socket) => match &mut socket.listener {
                inherited::Kind::Tcp(listener) => tcp_of(Listener::accept(listener).await),
                inherited::Kind::Unix(listener) => unix_of(Listener::accept(listener).await),
            },
        }
    }

    fn accept_waiting(&mut self) -> Option<Self::Setup> {
        match &mut self.0 {
            Socket::Tcp(listener) => listener.accept_waiting().map(tcp_of),
            Socket::Unix(socket) => socket.listener().accept_waiting().map(unix_of),
            #[cfg(target_os = "linux")]
            Socket::Abstract(socket) => socket.listener().accept_waiting().map(unix_of),
            // They wait for the next process.
            #[cfg(feature = "systemd")]
            Socket::Inherited(_) => None,
        }
    }

    fn is_taken_over(&self) -> bool {
        match &self.0 {
            Socket::Tcp(listener) => tcp::is_shared(listener),
            Socket::Unix(socket) => !socket.is_in_place(),
            #[cfg(target_os = "linux")]
            Socket::Abstract(_) => false,
            // The service manager keeps it open.
            #[cfg(feature = "systemd")]
            Socket::Inherited(_) => true,
        }
    }
}

fn tcp_of(accepted: Accepted<TcpStream>) -> Accepted<Either<TcpStream, UnixStream>> {
    ready(accepted.into_inner().map(|(stream, peer)| (Either::Left(stream), peer)))
}

fn unix_of(accepted: Accepted<UnixStream>) -> Accepted<Either<TcpStream, UnixStream>> {
    ready(accepted.into_inner().map(|(stream, peer)| (Either::Right(stream), peer)))
}

/// Accepts until it works. What is wrong with one connection is ignored; what is wrong with the process or the
/// system, such as no file descriptor left, is given time to pass.
async fn retry<T, F: Future<Output = io::Result<T>>>(mut accept: impl FnMut() -> F) -> T {
    const FIRST: Duration = Duration::from_millis(5);
    const LAST: Duration = Duration::from_secs(1);
    let mut pause = FIRST;
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                warning!(%error, ?pause, "cannot accept connections");
                sleep(pause).await;
                pause = (pause * 2).min(LAST);
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::Instant;

    use super::*;

    /// How long it takes until a connection is accepted, after these errors.
    async fn after(errors: &[io::ErrorKind]) -> Duration {
        let left = RefCell::new(errors.iter());
        let start = Instant::now();
        retry(|| {
            let error = left.borrow_mut().next();
            async move { error.map_or(Ok(()), |&kind| Err(kind.into())) }
        })
        .await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn errors_of_one_connection_are_ignored() {
        let errors =
            [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted];
        assert_eq!(after(&errors).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn errors_of_the_system_are_given_more_and_more_time_up_to_a_second() {
        let errors = [io::ErrorKind::Other; 12];
        let mut total = 0;
        for (count, pause) in
            [0, 5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000, 1000].into_iter().enumerate()
        {
            total += pause;
            assert_eq!(after(&errors[..count]).await.as_millis(), total, "after {count} errors");
        }
    }
}
