//! Loopback ports that nobody else will get.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

use crate::Error;

/// A free port of a loopback address, kept free for one process to listen on for as long as this value lives.
///
/// To bind port 0, look and close again would be a race: HAProxy binds with SO_REUSEPORT, so two HAProxys of two
/// tests could share a port, and each would get half of the other's requests. This socket stays bound, but never
/// listens: the system hands the port to nobody, a process that names it (with SO_REUSEADDR, as HAProxy, tokio and
/// std do) can still listen on it, and until then a connect is refused.
#[derive(Debug)]
pub struct ReservedPort {
    addr: SocketAddr,
    _held: TcpSocket,
}

impl ReservedPort {
    /// Takes a free port of 127.0.0.1.
    pub fn new() -> Result<Self, Error> {
        Self::on(Ipv4Addr::LOCALHOST)
    }

    /// Takes a free port of an address of this machine, such as `Ipv6Addr::LOCALHOST`.
    pub fn on(address: impl Into<IpAddr>) -> Result<Self, Error> {
        let address = address.into();
        let bind = || {
            let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.set_reuseaddr(true)?;
            socket.set_reuseport(true)?;
            socket.bind(SocketAddr::new(address, 0))?;
            Ok(Self { addr: socket.local_addr()?, _held: socket })
        };
        bind().map_err(Error::io(format!("reserve a port of {address}")))
    }

    /// The address to listen on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn is_refused_until_somebody_listens() {
        let port = ReservedPort::new().unwrap();
        assert!(TcpStream::connect(port.addr()).await.is_err());
        let listener = TcpListener::bind(port.addr()).await.unwrap();
        let (client, accepted) = tokio::join!(TcpStream::connect(port.addr()), listener.accept());
        client.unwrap();
        accepted.unwrap();
    }
}
