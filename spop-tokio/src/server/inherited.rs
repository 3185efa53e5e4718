//! Listening sockets that the service manager opened: systemd's socket activation.

use std::io::{Error, ErrorKind, Result};
use std::net::TcpListener as StdTcpListener;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use listenfd::ListenFd;
use tokio::net::{TcpListener, UnixListener};

use super::tcp;

/// The number of the first socket that is passed on.
const FIRST: usize = 3;

/// A listening socket that stays open when this process ends, so that connections wait for the next one.
#[derive(Debug)]
pub(super) struct Inherited {
    number: usize,
    pub(super) listener: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Inherited {
    /// The socket with the number of `fd:NUMBER`; `None` if `address` is no such.
    pub(super) fn bind(address: &str) -> Option<Result<Self>> {
        let number = address.strip_prefix("fd:").or_else(|| address.strip_prefix("fd@"))?;
        let explain = |error: Error| Error::new(error.kind(), format!("cannot listen at {address}: {error}"));
        Some(Self::take(number).map_err(explain))
    }

    fn take(number: &str) -> Result<Self> {
        let number = number.parse().map_err(|_| Error::new(ErrorKind::InvalidInput, "want a number"))?;
        let passed_on = || {
            let text =
                "the service manager passed no such socket on (LISTEN_FDS, LISTEN_PID), or it is in use";
            Error::new(ErrorKind::NotFound, text)
        };
        let index = usize::checked_sub(number, FIRST).ok_or_else(passed_on)?;
        let mut sockets = sockets();
        let listener = match sockets.take_unix_listener(index) {
            Ok(listener) => Kind::Unix(unix(listener.ok_or_else(passed_on)?)?),
            // Not a Unix socket.
            Err(_) => Kind::Tcp(tcp(sockets.take_tcp_listener(index)?.ok_or_else(passed_on)?)?),
        };
        Ok(Self { number, listener })
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }
}

/// What was passed on to this process, and is not in use yet.
fn sockets() -> MutexGuard<'static, ListenFd> {
    static SOCKETS: OnceLock<Mutex<ListenFd>> = OnceLock::new();
    let sockets = SOCKETS.get_or_init(|| Mutex::new(ListenFd::from_env()));
    sockets.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unix(listener: StdUnixListener) -> Result<UnixListener> {
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn tcp(listener: StdTcpListener) -> Result<TcpListener> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    tcp::set_keepalive(&listener, Some(tcp::KEEPALIVE))?;
    Ok(listener)
}
