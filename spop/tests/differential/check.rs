//! Crate and reference, side by side. Each check panics where the two differ.

use bytes::BytesMut;
use spop::{
    AckWriter, DataType, DecodeErrorKind, LENGTH_PREFIX, Notify, NotifyId, NotifyWriter, Scope, Text,
    TypedData, varint,
};

use super::reference::{self, Content, Message, Value, VarintError};

const ID: NotifyId = NotifyId { stream_id: 1, frame_id: 1 };

/// A NOTIFY and an ACK up to their payload, without the length.
const NOTIFY_HEADER: &[u8] = &[3, 0, 0, 0, 1, 1, 1];
const ACK_HEADER: &[u8] = &[103, 0, 0, 0, 1, 1, 1];

/// A number, both ways.
pub(crate) fn varint(number: u64) {
    let expected = reference::encode_varint(number);
    assert_eq!(varint::encode(number, &mut [0; varint::MAX_LEN]), expected);
    assert_eq!(varint::encoded_len(number), expected.len());
    varint_bytes(&expected);
}

/// Any bytes where a number should be.
pub(crate) fn varint_bytes(bytes: &[u8]) {
    let ours = varint::parse(bytes).map_err(|error| error.kind());
    let theirs = reference::decode_varint(bytes).map_err(|error| match error {
        VarintError::Truncated => DecodeErrorKind::Truncated,
        VarintError::TooLong => DecodeErrorKind::VarintTooLong,
        VarintError::Overflow => DecodeErrorKind::VarintOverflow,
    });
    assert_eq!(ours, theirs);
}

/// Any bytes as the payload of a NOTIFY.
pub(crate) fn payload(payload: &[u8]) {
    let frame = [NOTIFY_HEADER, payload].concat();
    let ours = Notify::parse(&frame[..]).ok().map(|notify| read(&notify));
    assert_eq!(ours, reference::decode_messages(payload));
}

fn read(notify: &Notify<&[u8]>) -> Vec<Message> {
    let args = |message: &spop::Message<'_>| {
        message.args().map(|arg| (arg.name.as_bytes().to_vec(), to_reference(arg.value))).collect()
    };
    notify.messages().map(|message| (message.name().as_bytes().to_vec(), args(&message))).collect()
}

/// Messages that can be written, both ways.
pub(crate) fn messages(messages: &[(&str, Vec<(&str, TypedData<'_>)>)]) {
    let mut out = BytesMut::new();
    let mut notify = NotifyWriter::new(ID, u32::MAX as usize, &mut out);
    let mut expected = Vec::new();
    for (name, args) in messages {
        notify.message(name).expect("a name");
        for &(name, value) in args {
            notify.arg(name, value).expect("at most 255 arguments");
        }
        let args = args.iter().map(|&(name, value)| (name.as_bytes().to_vec(), to_reference(value)));
        expected.push((name.as_bytes().to_vec(), args.collect()));
    }
    notify.finish();
    let expected = reference::encode_messages(&expected);
    assert_eq!(&out[LENGTH_PREFIX..], [NOTIFY_HEADER, &expected].concat());
    payload(&expected);
}

/// A value in an action: set-var of three arguments, its scope, its name.
pub(crate) fn action(value: TypedData<'_>) {
    let mut out = BytesMut::new();
    let mut ack = AckWriter::new(ID, u32::MAX as usize, &mut out);
    ack.set_var(Scope::Transaction, "v", value).expect("a good name");
    ack.finish();
    let value = reference::encode_value(&to_reference(value));
    assert_eq!(&out[LENGTH_PREFIX..], [ACK_HEADER, &[1, 3, 2, 1, b'v'], &value].concat());
}

fn to_reference(value: TypedData<'_>) -> Value {
    let content = match value {
        TypedData::Null => Content::Nothing,
        TypedData::Bool(flag) => Content::Flag(flag),
        TypedData::Int32(number) => Content::Number(number.into()),
        TypedData::Uint32(number) => Content::Number(number.into()),
        TypedData::Int64(number) => Content::Number(number.into()),
        TypedData::Uint64(number) => Content::Number(number.into()),
        TypedData::Ipv4(address) => Content::Bytes(address.octets().to_vec()),
        TypedData::Ipv6(address) => Content::Bytes(address.octets().to_vec()),
        TypedData::String(text) => Content::Bytes(Text::as_bytes(text).to_vec()),
        TypedData::Binary(bytes) => Content::Bytes(bytes.to_vec()),
        other => panic!("a type that is not known here: {other:?}"),
    };
    Value { code: code(value.data_type()), content }
}

/// SPOE.txt 3.1, in its order.
fn code(data_type: DataType) -> u8 {
    match data_type {
        DataType::Null => 0,
        DataType::Bool => 1,
        DataType::Int32 => 2,
        DataType::Uint32 => 3,
        DataType::Int64 => 4,
        DataType::Uint64 => 5,
        DataType::Ipv4 => 6,
        DataType::Ipv6 => 7,
        DataType::String => 8,
        DataType::Binary => 9,
    }
}
