//! A TCP port that another process can take over.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::listener::{BACKLOG, Live};

/// How long a peer may say nothing before it is asked whether it is still there.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(60);
/// How often it is asked, until it is taken for gone.
const PROBES: u32 = 3;

/// Whether the system lets several processes listen at a port for one another; elsewhere the option means something
/// else.
const CAN_BE_TAKEN_OVER: bool = cfg!(target_os = "linux");

/// Listens at the first address of `address` that can be listened at.
pub(super) async fn bind(address: &str, live: Live) -> io::Result<TcpListener> {
    let mut refused = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in lookup_host(address).await? {
        match listen(address, live) {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn listen(address: SocketAddr, live: Live) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // An agent that is started again finds connections of the one before it at the port.
    socket.set_reuseaddr(true)?;
    // Without this option a port is ours alone; with it, ours and that of all who have it, too. So an agent that is
    // started twice by mistake is refused, and one that is to take over from this one later is not.
    socket.set_reuseport(CAN_BE_TAKEN_OVER && live == Live::TakeOver)?;
    socket.bind(address)?;
    socket.set_reuseport(CAN_BE_TAKEN_OVER)?;
    let listener = socket.listen(BACKLOG)?;
    set_keepalive(&listener, Some(KEEPALIVE))?;
    Ok(listener)
}

/// Sets after how much silence the system asks the peers of connections that are accepted from now on whether they are
/// there.
pub(super) fn set_keepalive(listener: &TcpListener, silence: Option<Duration>) -> io::Result<()> {
    let socket = SockRef::from(listener);
    let Some(silence) = silence else { return socket.set_keepalive(false) };
    // What the system counts in is seconds, up to 32767 of them.
    let seconds = |time: Duration| Duration::from_secs(time.as_secs().clamp(1, 32_767));
    let keepalive = TcpKeepalive::new()
        .with_time(seconds(silence))
        .with_interval(seconds(silence / (2 * PROBES)))
        .with_retries(PROBES);
    // Connections have these from their listener.
    socket.set_tcp_keepalive(&keepalive)
}

/// Whether another process listens at the same address: Linux lists all who do.
pub(super) fn is_shared(listener: &TcpListener) -> bool {
    listener.local_addr().is_ok_and(|address| listeners_at(address) > 1)
}

#[cfg(target_os = "linux")]
fn listeners_at(address: SocketAddr) -> usize {
    use std::fs::File;
    use std::io::{BufRead, BufReader};

    let table = if address.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    let Ok(table) = File::open(table) else { return 0 };
    let wanted = as_in_table(address);
    // Below a line of headings; those that listen come first, and there can be many others.
    let lines = BufReader::new(table).lines().skip(1).map_while(Result::ok);
    let listening = lines.map_while(|line| {
        let mut fields = line.split_whitespace().skip(1).map(str::to_owned);
        let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        (state == "0A").then_some(local)
    });
    listening.filter(|local| *local == wanted).count()
}

#[cfg(not(target_os = "linux"))]
fn listeners_at(_: SocketAddr) -> usize {
    0
}

/// The address as the kernel prints it: words of four bytes in the machine's own order, and the port.
#[cfg(target_os = "linux")]
fn as_in_table(address: SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    let ip: String = words.map(|word| format!("{word:08X}")).collect();
    format!("{ip}:{:04X}", address.port())
}
