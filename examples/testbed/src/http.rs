//! A client of HTTP/1.1 that sends what it is told, odd requests included.
//!
//! A connection that is closed instead of an answer is an error of its own: [`Error::is_closed`].

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::time::timeout;

use crate::Error;
use crate::message::{self, Framing, Head, read_body};

/// For a test that does not care: above the timeouts of [`Config::http`](crate::Config::http) that matter.
const DEADLINE: Duration = Duration::from_secs(20);

/// Sends `GET target` and returns the answer.
pub async fn get(to: impl Into<Address>, target: &str, headers: &[(&str, &str)]) -> Result<Response, Error> {
    let request = headers.iter().fold(Request::new("GET", target), |request, (n, v)| request.header(n, v));
    request.send(to).await
}

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// By TCP.
    Tcp(SocketAddr),
    /// By a unix stream socket.
    Unix(PathBuf),
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A request, sent as it is: nothing is checked, and only `Host` and `Content-Length` are added where missing.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    source: Option<IpAddr>,
    deadline: Duration,
}

impl Request {
    /// A request for a target such as `/path`, `*` or `http://host/path`.
    pub fn new(method: &str, target: &str) -> Self {
        let (headers, body) = Default::default();
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body,
            source: None,
            deadline: DEADLINE,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it from that address, for [`Request::send`]: Linux lets everybody be any of 127.0.0.0/8.
    pub fn source(mut self, source: impl Into<IpAddr>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// How long all of it may take; 20 s if not given.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sends it over a connection of its own.
    pub async fn send(&self, to: impl Into<Address>) -> Result<Response, Error> {
        let mut connection = Connection::open(to, self.source, self.deadline).await?;
        connection.send(self).await
    }

    /// The bytes that are sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let mut add = |name: &str, value: &str| text += &format!("{name}: {value}\r\n");
        if message::find(&self.headers, "host").is_none() {
            add("Host", "testbed");
        }
        let says_length =
            ["content-length", "transfer-encoding"].map(|name| message::find(&self.headers, name).is_some());
        if !self.body.is_empty() && says_length == [false; 2] {
            add("Content-Length", &self.body.len().to_string());
        }
        self.headers.iter().for_each(|(name, value)| add(name, value));
        text += "\r\n";
        [text.as_bytes(), &self.body].concat()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// All headers in order, names as they came.
    pub headers: Vec<(String, String)>,
    /// The body, without chunk headers.
    pub body: Vec<u8>,
}

impl Response {
    /// The first value of a header, whose name may be in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        message::find(&self.headers, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client's connection, for more than one request, or for bytes that are no request at all.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
}

trait Stream: AsyncRead + AsyncWrite + AsFd + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + AsFd + Unpin + Send> Stream for T {}

impl Connection {
    /// Connects, from that source address if one is given.
    pub async fn open(
        to: impl Into<Address>,
        source: Option<IpAddr>,
        deadline: Duration,
    ) -> Result<Self, Error> {
        let to = to.into();
        let doing = format!("connect to {to}");
        let connect = async {
            Ok(match &to {
                Address::Tcp(to) => Box::new(connect_tcp(*to, source).await?) as Box<dyn Stream>,
                Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            })
        };
        let connected = timeout(deadline, connect).await;
        let stream = connected.map_err(|_| Error::deadline(&doing, deadline))?.map_err(Error::io(doing))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Has the connection end with a reset when it is dropped, as that of a client that is gone.
    pub fn reset_when_dropped(&self) -> Result<(), Error> {
        let set = set_socket_linger(self.stream.get_ref(), Some(Duration::ZERO));
        set.map_err(|errno| Error::io("let a connection end with a reset")(errno.into()))
    }

    /// Sends a request and returns the answer. The connection can be used again unless that was an error, or said
    /// `Connection: close`.
    pub async fn send(&mut self, request: &Request) -> Result<Response, Error> {
        let exchange = async {
            self.send_raw(&request.to_bytes()).await?;
            self.read_response(request.method == "HEAD").await
        };
        let awaited = || format!("the answer to {} {}", request.method, request.target);
        timeout(request.deadline, exchange)
            .await
            .unwrap_or_else(|_| Err(Error::deadline(awaited(), request.deadline)))
    }

    /// Sends bytes as they are, and returns the answer to them.
    pub async fn send_bytes(&mut self, bytes: &[u8], deadline: Duration) -> Result<Response, Error> {
        let exchange = async {
            self.send_raw(bytes).await?;
            self.read_response(false).await
        };
        let awaited = || format!("the answer to {}", bytes.escape_ascii());
        timeout(deadline, exchange).await.unwrap_or_else(|_| Err(Error::deadline(awaited(), deadline)))
    }

    /// A peer that has closed already may still have answered, so being unable to write is not the end of it.
    async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self.stream.write_all(bytes).await {
            Err(error) if !is_closed(&error) => Err(Error::io("send a request")(error)),
            _ => Ok(()),
        }
    }

    async fn read_response(&mut self, answers_head: bool) -> Result<Response, Error> {
        loop {
            let mut got = Vec::new();
            let response = self.read_one(answers_head, &mut got).await;
            match response {
                // "100 Continue" and the like come before the answer.
                Ok(response) if (100..200).contains(&response.status) && response.status != 101 => {}
                Ok(response) => return Ok(response),
                Err(error) if is_closed(&error) => return Err(Error::Closed { got }),
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(Error::Malformed(format!("{error} in response {}", got.escape_ascii())));
                }
                Err(error) => return Err(Error::io("read a response")(error)),
            }
        }
    }

    async fn read_one(&mut self, answers_head: bool, got: &mut Vec<u8>) -> io::Result<Response> {
        let head = Head::read(&mut self.stream, got).await?;
        let status = head.first_line.strip_prefix("HTTP/1.").and_then(|line| line.get(2..5)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "status line"))?;
        let bodyless = answers_head || matches!(status, 100..200 | 204 | 304);
        let framing = if bodyless { Framing::Length(0) } else { head.framing()? };
        let mut body = Vec::new();
        let read = read_body(&mut self.stream, framing, &mut body).await;
        got.extend_from_slice(&body);
        read?;
        Ok(Response { status, headers: head.headers, body })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

async fn connect_tcp(to: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn is_closed(error: &io::Error) -> bool {
    let closed = [
        ErrorKind::UnexpectedEof,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::BrokenPipe,
    ];
    closed.contains(&error.kind())
}
