//! An agent on the published `spop` 0.13.1, with the loop of its README.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::{FutureExt, SinkExt, StreamExt};
use peer::actions::VarScope;
use peer::frame::{FramePayload, FrameType};
use peer::frames::{Ack, AgentDisconnect, AgentHello, FrameCapabilities, HaproxyHello};
use peer::{SpopCodec, SpopFrame, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::Framed;

use crate::profile::{MAX_FRAME_SIZE, VALUE, VARIABLE};

/// When ACKs leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Each with a flush of its own: `send`, as in the README.
    Readme,
    /// All that a burst of NOTIFYs led to with one flush: `feed`, and `flush` once no frame is ready.
    FeedFlush,
}

type Socket<Io> = Framed<Io, SpopCodec>;

/// Serves one connection; each request takes `delay`, one after another as in the README.
///
/// # Errors
/// What the stream or the codec returns.
pub async fn serve(io: impl AsyncRead + AsyncWrite + Unpin, mode: Mode, delay: Duration) -> io::Result<()> {
    let mut socket = Framed::new(io, SpopCodec::default());
    if mode == Mode::FeedFlush {
        // Framed starts with 8 KiB: give it capacity for a burst, as the others have.
        *socket.read_buffer_mut() = BytesMut::with_capacity(64 * 1024);
    }
    while let Some(frame) = socket.next().await {
        if !handle(&mut socket, frame?, mode, delay).await? {
            return Ok(());
        }
        if mode == Mode::FeedFlush {
            while let Some(next) = socket.next().now_or_never() {
                let Some(frame) = next else { return Ok(()) };
                if !handle(&mut socket, frame?, mode, delay).await? {
                    return Ok(());
                }
            }
            socket.flush().await?;
        }
    }
    Ok(())
}

/// Answers one frame; returns whether the connection goes on.
async fn handle<Io>(
    socket: &mut Socket<Io>,
    frame: Box<dyn SpopFrame>,
    mode: Mode,
    delay: Duration,
) -> io::Result<bool>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    match frame.frame_type() {
        FrameType::Notify => {
            let FramePayload::ListOfMessages(_) = frame.payload() else { return Ok(true) };
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let (stream_id, frame_id) = (frame.metadata().stream_id, frame.metadata().frame_id);
            let ack = Ack::new(stream_id, frame_id).set_var(VarScope::Session, VARIABLE.1, VALUE);
            match mode {
                Mode::Readme => socket.send(Box::new(ack)).await?,
                Mode::FeedFlush => socket.feed(Box::new(ack)).await?,
            }
            Ok(true)
        }
        FrameType::HaproxyHello => {
            let hello = agent_hello(frame.as_ref())?;
            socket.codec_mut().set_max_frame_size(hello.max_frame_size);
            socket.send(Box::new(hello)).await?;
            Ok(true)
        }
        _ => {
            let status = StatusCode::None;
            let disconnect =
                AgentDisconnect { status_code: status.to_u32(), message: status.message().into() };
            socket.send(Box::new(disconnect)).await?;
            Ok(false)
        }
    }
}

fn agent_hello(frame: &dyn SpopFrame) -> io::Result<AgentHello> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let hello = HaproxyHello::try_from(frame.payload()).map_err(|_| bad())?;
    Ok(AgentHello {
        version: hello.negotiate_version().ok_or_else(bad)?,
        max_frame_size: hello.negotiate_max_frame_size(MAX_FRAME_SIZE).map_err(|_| bad())?,
        capabilities: vec![FrameCapabilities::Pipelining],
    })
}
