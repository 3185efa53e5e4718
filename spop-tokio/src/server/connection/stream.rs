//! The bytes of a connection: bursts in, bursts out.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use spop::{Actions, Phase};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::io::poll_read_buf;

use super::{Driver, IDLE_READ, LINGER, MAX_READ, MAX_UNSENT, MIN_READ};
use crate::server::pace::Pace;
use crate::server::timers::Timer;
use crate::{BoxError, Request};

thread_local! {
    /// What the last burst of this thread was read into. A connection needs it no longer than it takes to handle the burst, so
    /// 10,000 of them do not hold one each.
    static SPARE: Cell<BytesMut> = Cell::default();
}

impl<Io, C, F, E> Driver<'_, Io, C, F>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    C: Fn(Request) -> F,
    F: Future<Output = Result<Actions, E>>,
    E: Into<BoxError>,
{
    /// Sends all of `out`, in one write if the socket takes it and it is not too much at a time for HAProxy; pending when the
    /// peer has to read first.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while !self.out.is_empty() {
            let part = self.pace.allowance(&self.out, &self.connection);
            if part == 0 {
                self.timers.set_if_unset(Timer::Pace, Pace::pause_end);
                return Ok(Poll::Pending);
            }
            match Pin::new(&mut self.io).poll_write(cx, &self.out[..part])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => {
                    self.out.advance(written);
                    self.pace.sent(written);
                    self.timers.clear(Timer::Write);
                    self.timers.clear(Timer::Pace);
                }
                Poll::Pending => {
                    self.timers.set_if_unset(Timer::Write, || Instant::now() + self.config.write_timeout);
                    return Ok(Poll::Pending);
                }
            }
        }
        self.all_is_sent();
        Ok(Poll::Ready(()))
    }

    /// Whether long answers wait for HAProxy to read, which its next request would tell. Otherwise a peer that does not read is
    /// not read from.
    pub(super) fn waits_for_proof(&self) -> bool {
        self.timers.is_set(Timer::Pace)
            && self.connection.phase() != Phase::Closed
            && self.out.len() < MAX_UNSENT
    }

    /// Reads one burst; 0 at the end of the stream.
    ///
    /// A burst that is longer than the last ones were takes several reads, so that its answers still leave together: HAProxy
    /// would send its next requests as these come, and the bursts would stay apart.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut before = 0;
        loop {
            self.make_room();
            let room = self.input.capacity() - self.input.len();
            match poll_read_buf(Pin::new(&mut self.io), cx, &mut self.input)? {
                Poll::Ready(read) if read == room => {
                    self.read_size = (self.read_size * 2).min(MAX_READ);
                    before += read;
                    // A request at work holds all that was read with it.
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
                    self.spare_room();
                    return Poll::Pending;
                }
            }
        }
    }

    fn make_room(&mut self) {
        if self.input.try_reclaim(self.read_size) {
            return;
        }
        // Requests at work hold the buffer, or it is small. `reserve` would make the next one as large as any before.
        let (kept, wanted) = (mem::take(&mut self.input), self.read_size);
        if wanted > IDLE_READ {
            self.input = SPARE.take();
        }
        if !self.input.try_reclaim(kept.len() + wanted) {
            self.input = BytesMut::with_capacity(kept.len() + wanted);
        }
        self.input.extend_from_slice(&kept);
    }

    /// Leaves the room for a burst to the next connection that has one.
    fn spare_room(&mut self) {
        if self.input.is_empty() && self.read_size > IDLE_READ {
            SPARE.set(mem::take(&mut self.input));
        }
    }

    /// Sends what is left and waits for the peer to close, so that a reset does not overtake the goodbye.
    pub(super) async fn say_goodbye(&mut self) {
        let goodbye = async {
            self.io.write_all(&self.out).await?;
            self.io.shutdown().await?;
            let mut rest = vec![0; MIN_READ];
            while self.io.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // Whatever comes of it, the connection is over.
        let _ = timeout(LINGER, goodbye).await;
    }
}

impl<Io, C, F: Future> Driver<'_, Io, C, F> {
    /// Gives back what bursts needed, once the connection is quiet: HAProxy keeps many such.
    pub(super) fn shrink(&mut self) {
        self.read_size = IDLE_READ;
        for buffer in [&mut self.input, &mut self.out] {
            if buffer.is_empty() {
                *buffer = BytesMut::new();
            }
        }
    }
}
