//! HAProxy's role: sends NOTIFYs to an agent, and gets ACKs.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use bytes::{Buf, Bytes, BytesMut};
use spop::haproxy::{Config, Connection, Event};
use spop::{Ack, EncodeError, Negotiated, NotifyId, NotifyWriter, State, Status};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::io::poll_read_buf;

use crate::Error;

/// Requests that wait for capacity on the connection; more make [`Client::notify`] wait.
const QUEUE: usize = 64;
const READ: usize = 4 * 1024;

type Build = Box<dyn FnOnce(&mut NotifyWriter<'_>) -> Result<(), EncodeError> + Send>;
type Answer = oneshot::Sender<Result<Ack<Bytes>, Error>>;

/// A connection to an agent, in HAProxy's role: for tests of agents, without a HAProxy.
///
/// Clones share the connection; it ends with a DISCONNECT when the last one is dropped. Requests overlap if the agent
/// takes that, 20 at a time as in HAProxy; more wait for their turn.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), spop_tokio::Error> {
/// use spop_tokio::spop::haproxy::{Config, Engine};
/// use spop_tokio::{Actions, Client, Request, Server, service_fn};
///
/// let (haproxy, agent) = tokio::io::duplex(4096);
/// tokio::spawn(async move {
///     let service = service_fn(|_: Request| async { Ok::<_, std::convert::Infallible>(Actions::new()) });
///     Server::new(service).serve_connection(agent).await
/// });
///
/// let (client, driver) = Client::connect(haproxy, Config::new(Engine::Mux)).await?;
/// tokio::spawn(driver.run());
/// let ack = client
///     .notify(|notify| {
///         notify.message("check-client-ip")?.arg("ip", std::net::Ipv4Addr::LOCALHOST)?;
///         Ok(())
///     })
///     .await?;
/// assert_eq!(ack.actions().count(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    negotiated: Negotiated,
}

impl Client {
    /// Exchanges the HELLOs over `io`. The [`Driver`] has to run for the client to get answers: spawn it.
    ///
    /// # Errors
    /// If the agent refuses, breaks the protocol, or leaves. There is no timeout: see [`tokio::time::timeout`].
    pub async fn connect<Io>(io: Io, config: Config) -> Result<(Self, Driver<Io>), Error>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let (commands, queue) = mpsc::channel(QUEUE);
        let mut driver = Driver::new(io, config.healthcheck(false), queue)?;
        let negotiated = poll_fn(|cx| driver.poll_hello(cx)).await?;
        Ok((Self { commands, negotiated }, driver))
    }

    /// Sends a NOTIFY and waits for its ACK; `build` writes its messages. Drop the future to give the answer up, as
    /// HAProxy does after `timeout processing`.
    ///
    /// # Errors
    /// What `build` returns, or why no answer came: the agent left ([`Error::is_closed`]) or broke the protocol.
    pub async fn notify<F>(&self, build: F) -> Result<Ack<Bytes>, Error>
    where
        F: FnOnce(&mut NotifyWriter<'_>) -> Result<(), EncodeError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let command = Command { build: Box::new(build), answer };
        self.commands.send(command).await.map_err(|_| Error::closed())?;
        answered.await.map_err(|_| Error::closed())?
    }

    /// Returns what both sides agreed on.
    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }
}

/// Asks an agent whether it is well, as `option spop-check` does: exchanges the HELLOs and closes.
///
/// # Errors
/// If the agent refuses, breaks the protocol, or leaves. There is no timeout: see [`tokio::time::timeout`].
pub async fn health_check<Io>(io: Io, config: Config) -> Result<Negotiated, Error>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut driver = Driver::new(io, config.healthcheck(true), mpsc::channel(1).1)?;
    poll_fn(|cx| driver.poll_hello(cx)).await
}

struct Command {
    build: Build,
    answer: Answer,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").finish_non_exhaustive()
    }
}

/// Moves the bytes of a [`Client`].
#[derive(Debug)]
#[must_use = "a client gets no answers unless its driver runs"]
pub struct Driver<Io> {
    io: Io,
    connection: Connection,
    input: BytesMut,
    out: BytesMut,
    queue: mpsc::Receiver<Command>,
    waiting: Vec<(NotifyId, Answer)>,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Driver<Io> {
    fn new(io: Io, config: Config, queue: mpsc::Receiver<Command>) -> Result<Self, Error> {
        let connection = Connection::new(config);
        let mut out = BytesMut::new();
        connection.hello(&mut out)?;
        Ok(Self { io, connection, input: BytesMut::new(), out, queue, waiting: Vec::new() })
    }

    /// Runs until all clients are dropped and the agent has sent its DISCONNECT, or either side fails.
    ///
    /// # Errors
    /// If the stream fails or the agent breaks the protocol. Requests that wait get the same error.
    pub async fn run(mut self) -> Result<(), Error> {
        let result = poll_fn(|cx| self.poll(cx)).await;
        if let Err(error) = &result {
            for (_, answer) in self.waiting.drain(..) {
                let _ = answer.send(Err(error.again()));
            }
        }
        // The last words: a DISCONNECT that says what was wrong, if anything was.
        let _ = self.io.write_all(&self.out).await;
        let _ = self.io.shutdown().await;
        result
    }

    fn poll_hello(&mut self, cx: &mut Context<'_>) -> Poll<Result<Negotiated, Error>> {
        loop {
            if let Some(event) = self.connection.handle_input(&mut self.input, &mut self.out)? {
                return Poll::Ready(match event {
                    Event::Connected(negotiated) | Event::HealthCheckPassed(negotiated) => Ok(negotiated),
                    Event::Disconnected(disconnect) => Err(disconnect.into()),
                    _ => Err(Error::closed()),
                });
            }
            let _ = self.poll_write(cx)?;
            if ready!(self.poll_read(cx))? == 0 {
                self.connection.handle_eof(&self.input)?;
                return Poll::Ready(Err(Error::closed()));
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            self.take_input()?;
            // More requests only once the last ones have left.
            if self.poll_write(cx)?.is_ready() {
                self.take_commands(cx);
                let _ = self.poll_write(cx)?;
            }
            if self.connection.state() == State::Closed {
                return Poll::Ready(Ok(()));
            }
            // What was sent just now is looked at too, so that giving it up wakes this task.
            if self.drop_abandoned(cx) {
                continue;
            }
            // Even if it cannot write: the agent reads nothing either while its answers are not read.
            if ready!(self.poll_read(cx))? == 0 {
                self.connection.handle_eof(&self.input)?;
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn take_input(&mut self) -> Result<(), Error> {
        while let Some(event) = self.connection.handle_input(&mut self.input, &mut self.out)? {
            match event {
                Event::Ack(ack) => {
                    let at = self.waiting.iter().position(|(id, _)| *id == ack.id());
                    if let Some((_, answer)) = at.map(|at| self.waiting.swap_remove(at)) {
                        // Whoever asked may have stopped listening meanwhile.
                        let _ = answer.send(Ok(ack));
                    }
                }
                Event::Disconnected(disconnect) => {
                    for (_, answer) in self.waiting.drain(..) {
                        let _ = answer.send(Err(disconnect.clone().into()));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Frees the place of requests whose futures were dropped; returns whether there were any.
    fn drop_abandoned(&mut self, cx: &mut Context<'_>) -> bool {
        let (connection, before) = (&mut self.connection, self.waiting.len());
        self.waiting.retain_mut(|(id, answer)| {
            let abandoned = answer.poll_closed(cx).is_ready();
            if abandoned {
                connection.abandon(*id);
            }
            !abandoned
        });
        self.waiting.len() < before
    }

    /// Sends what the window allows; sends the DISCONNECT when nobody can ask any more and nothing waits.
    fn take_commands(&mut self, cx: &mut Context<'_>) {
        while self.connection.state() == State::Running && self.connection.window() > 0 {
            match self.queue.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.send(command),
                Poll::Ready(None) if self.waiting.is_empty() => {
                    self.connection.disconnect(Status::NORMAL, &mut self.out);
                }
                _ => break,
            }
        }
    }

    fn send(&mut self, Command { build, answer }: Command) {
        if answer.is_closed() {
            return;
        }
        // There is capacity: the window was looked at.
        let Ok(mut notify) = self.connection.notify(&mut self.out) else { return };
        match build(&mut notify) {
            Ok(()) => {
                let id = notify.finish();
                self.waiting.push((id, answer));
            }
            Err(error) => {
                drop(notify);
                let _ = answer.send(Err(error.into()));
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &self.out)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.out.advance(written),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        Ok(Poll::Ready(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(READ);
        poll_read_buf(Pin::new(&mut self.io), cx, &mut self.input)
    }
}
