use std::io::Result;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that remembers what went into it, write by write.
pub(crate) struct Recorder<Io> {
    io: Io,
    writes: Writes,
}

/// The writes of a [`Recorder`].
#[derive(Clone, Default)]
pub(crate) struct Writes(Arc<Mutex<Vec<Vec<u8>>>>);

impl Writes {
    /// The writes since the last call.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        mem::take(&mut self.0.lock().unwrap())
    }
}

impl<Io> Recorder<Io> {
    pub(crate) fn new(io: Io) -> (Self, Writes) {
        let writes = Writes::default();
        (Self { io, writes: writes.clone() }, writes)
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Recorder<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Recorder<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.writes.0.lock().unwrap().push(bytes[..written].to_vec());
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
