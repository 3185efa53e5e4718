use bytes::{Bytes, BytesMut};
use spop::{Frame, FrameDecoder};
use tokio_util::codec::{Decoder, Encoder};

use crate::Error;

/// Frames on a stream: a codec for tokio-util's `Framed`.
///
/// For tools that look at frames one by one; [`Server`](crate::Server) and [`Client`](crate::Client) do not need it, and
/// keep the rules that a codec knows nothing of.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), spop_tokio::Error> {
/// use spop_tokio::SpopCodec;
/// use spop_tokio::spop::haproxy::{Config, Connection, Engine};
/// use tokio::io::AsyncWriteExt;
/// use tokio_util::codec::FramedRead;
///
/// let (mut haproxy, agent) = tokio::io::duplex(1024);
/// let mut hello = bytes::BytesMut::new();
/// Connection::new(Config::new(Engine::Mux)).hello(&mut hello)?;
/// haproxy.write_all(&hello).await?;
///
/// let mut frames = FramedRead::new(agent, SpopCodec::new(16_380));
/// let frame = std::future::poll_fn(|cx| futures_util::Stream::poll_next(std::pin::pin!(&mut frames), cx)).await;
/// assert!(matches!(frame.unwrap()?, spop_tokio::spop::Frame::HaproxyHello(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SpopCodec {
    decoder: FrameDecoder,
}

impl SpopCodec {
    /// Takes frames of up to `max_frame_size` bytes, the length prefix not counted.
    pub const fn new(max_frame_size: u32) -> Self {
        Self { decoder: FrameDecoder::new(max_frame_size) }
    }
}

impl Decoder for SpopCodec {
    type Item = Frame<Bytes>;
    type Error = Error;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Error> {
        match self.decoder.decode(input)? {
            Some(frame) => Ok(Some(Frame::parse(frame)?)),
            None => Ok(None),
        }
    }
}

impl<B: AsRef<[u8]>> Encoder<Frame<B>> for SpopCodec {
    type Error = Error;

    fn encode(&mut self, frame: Frame<B>, out: &mut BytesMut) -> Result<(), Error> {
        Ok(frame.encode(out)?)
    }
}
