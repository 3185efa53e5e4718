use bytes::{Bytes, BytesMut};
use spop::{EncodeError, Frame, FrameDecoder, LENGTH_PREFIX};
use tokio_util::codec::{Decoder, Encoder};

use crate::Error;

/// Owned frames of both roles on a stream: a codec for tokio-util's `Framed`.
///
/// Take it for what looks at frames one by one: a proxy, a recorder, an odd peer for a test. For an agent take
/// [`Server`](crate::Server), and for HAProxy's role [`Client`](crate::Client): they keep the rules that a codec knows
/// nothing of, such as which frame may come when, which ids are in flight, what an unread answer does to HAProxy from
/// 3.1, and how a connection ends without a loss.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), spop_tokio::Error> {
/// use futures_util::{SinkExt, StreamExt};
/// use spop_tokio::spop::{Ack, Frame, Notify, NotifyId};
/// use spop_tokio::{Actions, SpopCodec, Var};
/// use tokio_util::codec::Framed;
///
/// const SCORE: Var = Var::session("ip_score");
///
/// let (haproxy, agent) = tokio::io::duplex(1024);
/// let [mut haproxy, mut agent] = [haproxy, agent].map(|io| Framed::new(io, SpopCodec::default()));
///
/// let id = NotifyId { stream_id: 1, frame_id: 1 };
/// let notify = Notify::build(id, |notify| notify.message("check")?.arg("port", 4711).map(drop))?;
/// haproxy.send(Frame::Notify(notify)).await?;
/// let Some(Ok(Frame::Notify(notify))) = agent.next().await else { panic!("no NOTIFY") };
/// agent.send(Frame::Ack(Ack::new(notify.id(), &Actions::new().set(SCORE, 50)))).await?;
/// let Some(Ok(Frame::Ack(ack))) = haproxy.next().await else { panic!("no ACK") };
/// assert_eq!(ack.get(SCORE), Some(50.into()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SpopCodec {
    decoder: FrameDecoder,
    max_sent: u32,
}

/// HAProxy's `tune.bufsize` by default, without the length prefix.
const DEFAULT_SIZE: u32 = 16_380;

impl SpopCodec {
    /// Creates a codec that takes and sends frames of up to `max_frame_size` bytes, the length prefix not counted;
    /// [`default`](Self::default): 16380, which is HAProxy's.
    pub const fn new(max_frame_size: u32) -> Self {
        Self { decoder: FrameDecoder::new(max_frame_size), max_sent: max_frame_size }
    }

    /// Sets another limit on the frames that come: a longer one is an error, before it is in memory.
    #[must_use]
    pub const fn max_received(mut self, bytes: u32) -> Self {
        self.decoder = FrameDecoder::new(bytes);
        self
    }

    /// Sets another limit on the frames that are sent: what the peer has said in its HELLO. A longer one is an
    /// error, and nothing of it is sent.
    #[must_use]
    pub const fn max_sent(mut self, bytes: u32) -> Self {
        self.max_sent = bytes;
        self
    }
}

impl Default for SpopCodec {
    fn default() -> Self {
        Self::new(DEFAULT_SIZE)
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
        let start = out.len();
        frame.encode(out)?;
        if out.len() - start - LENGTH_PREFIX > self.max_sent as usize {
            out.truncate(start);
            return Err(EncodeError::FrameTooBig { max: self.max_sent as usize }.into());
        }
        Ok(())
    }
}
