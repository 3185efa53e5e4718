//! Frames byte by byte, good and bad ones. Written by hand: the encoder of `spop` refuses to write most of them.

use spop::{FrameType, varint};

/// STREAM-ID and FRAME-ID.
pub type Id = (u64, u64);

/// The FIN flag: the frame is whole.
pub const FIN: u32 = 1;

/// A frame with its length prefix.
pub fn frame(frame_type: FrameType, flags: u32, id: Id, payload: &[u8]) -> Vec<u8> {
    let header = [&[frame_type.0][..], &flags.to_be_bytes(), &number(id.0), &number(id.1)].concat();
    prefixed(&[&header, payload].concat())
}

/// A NOTIFY in one frame.
pub fn notify(id: Id, payload: &[u8]) -> Vec<u8> {
    frame(FrameType::NOTIFY, FIN, id, payload)
}

/// Any bytes with the length prefix that fits them.
pub fn prefixed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

/// A message of a NOTIFY: its name, NB-ARGS, its arguments.
pub fn message(name: &[u8], args: &[(&str, Vec<u8>)]) -> Vec<u8> {
    // As in HAProxy, whose count wraps.
    [text(name), vec![args.len() as u8], items(args)].concat()
}

/// A KV-LIST.
pub fn items(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    items.iter().flat_map(|(name, value)| [text(name.as_bytes()), value.clone()].concat()).collect()
}

/// A varint.
pub fn number(value: u64) -> Vec<u8> {
    varint::encode(value, &mut [0; varint::MAX_LEN]).to_vec()
}

/// A name: its length and its bytes.
pub fn text(bytes: &[u8]) -> Vec<u8> {
    [number(bytes.len() as u64), bytes.to_vec()].concat()
}

/// Values as they stand on the wire: a type and what belongs to it.
pub mod value {
    use std::net::IpAddr;

    use super::{number, text};

    /// NULL.
    pub fn null() -> Vec<u8> {
        vec![0]
    }

    /// A BOOLEAN.
    pub fn boolean(value: bool) -> Vec<u8> {
        vec![if value { 0x11 } else { 0x01 }]
    }

    /// An integer of one of the four types: INT32 is 2, UINT32 is 3, INT64 is 4, UINT64 is 5.
    pub fn integer(data_type: u8, value: i64) -> Vec<u8> {
        [vec![data_type], number(value.cast_unsigned())].concat()
    }

    /// A UINT32.
    pub fn uint32(value: u32) -> Vec<u8> {
        integer(3, value.into())
    }

    /// An INT64, which is what HAProxy sends for any number.
    pub fn int64(value: i64) -> Vec<u8> {
        integer(4, value)
    }

    /// An IPV4 or an IPV6.
    pub fn ip(address: IpAddr) -> Vec<u8> {
        match address {
            IpAddr::V4(address) => [&[6][..], &address.octets()].concat(),
            IpAddr::V6(address) => [&[7][..], &address.octets()].concat(),
        }
    }

    /// A STRING.
    pub fn string(bytes: impl AsRef<[u8]>) -> Vec<u8> {
        [vec![8], text(bytes.as_ref())].concat()
    }

    /// A BINARY.
    pub fn binary(bytes: impl AsRef<[u8]>) -> Vec<u8> {
        [vec![9], text(bytes.as_ref())].concat()
    }
}

/// A value of an agent's KV-LIST.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Of one of the integer types, with its type.
    Integer(u8, u64),
    /// A STRING.
    Text(&'a [u8]),
    /// Of another type.
    Other,
}

/// Reads a KV-LIST to its end; `None` if it cannot be read.
pub(super) fn read_items(mut input: &[u8]) -> Option<Vec<(&[u8], Value<'_>)>> {
    let mut items = Vec::new();
    while !input.is_empty() {
        let name = read_text(&mut input)?;
        let (&type_byte, rest) = input.split_first()?;
        input = rest;
        let value = match type_byte & 0x0f {
            0 | 1 => Value::Other,
            data_type @ 2..=5 => Value::Integer(data_type, read_number(&mut input)?),
            6 => skip(&mut input, 4)?,
            7 => skip(&mut input, 16)?,
            8 => Value::Text(read_text(&mut input)?),
            9 => read_text(&mut input).map(|_| Value::Other)?,
            _ => return None,
        };
        items.push((name, value));
    }
    Some(items)
}

fn read_number(input: &mut &[u8]) -> Option<u64> {
    let (value, rest) = varint::parse(input).ok()?;
    *input = rest;
    Some(value)
}

fn read_text<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(read_number(input)?).ok()?;
    let (text, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(text)
}

fn skip(input: &mut &[u8], len: usize) -> Option<Value<'static>> {
    *input = input.get(len..)?;
    Some(Value::Other)
}

#[cfg(test)]
mod tests {
    use spop::{Frame, Notify};

    use super::*;

    #[test]
    fn a_notify_is_one_that_spop_reads() {
        let args = [
            ("ip", value::ip([127, 0, 0, 1].into())),
            ("", value::string("x")),
            ("n", value::int64(-5)),
            ("b", value::boolean(true)),
        ];
        let frame = notify((3, 1), &message(b"m", &args));
        let notify = Notify::parse(&frame[4..]).unwrap();
        assert_eq!(notify.id().to_string(), "3/1");
        let message = notify.message("m").unwrap();
        assert_eq!(message.args().len(), 4);
        assert_eq!(message.get::<i64>("n").unwrap(), -5);
        assert!(message.get::<bool>("b").unwrap());
        assert_eq!(u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize + 4, frame.len());
    }

    #[test]
    fn what_spop_writes_can_be_read() {
        let mut out = bytes::BytesMut::new();
        let disconnect = spop::Disconnect::new(spop::Status::TOO_BIG);
        Frame::<&[u8]>::AgentDisconnect(disconnect).encode(&mut out).unwrap();
        let items = read_items(&out[11..]).unwrap();
        let text = Value::Text(b"frame is too big");
        assert_eq!(items, [(&b"status-code"[..], Value::Integer(3, 3)), (b"message", text)]);
    }

    #[test]
    fn a_list_with_a_fault_is_not_read() {
        let list = items(&[("a", value::uint32(7)), ("b", value::string("text"))]);
        assert!(read_items(&list).is_some());
        for end in [1, 2, list.len() - 1] {
            assert_eq!(read_items(&list[..end]), None);
        }
        assert_eq!(read_items(b"\x01a\x0f"), None);
    }
}
