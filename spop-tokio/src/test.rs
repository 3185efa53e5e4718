//! Tests of agents without a HAProxy and without sockets: the cargo feature `test-util`.
//!
//! A handler is a function: call it. What has to be extracted from a message first comes from [`Request::builder`], and
//! so does a request for a [`Service`] as a whole:
//!
//! ```
//! use std::net::Ipv4Addr;
//!
//! use spop_tokio::{MessageRequest, Request, Router, Service, Var};
//!
//! const IS_LOCAL: Var = Var::transaction("is_local");
//!
//! fn check(request: MessageRequest) -> Result<(Var, bool), spop_tokio::ArgError> {
//!     let ip: Option<Ipv4Addr> = request.get("ip")?;
//!     Ok((IS_LOCAL, ip.is_some_and(|ip| ip.is_loopback())))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), spop_tokio::BoxError> {
//! let request = || Request::builder().message("check").arg("ip", Ipv4Addr::LOCALHOST);
//! // The handler alone.
//! assert_eq!(check(request().build_message())?, (IS_LOCAL, true));
//! // The agent, without a server.
//! let router = Router::new().message("check", check);
//! assert_eq!(router.call(request().build()).await?.get(IS_LOCAL), Some(true.into()));
//! # Ok(())
//! # }
//! ```
//!
//! [`TestHaproxy`] talks to a whole agent, server and all, over a stream in memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use spop::haproxy::{Config, Connection, Engine, Event};
use spop::{
    Ack, Capabilities, EncodeError, Negotiated, Notify, NotifyId, NotifyWriter, OwnedTypedData, Status,
    ToTypedData, Version,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::service::ConnectionInfo;
use crate::{Error, MessageRequest, Peer, Request, Server, Service};

/// Messages, for a [`Request`] or for [`TestHaproxy`] to send: see [`Request::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing unless it is built or sent"]
pub struct RequestBuilder {
    messages: Vec<(String, Vec<(String, OwnedTypedData)>)>,
    connection: ConnectionInfo,
    time_limit: Option<Duration>,
}

impl Request {
    /// Creates a request for tests, without a connection; cargo feature `test-util`. See the [module](crate::test).
    pub fn builder() -> RequestBuilder {
        let negotiated = Negotiated {
            version: Version { major: 2, minor: 0 },
            max_frame_size: MAX_FRAME,
            capabilities: Capabilities::PIPELINING,
            engine_id: None,
        };
        let connection = ConnectionInfo { peer: Peer::Other, negotiated };
        RequestBuilder { messages: Vec::new(), connection, time_limit: None }
    }
}

/// HAProxy's default `max-frame-size`, in bytes.
const MAX_FRAME: u32 = 16_380;

impl RequestBuilder {
    /// Adds a message; the arguments that follow are its own.
    pub fn message(mut self, name: impl Into<String>) -> Self {
        self.messages.push((name.into(), Vec::new()));
        self
    }

    /// Adds an argument to the last message; an empty `name` makes it an unnamed one.
    ///
    /// # Panics
    /// If there is no message yet.
    pub fn arg(mut self, name: impl Into<String>, value: impl ToTypedData) -> Self {
        let (_, args) = self.messages.last_mut().expect("call `message` before `arg`");
        args.push((name.into(), value.to_typed_data().into_owned()));
        self
    }

    /// Sets who connected; default [`Peer::Other`]. A [`TestHaproxy`] does not heed it.
    pub fn peer(mut self, peer: Peer) -> Self {
        self.connection.peer = peer;
        self
    }

    /// Sets which engine it is; default none. A [`TestHaproxy`] does not heed it.
    pub fn engine_id(mut self, id: impl Into<Vec<u8>>) -> Self {
        self.connection.negotiated.engine_id = Some(id.into());
        self
    }

    /// Sets how long the answer may take; default for ever. A [`TestHaproxy`] does not heed it.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Returns the request, to call a [`Service`] with.
    ///
    /// # Panics
    /// If a message has no name or more than 255 arguments.
    pub fn build(self) -> Request {
        let id = NotifyId { stream_id: 1, frame_id: 1 };
        let notify = Notify::build(id, |notify| self.write(notify));
        let notify = notify.expect("messages with names and with up to 255 arguments");
        let mut request = Request::new(notify, Arc::new(self.connection));
        request.set_time_limit(self.time_limit);
        request
    }

    /// Returns the first message of the request, to call a handler with.
    ///
    /// # Panics
    /// As [`build`](Self::build), and if there is no message.
    pub fn build_message(self) -> MessageRequest {
        let request = self.build();
        let message = request.messages().next().expect("call `message` before `build_message`");
        let position = request.position(&message);
        MessageRequest::new(request, position)
    }

    fn write(&self, notify: &mut NotifyWriter<'_>) -> Result<(), EncodeError> {
        for (name, args) in &self.messages {
            notify.message(name)?;
            for (name, value) in args {
                notify.arg(name, value)?;
            }
        }
        Ok(())
    }
}

/// HAProxy, to test a whole agent in memory: a connection to a [`Server`], step by step.
///
/// ```
/// use spop_tokio::test::TestHaproxy;
/// use spop_tokio::{Request, Router, Var};
///
/// const SCORE: Var = Var::session("ip_score");
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), spop_tokio::Error> {
/// let agent = Router::new().message("check-client-ip", || (SCORE, 50));
/// let mut haproxy = TestHaproxy::new(agent).await?;
/// let answer = haproxy.ask(Request::builder().message("check-client-ip")).await?;
/// assert_eq!(answer.get(SCORE), Some(50.into()));
/// haproxy.disconnect().await
/// # }
/// ```
///
/// Where the agent should do something and does not, an error says so after [`patience`](Self::patience). With tokio's
/// paused time (its feature `test-util`) that takes no time.
#[derive(Debug)]
pub struct TestHaproxy {
    io: DuplexStream,
    connection: Connection,
    input: BytesMut,
    /// Answers that came while another one was awaited.
    answers: Vec<Ack<Bytes>>,
    serving: JoinHandle<Result<usize, Error>>,
    patience: Duration,
}

/// So much is under way in each direction, in bytes, before the writer has to wait: a socket's buffer.
const IN_FLIGHT: usize = 64 * 1024;

impl TestHaproxy {
    /// Connects to `service`, on a server with the defaults, and exchanges the HELLOs as HAProxy from 3.1 does.
    ///
    /// # Errors
    /// If the agent refuses.
    pub async fn new<S: Service>(service: S) -> Result<Self, Error> {
        Self::with_server(Server::new(service)).await
    }

    /// Connects to `server`.
    ///
    /// # Errors
    /// If the agent refuses.
    pub async fn with_server<S: Service>(server: Server<S>) -> Result<Self, Error> {
        let (io, agent) = tokio::io::duplex(IN_FLIGHT);
        let serving = tokio::spawn(async move { server.serve_connection(agent).await });
        let connection = Connection::new(Config::new(Engine::Mux));
        let patience = Duration::from_secs(10);
        let mut haproxy =
            Self { io, connection, input: BytesMut::new(), answers: Vec::new(), serving, patience };
        let mut hello = BytesMut::new();
        haproxy.connection.hello(&mut hello)?;
        haproxy.send_bytes(&hello).await?;
        match haproxy.event().await? {
            Some(Event::Connected(_)) => Ok(haproxy),
            Some(Event::Disconnected(disconnect)) => Err(disconnect.into()),
            _ => Err(Error::closed()),
        }
    }

    /// Sets how long to wait for the agent; default 10 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends messages in one NOTIFY, and waits for the answer.
    ///
    /// # Errors
    /// If no answer comes, or the messages cannot be sent: they are longer than a frame, or as many requests are in
    /// flight as HAProxy allows, which is 20.
    pub async fn ask(&mut self, request: RequestBuilder) -> Result<Ack<Bytes>, Error> {
        let id = self.send(request).await?;
        self.answer(id).await
    }

    /// Sends messages as [`ask`](Self::ask) does, but gives up once `limit` is over, as HAProxy does after
    /// `timeout processing`: `None`.
    ///
    /// # Errors
    /// As there.
    pub async fn ask_within(
        &mut self,
        limit: Duration,
        request: RequestBuilder,
    ) -> Result<Option<Ack<Bytes>>, Error> {
        let id = self.send(request).await?;
        match timeout(limit, self.answer(id)).await {
            Ok(answer) => answer.map(Some),
            Err(_) => {
                self.connection.abandon(id);
                Ok(None)
            }
        }
    }

    /// Sends so many NOTIFYs at once that have the same messages, and waits for all answers; they are in the order of
    /// the requests.
    ///
    /// # Errors
    /// As [`ask`](Self::ask): more than 20 are too many for one connection.
    pub async fn flood(&mut self, count: usize, request: RequestBuilder) -> Result<Vec<Ack<Bytes>>, Error> {
        let (mut out, mut ids) = (BytesMut::new(), Vec::new());
        for _ in 0..count {
            ids.push(self.write(&request, &mut out)?);
        }
        self.send_bytes(&out).await?;
        let mut answers = Vec::new();
        for id in ids {
            answers.push(self.answer(id).await?);
        }
        Ok(answers)
    }

    /// Sends messages in one NOTIFY, and does not wait for the answer.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn send(&mut self, request: RequestBuilder) -> Result<NotifyId, Error> {
        let mut out = BytesMut::new();
        let id = self.write(&request, &mut out)?;
        self.send_bytes(&out).await?;
        Ok(id)
    }

    /// Sends the first `bytes` bytes of a NOTIFY and closes the connection. Returns how the server ended it: how many
    /// requests were left without an answer, or what was wrong.
    ///
    /// # Errors
    /// The server's.
    pub async fn cut(mut self, bytes: usize, request: RequestBuilder) -> Result<usize, Error> {
        let mut out = BytesMut::new();
        self.write(&request, &mut out)?;
        out.truncate(bytes);
        self.send_bytes(&out).await?;
        self.abort().await
    }

    /// Closes the connection without a word, whatever is in flight. Returns how the server ended it: how many requests
    /// were left without an answer.
    ///
    /// # Errors
    /// The server's.
    pub async fn abort(self) -> Result<usize, Error> {
        let Self { io, serving, patience, .. } = self;
        drop(io);
        end(serving, patience).await
    }

    /// Ends the connection with a DISCONNECT, and waits for the agent to do so, too.
    ///
    /// # Errors
    /// The server's, or if it does not end the connection.
    pub async fn disconnect(mut self) -> Result<(), Error> {
        let mut out = BytesMut::new();
        self.connection.disconnect(Status::NORMAL, &mut out);
        self.send_bytes(&out).await?;
        while self.event().await?.is_some() {}
        end(self.serving, self.patience).await.map(drop)
    }

    /// Waits for the answer to the request that was [sent](Self::send) with these ids.
    ///
    /// # Errors
    /// If it does not come.
    pub async fn answer(&mut self, id: NotifyId) -> Result<Ack<Bytes>, Error> {
        loop {
            if let Some(at) = self.answers.iter().position(|answer| answer.id() == id) {
                return Ok(self.answers.remove(at));
            }
            match self.event().await? {
                Some(Event::Ack(answer)) => self.answers.push(answer),
                Some(Event::Disconnected(disconnect)) => return Err(disconnect.into()),
                Some(_) => {}
                None => return Err(Error::closed()),
            }
        }
    }

    /// Sends bytes as they are, such as frames that no HAProxy would send.
    ///
    /// # Errors
    /// If the agent has closed the connection, or does not read.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match timeout(self.patience, self.io.write_all(bytes)).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(Error::timeout("the agent does not read")),
        }
    }

    fn write(&mut self, request: &RequestBuilder, out: &mut BytesMut) -> Result<NotifyId, Error> {
        let mut notify = self.connection.notify(out).map_err(std::io::Error::other)?;
        request.write(&mut notify)?;
        Ok(notify.finish())
    }

    /// What the agent does next; `None` if it closes the connection.
    async fn event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let mut reply = BytesMut::new();
            let event = self.connection.handle_input(&mut self.input, &mut reply);
            if !reply.is_empty() {
                self.send_bytes(&reply).await?;
            }
            if let Some(event) = event? {
                return Ok(Some(event));
            }
            match timeout(self.patience, self.io.read_buf(&mut self.input)).await {
                Ok(Ok(0)) => {
                    self.connection.handle_eof(&self.input)?;
                    return Ok(None);
                }
                Ok(read) => read?,
                Err(_) => return Err(Error::timeout("the agent does not answer")),
            };
        }
    }
}

async fn end(serving: JoinHandle<Result<usize, Error>>, patience: Duration) -> Result<usize, Error> {
    match timeout(patience, serving).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => Err(std::io::Error::other(error).into()),
        Err(_) => Err(Error::timeout("the agent does not end the connection")),
    }
}
