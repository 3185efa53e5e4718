use bytes::{Bytes, BytesMut};
use spop_tokio::spop::haproxy::{Config, Connection, Engine, Event};
use spop_tokio::spop::{
    Ack, Frame, FrameDecoder, Negotiated, NotifyId, ProtocolError, Status, TypedData, varint,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::soon;

/// HAProxy's default `max-frame-size`.
pub(crate) const MAX_FRAME: u32 = 16_380;

/// A frame by hand, with its length prefix.
pub(crate) fn frame(frame_type: u8, flags: u32, id: (u64, u64), payload: &[u8]) -> Vec<u8> {
    let mut body = vec![frame_type];
    body.extend(flags.to_be_bytes());
    for id in [id.0, id.1] {
        body.extend(varint::encode(id, &mut [0; varint::MAX_LEN]));
    }
    body.extend(payload);
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

/// Takes all frames out of `input`, which must be whole.
#[track_caller]
pub(crate) fn frames(input: &mut BytesMut) -> Vec<Frame<Bytes>> {
    let decoder = FrameDecoder::new(MAX_FRAME);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(input).expect("a frame") {
        frames.push(Frame::parse(frame).expect("a frame"));
    }
    assert!(input.is_empty(), "{} bytes of an incomplete frame", input.len());
    frames
}

/// HAProxy, step by step.
pub(crate) struct Haproxy<Io> {
    pub(crate) io: Io,
    connection: Connection,
    input: BytesMut,
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Haproxy<Io> {
    /// Exchanges the HELLOs as HAProxy from 3.1.
    pub(crate) async fn connect(io: Io) -> Self {
        Self::connect_as(io, Config::new(Engine::Mux)).await
    }

    /// Exchanges the HELLOs.
    pub(crate) async fn connect_as(io: Io, config: Config) -> Self {
        let mut haproxy = Self::new(io, config);
        haproxy.hello().await;
        match haproxy.event().await.unwrap() {
            Some(Event::Connected(_)) => haproxy,
            other => panic!("want AGENT-HELLO, got {other:?}"),
        }
    }

    /// Sends nothing yet.
    pub(crate) fn new(io: Io, config: Config) -> Self {
        Self { io, connection: Connection::new(config), input: BytesMut::new() }
    }

    pub(crate) async fn hello(&mut self) {
        let mut out = BytesMut::new();
        self.connection.hello(&mut out).unwrap();
        self.send(&out).await;
    }

    /// What both sides agreed on.
    pub(crate) fn negotiated(&self) -> &Negotiated {
        self.connection.negotiated().expect("the HELLOs are exchanged")
    }

    /// How many requests may follow.
    pub(crate) fn window(&self) -> usize {
        self.connection.window()
    }

    /// Gives a request up without a word, as HAProxy does.
    pub(crate) fn abandon(&mut self, id: NotifyId) {
        assert!(self.connection.abandon(id));
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        soon(self.io.write_all(bytes)).await.unwrap();
    }

    /// Sends a NOTIFY of one message without arguments.
    pub(crate) async fn ask(&mut self, name: &str) -> NotifyId {
        let (id, bytes) = self.notify(name);
        self.send(&bytes).await;
        id
    }

    /// Sends as many NOTIFYs as there are names, in one write.
    pub(crate) async fn ask_all<N: AsRef<str>>(&mut self, names: &[N]) -> Vec<NotifyId> {
        let (ids, bytes): (Vec<_>, Vec<_>) = names.iter().map(|name| self.notify(name.as_ref())).unzip();
        self.send(&bytes.concat()).await;
        ids
    }

    /// Sends one NOTIFY of several messages without arguments.
    pub(crate) async fn ask_together(&mut self, names: &[&str]) -> NotifyId {
        let mut out = BytesMut::new();
        let mut notify = self.connection.notify(&mut out).unwrap();
        for name in names {
            notify.message(name).unwrap();
        }
        let id = notify.finish();
        self.send(&out).await;
        id
    }

    /// A NOTIFY of one message without arguments, not sent.
    pub(crate) fn notify(&mut self, name: &str) -> (NotifyId, BytesMut) {
        self.notify_with(name, &[])
    }

    /// A NOTIFY of one message, not sent.
    pub(crate) fn notify_with(&mut self, name: &str, args: &[(&str, TypedData<'_>)]) -> (NotifyId, BytesMut) {
        let mut out = BytesMut::new();
        let mut notify = self.connection.notify(&mut out).unwrap();
        notify.message(name).unwrap();
        for &(name, value) in args {
            notify.arg(name, value).unwrap();
        }
        (notify.finish(), out)
    }

    /// Sends a HAPROXY-DISCONNECT.
    pub(crate) async fn disconnect(&mut self, status: Status) {
        let mut out = BytesMut::new();
        self.connection.disconnect(status, &mut out);
        self.send(&out).await;
    }

    /// What the agent does next; `None` when it closes.
    pub(crate) async fn event(&mut self) -> Result<Option<Event>, ProtocolError> {
        loop {
            if let Some(event) = self.connection.handle_input(&mut self.input, &mut BytesMut::new())? {
                return Ok(Some(event));
            }
            if soon(self.io.read_buf(&mut self.input)).await.unwrap() == 0 {
                self.connection.handle_eof(&self.input)?;
                return Ok(None);
            }
        }
    }

    /// The next answer.
    pub(crate) async fn ack(&mut self) -> Ack<Bytes> {
        match self.event().await.unwrap() {
            Some(Event::Ack(ack)) => ack,
            other => panic!("want an ACK, got {other:?}"),
        }
    }

    /// The answers to `ids`, by their order there; they may come in any.
    pub(crate) async fn acks(&mut self, ids: &[NotifyId]) -> Vec<Ack<Bytes>> {
        let mut acks = Vec::with_capacity(ids.len());
        for _ in ids {
            acks.push(self.ack().await);
        }
        acks.sort_by_key(|ack| ids.iter().position(|&id| id == ack.id()).expect("an id that was sent"));
        acks
    }

    /// Waits for AGENT-DISCONNECT and the end of the stream; returns the status.
    pub(crate) async fn disconnected(&mut self) -> Status {
        let status = match self.event().await.unwrap() {
            Some(Event::Disconnected(disconnect)) => disconnect.status,
            other => panic!("want AGENT-DISCONNECT, got {other:?}"),
        };
        self.closed().await;
        status
    }

    /// The agent closes without another word.
    pub(crate) async fn closed(&mut self) {
        let read = soon(self.io.read_buf(&mut self.input)).await.unwrap();
        assert_eq!(read, 0, "{:?}", frames(&mut self.input));
    }

    /// What the agent sends until it closes, as frames.
    pub(crate) async fn rest(&mut self) -> Vec<Frame<Bytes>> {
        while soon(self.io.read_buf(&mut self.input)).await.unwrap() > 0 {}
        frames(&mut self.input)
    }
}

/// The status of the AGENT-DISCONNECT that must be the only frame.
#[track_caller]
pub(crate) fn disconnect_status(frames: &[Frame<Bytes>]) -> Status {
    match frames {
        [Frame::AgentDisconnect(disconnect)] => disconnect.status,
        _ => panic!("want AGENT-DISCONNECT and no more, got {frames:?}"),
    }
}

/// A HAPROXY-HELLO of HAProxy's own.
pub(crate) fn hello(config: Config) -> Vec<u8> {
    let mut out = BytesMut::new();
    Connection::new(config).hello(&mut out).unwrap();
    out.to_vec()
}
