use alloc::vec::Vec;
use core::fmt;
use core::iter::FusedIterator;

use bytes::{Bytes, BytesMut};

use super::action::Sink;
use super::{ArgError, EncodeError, OpenFrame, RawFrame, put_bytes, put_value};
use crate::wire::{
    ArgErrorKind, DecodeError, Flags, FrameHeader, FrameType, FromTypedData, LENGTH_PREFIX, NotifyId, Text,
    ToTypedData, TypedData, parse,
};

/// A NOTIFY over any storage `B`: checked once, whole, by [`parse`](Notify::parse), and walked without failing or
/// allocating afterwards.
///
/// ```
/// use spop::Notify;
/// use std::net::IpAddr;
///
/// // type, flags, stream-id, frame-id, message "m" of one argument, "ip" = IPV4
/// let frame = b"\x03\0\0\0\x01\x01\x01\x01m\x01\x02ip\x06\x7f\0\0\x01";
/// let notify = Notify::parse(&frame[..])?;
/// for message in notify.messages() {
///     assert_eq!(message.name(), "m");
///     assert_eq!(message.get::<IpAddr>("ip")?, IpAddr::from([127, 0, 0, 1]));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Notify<B> {
    raw: RawFrame<B>,
    messages: usize,
}

impl Notify<Bytes> {
    /// A NOTIFY of its own, for tests and for tools that send frames one by one; `build` writes its messages.
    ///
    /// # Errors
    /// What `build` returns, or [`EncodeError::Payload`] if it wrote a [payload](NotifyWriter::payload) that is no
    /// messages.
    pub fn build(
        id: NotifyId,
        build: impl FnOnce(&mut NotifyWriter<'_>) -> Result<(), EncodeError>,
    ) -> Result<Self, EncodeError> {
        let mut out = BytesMut::new();
        let mut writer = NotifyWriter::new(id, u32::MAX as usize, &mut out);
        build(&mut writer)?;
        writer.finish();
        Self::parse(out.freeze().slice(LENGTH_PREFIX..)).map_err(EncodeError::Payload)
    }
}

impl<B: AsRef<[u8]>> Notify<B> {
    /// Checks `frame`, from its type byte to its end.
    ///
    /// # Errors
    /// What is wrong with the frame, and where. It must be in one part: fragments are put together by
    /// [`agent::Connection`](crate::agent::Connection).
    #[inline(always)]
    pub fn parse(frame: B) -> Result<Self, DecodeError> {
        Self::from_raw(RawFrame::parse(frame)?)
    }

    #[inline(always)]
    pub(crate) fn from_raw(raw: RawFrame<B>) -> Result<Self, DecodeError> {
        raw.expect_whole(FrameType::NOTIFY)?;
        let messages = parse::finish(raw.len(), parse::count_messages(raw.payload()))?;
        Ok(Self { raw, messages })
    }

    /// Returns the ids that the ACK must carry.
    #[inline]
    pub fn id(&self) -> NotifyId {
        self.raw.header.id
    }

    /// Returns the messages, in order. HAProxy 3.1 to 3.2 sends a NOTIFY without one when no message's ACL holds.
    #[inline]
    pub fn messages(&self) -> Messages<'_> {
        Messages { rest: self.raw.payload(), args_to_skip: 0, left: self.messages }
    }

    /// Returns the first message of this name.
    pub fn message(&self, name: &str) -> Option<Message<'_>> {
        self.messages().find(|message| message.name() == name)
    }

    /// Where `message`, one of this NOTIFY's, stands: to find it again with [`message_at`](Self::message_at), without
    /// borrowing from the NOTIFY meanwhile, and without a walk over the messages before it.
    #[inline]
    pub fn position(&self, message: &Message<'_>) -> MessagePosition {
        let args = self.raw.payload().len().saturating_sub(message.args.rest.len());
        MessagePosition { args, name_len: message.name.as_bytes().len() }
    }

    /// The message at `position`. With a position in another NOTIFY it is `None`, or nothing that makes sense.
    #[inline]
    pub fn message_at(&self, MessagePosition { args, name_len }: MessagePosition) -> Option<Message<'_>> {
        let (head, rest) = self.raw.payload().split_at_checked(args)?;
        let (&left, head) = head.split_last()?;
        let name = head.get(head.len().checked_sub(name_len)?..)?;
        Some(Message { name: Text::new(name), args: Args { rest, left } })
    }

    pub(crate) fn as_raw(&self) -> &RawFrame<B> {
        &self.raw
    }
}

/// `1/1 check-client-ip ip=192.0.2.1; log`: the ids, and the messages.
impl<B: AsRef<[u8]>> fmt::Display for Notify<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id().fmt(f)?;
        for (index, message) in self.messages().enumerate() {
            write!(f, "{} {message}", if index == 0 { "" } else { ";" })?;
        }
        Ok(())
    }
}

/// Where a message stands in its [`Notify`]: see [`Notify::position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagePosition {
    /// Where its arguments start, in bytes from the start of the payload.
    args: usize,
    name_len: usize,
}

/// The messages of a [`Notify`].
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
    /// Arguments of the message given last: stepped over only if another one is wanted.
    args_to_skip: u8,
    left: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    #[inline]
    fn next(&mut self) -> Option<Message<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The payload was checked: an error cannot be, and would end the list.
        let (rest, ()) = parse::args_end(self.rest, self.args_to_skip).ok()?;
        let (rest, (name, args)) = parse::message_head(rest).ok()?;
        self.rest = rest;
        self.args_to_skip = args;
        Some(Message { name: Text::new(name), args: Args { rest, left: args } })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Messages<'_> {}
impl FusedIterator for Messages<'_> {}

/// One message: what a `spoe-message` section of HAProxy's configuration describes. By default without name and
/// arguments.
#[derive(Clone, Debug, Default)]
pub struct Message<'a> {
    name: Text<'a>,
    args: Args<'a>,
}

impl<'a> Message<'a> {
    /// Returns the name of the `spoe-message` section.
    #[inline]
    pub fn name(&self) -> Text<'a> {
        self.name
    }

    /// Returns the arguments in the order of the `args` line, duplicates and all.
    #[inline]
    pub fn args(&self) -> Args<'a> {
        self.args.clone()
    }

    /// Returns the value of the first argument called `name` (`args name=src`).
    ///
    /// A sample that found nothing, such as a header that the request does not have, arrives as NULL. An `Option` is
    /// `None` then, and also if there is no such argument.
    ///
    /// # Errors
    /// If there is no such argument and `T` is no `Option`, or if its value is not a `T`.
    pub fn get<T: FromTypedData<'a>>(&self, name: &str) -> Result<T, ArgError> {
        let found = self.args().find(|arg| arg.name == name).map(|arg| arg.value);
        Self::convert(found).map_err(|kind| ArgError::new(self.name, name, kind))
    }

    /// Returns the value of the argument at position `index`, named or not (`args src dst`), counted from 0.
    ///
    /// # Errors
    /// If there are not so many arguments and `T` is no `Option`, or if the value is not a `T`.
    pub fn nth<T: FromTypedData<'a>>(&self, index: usize) -> Result<T, ArgError> {
        let found = self.args().nth(index).map(|arg| arg.value);
        Self::convert(found).map_err(|kind| ArgError::new(self.name, format_args!("#{index}"), kind))
    }

    fn convert<T: FromTypedData<'a>>(found: Option<TypedData<'a>>) -> Result<T, ArgErrorKind> {
        found.map_or_else(T::missing, T::from_typed_data)
    }
}

/// `check-client-ip ip=192.0.2.1 port=4711`: the name, and the arguments as [`Arg`] shows them.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        self.args().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// One argument of a [`Message`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg<'a> {
    /// Its name, empty for an unnamed argument (`args src`).
    pub name: Text<'a>,
    /// Its value.
    pub value: TypedData<'a>,
}

/// `name=value`, or the value alone of an unnamed argument.
impl fmt::Display for Arg<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name != "" {
            write!(f, "{}=", self.name)?;
        }
        self.value.fmt(f)
    }
}

/// The arguments of a [`Message`]. By default none.
#[derive(Clone, Debug, Default)]
pub struct Args<'a> {
    rest: &'a [u8],
    left: u8,
}

impl<'a> Iterator for Args<'a> {
    type Item = Arg<'a>;

    #[inline]
    fn next(&mut self) -> Option<Arg<'a>> {
        self.left = self.left.checked_sub(1)?;
        // The payload was checked: an error cannot be, and would end the list.
        let (rest, (name, value)) = parse::arg(self.rest).ok()?;
        self.rest = rest;
        Some(Arg { name, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.into(), Some(self.left.into()))
    }
}

impl ExactSizeIterator for Args<'_> {}
impl FusedIterator for Args<'_> {}

/// Writes a NOTIFY at the end of a buffer: HAProxy's part, for clients, tests and load generators.
///
/// Nothing of it stays unless [`finish`](Self::finish) is called: a writer that is dropped takes back all it wrote.
///
/// ```
/// use bytes::BytesMut;
/// use spop::{Notify, NotifyId, NotifyWriter};
///
/// let mut out = BytesMut::new();
/// let mut notify = NotifyWriter::new(NotifyId { stream_id: 1, frame_id: 1 }, 16_380, &mut out);
/// notify.message("check-client-ip")?.arg("ip", std::net::Ipv4Addr::LOCALHOST)?.arg("", 7)?;
/// notify.finish();
/// assert_eq!(Notify::parse(&out[4..])?.messages().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a NOTIFY that is not finished is taken back"]
pub struct NotifyWriter<'b> {
    frame: OpenFrame<'b>,
    id: NotifyId,
    /// Where, in the frame, the last message counts its arguments.
    count_at: Option<usize>,
    connection: Option<Sent<'b>>,
}

/// What finishing a NOTIFY means to its connection.
#[derive(Debug)]
struct Sent<'b> {
    waiting: &'b mut Vec<NotifyId>,
    /// What is longer than this leaves in fragments.
    max_fragment: usize,
}

impl<'b> NotifyWriter<'b> {
    /// Starts a NOTIFY of at most `max_frame_size` bytes, the length prefix not counted.
    pub fn new(id: NotifyId, max_frame_size: usize, out: &'b mut BytesMut) -> Self {
        let header = FrameHeader::whole(FrameType::NOTIFY, id);
        Self { frame: OpenFrame::new(out, header, max_frame_size), id, count_at: None, connection: None }
    }

    /// Starts a NOTIFY that, once finished, is added to `waiting`, and cut into fragments if it must and may be.
    pub(crate) fn for_connection(
        id: NotifyId,
        max_frame_size: usize,
        fragments: bool,
        waiting: &'b mut Vec<NotifyId>,
        out: &'b mut BytesMut,
    ) -> Self {
        let max = if fragments { u32::MAX as usize } else { max_frame_size };
        let connection = Some(Sent { waiting, max_fragment: max_frame_size });
        Self { connection, ..Self::new(id, max, out) }
    }

    /// Returns the ids it is sent with.
    pub fn id(&self) -> NotifyId {
        self.id
    }

    /// Starts a message; the arguments that follow are its own.
    ///
    /// # Errors
    /// If `name` is empty or does not fit; the frame is unchanged then.
    pub fn message(&mut self, name: &str) -> Result<&mut Self, EncodeError> {
        if name.is_empty() {
            return Err(EncodeError::EmptyMessageName);
        }
        self.frame.append(|frame| {
            put_bytes(frame, name.as_bytes());
            frame.put(&[0]);
            Ok(())
        })?;
        self.count_at = Some(self.frame.len() - 1);
        Ok(self)
    }

    /// Adds an argument to the last message; an empty `name` makes it an unnamed one.
    ///
    /// # Errors
    /// If there is no message yet, it has 255 arguments, or the argument does not fit; the frame is unchanged then.
    pub fn arg(&mut self, name: &str, value: impl ToTypedData) -> Result<&mut Self, EncodeError> {
        let count_at = self.count_at.ok_or(EncodeError::ArgWithoutMessage)?;
        let count = self.frame.bytes_mut()[count_at].checked_add(1).ok_or(EncodeError::TooManyArgs)?;
        let value = value.to_typed_data();
        self.frame.append(|frame| {
            put_bytes(frame, name.as_bytes());
            put_value(frame, &value);
            Ok(())
        })?;
        self.frame.bytes_mut()[count_at] = count;
        Ok(self)
    }

    /// Adds bytes to the payload as they are: messages encoded before, or bytes to test an agent with.
    ///
    /// # Errors
    /// If they do not fit; the frame is unchanged then.
    pub fn payload(&mut self, bytes: &[u8]) -> Result<&mut Self, EncodeError> {
        self.count_at = None;
        self.frame.append(|frame| {
            frame.put(bytes);
            Ok(())
        })?;
        Ok(self)
    }

    /// Completes the frame: it stays in the buffer, to be sent. Returns the ids its ACK must carry.
    pub fn finish(mut self) -> NotifyId {
        let start = self.frame.start();
        let out = self.frame.finish();
        if let Some(Sent { waiting, max_fragment }) = self.connection {
            waiting.push(self.id);
            if out.len() - start - LENGTH_PREFIX > max_fragment {
                fragment(self.id, max_fragment, start, out);
            }
        }
        self.id
    }
}

/// Cuts the NOTIFY that `out` has from `start` on into frames of at most `max` bytes (SPOE.txt 3.2.9).
fn fragment(id: NotifyId, max: usize, start: usize, out: &mut BytesMut) {
    let whole = out.split_off(start);
    let Ok((_, payload)) = FrameHeader::parse(&whole[LENGTH_PREFIX..]) else {
        return;
    };
    let header_len = whole.len() - LENGTH_PREFIX - payload.len();
    let mut slices = payload.chunks(max - header_len).enumerate().peekable();
    while let Some((index, slice)) = slices.next() {
        let frame_type = if index == 0 { FrameType::NOTIFY } else { FrameType::UNSET };
        let flags = if slices.peek().is_none() { Flags::FIN } else { Flags::NONE };
        let mut frame = OpenFrame::new(out, FrameHeader { frame_type, flags, id }, max);
        // Cannot fail: the slice was cut to fit.
        let _ = frame.append(|frame| {
            frame.put(slice);
            Ok(())
        });
        frame.finish();
    }
}

#[cfg(test)]
mod tests;
