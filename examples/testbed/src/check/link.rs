//! A socket on which nothing takes for ever.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use spop::LENGTH_PREFIX;

/// The longest frame that is waited for: a length above it is nonsense, and not believed.
const MAX_FRAME: u32 = 1 << 24;

/// A connection to the agent.
pub(super) struct Link {
    stream: Stream,
    input: Vec<u8>,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What the agent did.
#[derive(Debug)]
pub(super) enum Incoming {
    /// It sent a frame; here without its length prefix.
    Frame(Vec<u8>),
    /// It sent a length that no frame has.
    BadLength(u32),
    /// It closed, with that many bytes of an incomplete frame.
    Closed { rest: usize },
    /// It did nothing for that long.
    Silence(Duration),
}

impl Link {
    /// Connects to `HOST:PORT`, `unix:PATH` or `unix@PATH`.
    pub(super) fn connect(address: &str, timeout: Duration) -> io::Result<Self> {
        let path = address.strip_prefix("unix:").or_else(|| address.strip_prefix("unix@"));
        let stream = match path {
            Some(path) => Stream::Unix(UnixStream::connect(path)?),
            None => {
                let address = address.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
                let stream = TcpStream::connect_timeout(&address, timeout)?;
                // Each write leaves as it is: how bytes are cut is what some cases are about.
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
        };
        let link = Self { stream, input: Vec::new() };
        link.set_timeouts(timeout)?;
        Ok(link)
    }

    fn set_timeouts(&self, timeout: Duration) -> io::Result<()> {
        // Zero would mean for ever.
        let timeout = Some(timeout.max(Duration::from_millis(1)));
        match &self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(timeout).and(stream.set_write_timeout(timeout)),
            Stream::Unix(stream) => stream.set_read_timeout(timeout).and(stream.set_write_timeout(timeout)),
        }
    }

    /// Sends; an agent that has closed meanwhile is no error, what it said before can still be read.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.stream.writer().write_all(bytes) {
            Err(error) if is_timeout(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// The next thing that the agent does, silence for all of `patience` included.
    pub(super) fn next(&mut self, patience: Duration) -> Incoming {
        let start = Instant::now();
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(incoming) = self.take_frame() {
                return incoming;
            }
            let Some(left) = patience.checked_sub(start.elapsed()) else {
                return Incoming::Silence(patience);
            };
            let closed = Incoming::Closed { rest: self.input.len() };
            let read = self.set_timeouts(left).and_then(|()| self.stream.reader().read(&mut chunk));
            match read {
                Ok(0) => return closed,
                Ok(read) => self.input.extend_from_slice(&chunk[..read]),
                Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return closed,
            }
        }
    }

    fn take_frame(&mut self) -> Option<Incoming> {
        let len = u32::from_be_bytes(*self.input.first_chunk()?);
        if !(7..=MAX_FRAME).contains(&len) {
            return Some(Incoming::BadLength(len));
        }
        let end = LENGTH_PREFIX + len as usize;
        let frame = self.input.get(LENGTH_PREFIX..end)?.to_vec();
        self.input.drain(..end);
        Some(Incoming::Frame(frame))
    }

    /// Sends no more; what comes can still be read.
    pub(super) fn half_close(&self) {
        // Fails only if the connection is gone, which will show.
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Closes in HAProxy's way: with a reset.
    pub(super) fn reset(self) {
        if let Stream::Tcp(stream) = &self.stream {
            let _ = sockopt::set_socket_linger(stream.as_fd(), Some(Duration::ZERO));
        }
    }
}

impl Stream {
    fn reader(&mut self) -> &mut dyn Read {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
