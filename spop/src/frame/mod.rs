//! Frames: what they hold, parsed and written.

mod ack;
mod action;
mod disconnect;
mod error;
mod hello;
mod name;
mod notify;
mod open;
mod show;
mod var;

pub use ack::{Ack, AckActions, AckWriter};
pub use action::{Action, Actions, Scope};
use bytes::BytesMut;
pub use disconnect::Disconnect;
pub use error::{ArgError, EncodeError};
pub use hello::{AgentHello, HaproxyHello};
pub(crate) use name::NameRule;
pub use notify::{Arg, Args, Message, MessagePosition, Messages, Notify, NotifyWriter};
pub(crate) use open::OpenFrame;
pub use var::{Var, VarError};

use self::action::Sink;
use crate::wire::{DecodeError, DecodeErrorKind, FrameHeader, FrameType, NotifyId, TypedData, parse, varint};

/// A frame of any type, over any storage `B`: `&[u8]` or [`Bytes`](bytes::Bytes).
///
/// The connections do not need it; it is for tools that look at frames one by one.
///
/// ```
/// use spop::{Disconnect, Frame, Status};
///
/// let mut out = bytes::BytesMut::new();
/// Frame::<&[u8]>::HaproxyDisconnect(Disconnect::new(Status::NORMAL)).encode(&mut out)?;
/// let Frame::HaproxyDisconnect(disconnect) = Frame::parse(&out[spop::LENGTH_PREFIX..])? else { panic!() };
/// assert_eq!(disconnect.status, Status::NORMAL);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub enum Frame<B> {
    /// A fragment of a NOTIFY that is not the first one (HAProxy up to 3.0).
    Unset(RawFrame<B>),
    /// HAProxy opens a connection.
    HaproxyHello(HaproxyHello),
    /// HAProxy ends a connection.
    HaproxyDisconnect(Disconnect),
    /// HAProxy asks: messages with arguments.
    Notify(Notify<B>),
    /// The first fragment of a NOTIFY: its FIN flag is clear, and its payload is cut anywhere.
    NotifyFragment(RawFrame<B>),
    /// The agent accepts a connection.
    AgentHello(AgentHello),
    /// The agent ends a connection.
    AgentDisconnect(Disconnect),
    /// The agent answers: actions.
    Ack(Ack<B>),
    /// A type SPOE.txt does not know.
    Unknown(RawFrame<B>),
}

impl<B: AsRef<[u8]>> Frame<B> {
    /// Parses `frame`, from its type byte to its end: without the length prefix.
    ///
    /// # Errors
    /// What is wrong with the frame, and where.
    pub fn parse(frame: B) -> Result<Self, DecodeError> {
        let raw = RawFrame::parse(frame)?;
        let FrameHeader { frame_type, flags, .. } = raw.header;
        Ok(match frame_type {
            FrameType::UNSET => Self::Unset(raw),
            FrameType::HAPROXY_HELLO => Self::HaproxyHello(HaproxyHello::from_raw(&raw)?),
            FrameType::HAPROXY_DISCONNECT => Self::HaproxyDisconnect(Disconnect::from_raw(&raw)?),
            FrameType::NOTIFY if flags.is_fin() => Self::Notify(Notify::from_raw(raw)?),
            FrameType::NOTIFY => Self::NotifyFragment(raw),
            FrameType::AGENT_HELLO => Self::AgentHello(AgentHello::from_raw(&raw)?),
            FrameType::AGENT_DISCONNECT => Self::AgentDisconnect(Disconnect::from_raw(&raw)?),
            FrameType::ACK => Self::Ack(Ack::from_raw(raw)?),
            _ => Self::Unknown(raw),
        })
    }

    /// Returns the type of this frame.
    pub fn frame_type(&self) -> FrameType {
        match self {
            Self::Unset(raw) | Self::NotifyFragment(raw) | Self::Unknown(raw) => raw.header.frame_type,
            Self::HaproxyHello(_) => FrameType::HAPROXY_HELLO,
            Self::HaproxyDisconnect(_) => FrameType::HAPROXY_DISCONNECT,
            Self::Notify(_) => FrameType::NOTIFY,
            Self::AgentHello(_) => FrameType::AGENT_HELLO,
            Self::AgentDisconnect(_) => FrameType::AGENT_DISCONNECT,
            Self::Ack(_) => FrameType::ACK,
        }
    }

    /// Appends the frame with its length prefix. Reserved flag bits are left out.
    ///
    /// # Errors
    /// [`EncodeError::FrameTooBig`] if the frame's length does not fit its prefix of 32 bits; `out` is unchanged then.
    pub fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        match self {
            Self::HaproxyHello(hello) => hello.encode(out),
            Self::AgentHello(hello) => {
                hello.encode(out);
                Ok(())
            }
            Self::HaproxyDisconnect(disconnect) => {
                disconnect.encode(FrameType::HAPROXY_DISCONNECT, out);
                Ok(())
            }
            Self::AgentDisconnect(disconnect) => {
                disconnect.encode(FrameType::AGENT_DISCONNECT, out);
                Ok(())
            }
            Self::Unset(raw) | Self::NotifyFragment(raw) | Self::Unknown(raw) => raw.encode(out),
            Self::Notify(notify) => notify.as_raw().encode(out),
            Self::Ack(ack) => ack.as_raw().encode(out),
        }
    }
}

/// A frame of which only the header was looked at.
#[derive(Clone, Debug)]
pub struct RawFrame<B> {
    frame: B,
    header: FrameHeader,
    /// Where the payload starts.
    payload: usize,
}

impl<B> RawFrame<B> {
    /// Returns the type, the flags and the ids.
    #[inline]
    pub fn header(&self) -> FrameHeader {
        self.header
    }

    /// Returns the same frame in other storage.
    #[inline]
    pub(crate) fn with_storage<C>(&self, frame: C) -> RawFrame<C> {
        RawFrame { frame, header: self.header, payload: self.payload }
    }
}

impl<B: AsRef<[u8]>> RawFrame<B> {
    /// Reads the header of `frame`, which starts with the type byte.
    ///
    /// # Errors
    /// If `frame` ends within the header or an id is no valid varint.
    #[inline(always)]
    pub fn parse(frame: B) -> Result<Self, DecodeError> {
        let bytes = frame.as_ref();
        let (header, payload) = FrameHeader::parse(bytes)?;
        let payload = bytes.len() - payload.len();
        Ok(Self { frame, header, payload })
    }

    /// Returns what follows the header.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.frame.as_ref().get(self.payload..).unwrap_or_default()
    }

    /// Returns the length of the frame, the prefix not counted.
    #[inline]
    fn len(&self) -> usize {
        self.frame.as_ref().len()
    }

    /// Returns the storage, from the type byte on.
    pub(crate) fn into_inner(self) -> B {
        self.frame
    }

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        let mut frame = OpenFrame::new(out, self.header, u32::MAX as usize);
        frame.append(|frame| {
            frame.put(self.payload());
            Ok(())
        })?;
        frame.finish();
        Ok(())
    }

    /// Checks what holds for every HELLO and DISCONNECT: in one part, and both ids 0 (SPOE.txt 3.2.4 to 3.2.8).
    fn expect_control(&self, frame_type: FrameType) -> Result<(), DecodeError> {
        self.expect_whole(frame_type)?;
        if self.header.id == NotifyId::ZERO { Ok(()) } else { Err(self.error(DecodeErrorKind::IdsNotZero)) }
    }

    #[inline]
    fn expect_whole(&self, frame_type: FrameType) -> Result<(), DecodeError> {
        if self.header.frame_type != frame_type {
            return Err(self.error(DecodeErrorKind::WrongType(self.header.frame_type)));
        }
        if !self.header.flags.is_fin() {
            return Err(self.error(DecodeErrorKind::Fragmented));
        }
        Ok(())
    }

    /// An error of the header.
    #[cold]
    fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, 0)
    }

    /// An error of the payload as a whole: something it lacks.
    #[cold]
    fn lacks(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.len())
    }

    /// Calls `each` for every item of a KV-LIST payload; its error counts as at the item's start.
    fn for_each_item<'a>(
        &'a self,
        mut each: impl FnMut(&'a [u8], Option<TypedData<'a>>) -> Result<(), DecodeErrorKind>,
    ) -> Result<(), DecodeError> {
        let mut input = self.payload();
        while !input.is_empty() {
            let at = self.len() - input.len();
            let (rest, (name, value)) = match parse::item(input) {
                Ok(item) => item,
                Err(error) => return parse::finish(self.len(), Err(error)),
            };
            each(name, value).map_err(|kind| DecodeError::new(kind, at))?;
            input = rest;
        }
        Ok(())
    }
}

/// Appends a varint and `bytes`.
#[inline]
fn put_bytes(frame: &mut OpenFrame<'_>, bytes: &[u8]) {
    frame.put_in_place::<{ varint::MAX_LEN }>(|spare| varint::write(bytes.len() as u64, spare));
    frame.put(bytes);
}

/// Appends a value.
#[inline]
fn put_value(frame: &mut OpenFrame<'_>, value: &TypedData<'_>) {
    frame.put_in_place::<{ TypedData::MAX_HEAD }>(|spare| value.write_head(spare));
    let body = value.body();
    if !body.is_empty() {
        frame.put(body);
    }
}

/// Appends one item of a KV-LIST.
fn put_item<'a>(frame: &mut OpenFrame<'_>, name: &str, value: impl Into<TypedData<'a>>) {
    put_bytes(frame, name.as_bytes());
    put_value(frame, &value.into());
}

#[cfg(test)]
mod tests;
