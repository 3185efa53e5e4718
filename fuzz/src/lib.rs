//! What the fuzz targets share.

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use arbitrary::Arbitrary;
use bytes::{Bytes, BytesMut};
use spop::{Ack, Frame, FrameDecoder, LENGTH_PREFIX, Message, Notify, Scope, Text, TypedData};

/// Any typed value.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Ipv4([u8; 4]),
    Ipv6([u8; 16]),
    String(&'a [u8]),
    Binary(&'a [u8]),
}

impl<'a> From<Value<'a>> for TypedData<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Int32(value) => Self::Int32(value),
            Value::Uint32(value) => Self::Uint32(value),
            Value::Int64(value) => Self::Int64(value),
            Value::Uint64(value) => Self::Uint64(value),
            Value::Ipv4(octets) => Self::Ipv4(Ipv4Addr::from(octets)),
            Value::Ipv6(octets) => Self::Ipv6(Ipv6Addr::from(octets)),
            Value::String(bytes) => Self::String(Text::new(bytes)),
            Value::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

/// The scopes in their order on the wire.
pub const SCOPES: [Scope; 5] =
    [Scope::Process, Scope::Session, Scope::Transaction, Scope::Request, Scope::Response];

/// Reads all there is in a frame.
pub fn walk<B: AsRef<[u8]> + fmt::Debug>(frame: &Frame<B>) {
    match frame {
        Frame::Notify(notify) => walk_notify(notify),
        Frame::Ack(ack) => walk_ack(ack),
        other => show(format_args!("{other:?}")),
    }
}

/// Reads all messages of a NOTIFY: as many as it says there are.
pub fn walk_notify<B: AsRef<[u8]>>(notify: &Notify<B>) {
    assert_eq!(notify.messages().len(), notify.messages().count());
    for message in notify.messages() {
        walk_message(&message);
    }
}

fn walk_message(message: &Message<'_>) {
    assert_eq!(message.args().len(), message.args().count());
    show(format_args!("{} {message:?}", message.name()));
    for (index, arg) in message.args().enumerate().take(4) {
        assert_eq!(message.nth::<TypedData<'_>>(index).expect("it is there"), arg.value);
        show(format_args!("{:?} {:?}", message.nth::<i8>(index), message.nth::<Option<&str>>(index)));
        if let Ok(name) = arg.name.to_str() {
            message.get::<TypedData<'_>>(name).expect("the first of this name");
        }
    }
    let values: Vec<TypedData<'_>> = message.deserialize().expect("any values");
    assert!(values.into_iter().eq(message.args().map(|arg| arg.value)));
    let past_the_last = message.nth::<bool>(message.args().len()).expect_err("no such argument");
    show(format_args!("{past_the_last} {past_the_last:?}"));
}

/// Reads all actions of an ACK.
pub fn walk_ack<B: AsRef<[u8]>>(ack: &Ack<B>) {
    for action in ack.actions() {
        show(format_args!("{action:?}"));
    }
}

/// Formats into nothing.
pub fn show(what: fmt::Arguments<'_>) {
    struct Nowhere;
    impl Write for Nowhere {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            Ok(())
        }
    }
    Nowhere.write_fmt(what).expect("nothing that fails to format");
}

/// Cuts all that a connection wrote into frames; there must be nothing else.
pub fn take_frames(out: &mut BytesMut) -> Vec<Frame<Bytes>> {
    let decoder = FrameDecoder::new(u32::MAX);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(out).expect("a length that can be") {
        assert_eq!(frame[1..4], [0; 3], "reserved flags");
        frames.push(Frame::parse(frame).expect("a valid frame"));
    }
    assert!(out.is_empty(), "a frame that is not whole");
    frames
}

/// A frame with any type, flags, ids and payload, length prefix included.
pub fn raw_frame(frame_type: u8, flags: u32, stream_id: u64, frame_id: u64, payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![0; LENGTH_PREFIX];
    wire.push(frame_type);
    wire.extend_from_slice(&flags.to_be_bytes());
    for id in [stream_id, frame_id] {
        wire.extend_from_slice(spop::varint::encode(id, &mut [0; spop::varint::MAX_LEN]));
    }
    wire.extend_from_slice(payload);
    let len = (wire.len() - LENGTH_PREFIX) as u32;
    wire[..LENGTH_PREFIX].copy_from_slice(&len.to_be_bytes());
    wire
}
