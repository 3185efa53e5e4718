//! Connections beyond `max_connections`: health checks get through, others wait for their turn, but not for ever.
//!
//! A peer that is gone without a word keeps its connection, and a HAProxy whose health checks are not answered takes
//! the agent out of use. So a few more connections are accepted than may be served, and each shows by its HELLO what it
//! is.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use spop::agent::{self, Connection};
use spop::{Frame, FrameDecoder, Instant, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How many wait at most.
pub(super) const PLACES: usize = 32;
/// More than any HELLO of HAProxy's, in bytes.
const HELLO: usize = 1024;

/// Who waits, the first to come in front.
#[derive(Debug, Default)]
pub(super) struct Queue(VecDeque<oneshot::Sender<Infallible>>);

/// A place in the queue, until it is dropped.
pub(super) struct Place(oneshot::Receiver<Infallible>);

/// What became of a connection that waited.
pub(super) enum Admitted {
    /// It is a health check, which is short: it keeps its place instead.
    Check,
    /// It may go on for as long as it likes.
    Turn(OwnedSemaphorePermit),
    /// The peer has left.
    Left,
}

impl Queue {
    /// A place at the end. If there is none, the one in front has to go: it has waited in vain for longest, and whoever
    /// comes now may be a health check.
    pub(super) fn join(&mut self) -> Place {
        self.0.retain(|place| !place.is_closed());
        if self.0.len() >= PLACES {
            self.0.pop_front();
        }
        let (sender, receiver) = oneshot::channel();
        self.0.push_back(sender);
        Place(receiver)
    }
}

impl Place {
    /// Does `work`, unless the place is lost before; what can be done at once is done.
    pub(super) async fn hold<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            Err(_) = &mut self.0 => None,
        }
    }
}

/// Waits until `io` turns out to be a health check, or one of `permits` is free.
pub(super) async fn admit<Io>(io: &mut Prefixed<Io>, permits: Arc<Semaphore>) -> Admitted
where
    Io: AsyncRead + Unpin,
{
    let mut input = BytesMut::with_capacity(HELLO);
    let is_check = loop {
        if let Some(is_check) = is_health_check(&input) {
            break is_check;
        }
        match io.io.read_buf(&mut input).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Admitted::Left,
        }
    };
    io.prefix = Some(Box::new(input.freeze()));
    if is_check {
        return Admitted::Check;
    }
    match permits.acquire_owned().await {
        Ok(permit) => Admitted::Turn(permit),
        // Never closed.
        Err(_) => Admitted::Left,
    }
}

/// Whether these first bytes of a connection are the HELLO of a health check; `None` while that cannot be said.
fn is_health_check(input: &[u8]) -> Option<bool> {
    match FrameDecoder::new(HELLO as u32).peek(input) {
        Ok(Some(frame)) => {
            Some(matches!(Frame::parse(frame), Ok(Frame::HaproxyHello(hello)) if hello.healthcheck))
        }
        Ok(None) if input.len() < HELLO => None,
        // Whatever it is, it is told when its turn has come.
        Ok(None) | Err(_) => Some(false),
    }
}

/// Logs that there are too many connections, if the stream takes that at once: HAProxy up to 3.0 would connect again
/// and again to an agent that closes without a word.
pub(super) fn refuse(mut io: impl AsyncWrite + Unpin) {
    // No time passes.
    let now = Instant::default();
    let mut connection = Connection::new(agent::Config::new(), now);
    connection.disconnect(Status::RESOURCE, "too many connections");
    let _ = io.write_all(connection.poll_transmit(now)).now_or_never();
}

/// A stream of which something has been read already.
pub(super) struct Prefixed<Io> {
    /// Boxed, as nearly all connections have none.
    prefix: Option<Box<Bytes>>,
    io: Io,
}

impl<Io> Prefixed<Io> {
    pub(super) fn new(io: Io) -> Self {
        Self { prefix: None, io }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Prefixed<Io> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(prefix) = &mut self.prefix else { return Pin::new(&mut self.io).poll_read(cx, buf) };
        let length = prefix.len().min(buf.remaining());
        buf.put_slice(&prefix.split_to(length));
        if prefix.is_empty() {
            self.prefix = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Prefixed<Io> {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
