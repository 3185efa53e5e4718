//! The bytes of a connection: bursts in, bursts out.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use spop::{Actions, State};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::{Driver, IDLE_READ, MAX_READ, MIN_READ};
use crate::{BoxError, Request};

thread_local! {
    /// What the last burst of this thread was read into. A connection needs it no longer than it takes to handle the
    /// burst, so 10,000 of them do not hold one each.
    static SPARE: Cell<BytesMut> = Cell::default();
}

/// How much was sent of what was to be sent.
pub(super) enum Sent {
    /// All that HAProxy can take now.
    All,
    /// As much as the socket takes.
    Part,
}

impl<Io, C, F, E> Driver<'_, Io, C, F>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    C: Fn(Request) -> F,
    F: Future<Output = Result<Actions, E>>,
    E: Into<BoxError>,
{
    /// Sends what may be sent, in one write if the socket takes it.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Sent {
        loop {
            let bytes = self.connection.poll_transmit(self.now);
            if bytes.is_empty() {
                break;
            }
            match Pin::new(&mut self.io).poll_write(cx, bytes) {
                Poll::Ready(Ok(written)) if written > 0 => self.connection.transmitted(written),
                Poll::Ready(result) => {
                    self.fail_io(result.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
                    break;
                }
                Poll::Pending => return Sent::Part,
            }
        }
        if self.connection.unsent() > 0
            && let Some(moment) = self.engine.as_ref().and_then(|engine| engine.ran_after())
        {
            // Held back: another connection may show that HAProxy is running.
            self.connection.ran_after(moment, self.now);
        }
        if self.connection.state() == State::Lingering && !self.shut {
            // The peer is to close first, so that a reset does not overtake the last bytes.
            self.shut = Pin::new(&mut self.io).poll_shutdown(cx).is_ready();
        }
        Sent::All
    }

    /// Reads one burst; 0 at the end of the stream.
    ///
    /// A burst that is longer than the last ones were takes several reads, so that its answers still leave together:
    /// HAProxy would send its next requests as these come, and the bursts would stay apart.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut before = 0;
        loop {
            self.reserve();
            let capacity = self.input.capacity() - self.input.len();
            match poll_read_buf(Pin::new(&mut self.io), cx, &mut self.input)? {
                Poll::Ready(read) if read == capacity => {
                    self.read_size = (self.read_size * 2).min(MAX_READ);
                    before += read;
                    // A request in flight holds all that was read with it.
                    if self.input.len() + self.read_size > MAX_READ {
                        return Poll::Ready(Ok(before));
                    }
                }
                Poll::Ready(read) => {
                    if before == 0 && read < self.read_size / 4 && self.read_size > MIN_READ {
                        self.read_size /= 2;
                    }
                    return Poll::Ready(Ok(before + read));
                }
                Poll::Pending if before > 0 => return Poll::Ready(Ok(before)),
                Poll::Pending => {
                    self.spare();
                    return Poll::Pending;
                }
            }
        }
    }

    fn reserve(&mut self) {
        if self.input.try_reclaim(self.read_size) {
            return;
        }
        // Requests in flight hold the buffer, or it is small. `reserve` would make the next one as large as any before.
        let (kept, wanted) = (mem::take(&mut self.input), self.read_size);
        if wanted > IDLE_READ {
            self.input = SPARE.take();
        }
        if !self.input.try_reclaim(kept.len() + wanted) {
            self.input = BytesMut::with_capacity(kept.len() + wanted);
        }
        self.input.extend_from_slice(&kept);
    }

    /// Leaves the capacity for a burst to the next connection that has one.
    fn spare(&mut self) {
        if self.input.is_empty() && self.read_size > IDLE_READ {
            SPARE.set(mem::take(&mut self.input));
        }
    }

    /// Frees what bursts needed, once the connection is quiet: HAProxy keeps many such.
    pub(super) fn shrink(&mut self) {
        self.read_size = IDLE_READ;
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }
}
