//! What a NOTIFY and an ACK cost at least: written by hand for one purpose each, to hold the library against.
//!
//! [`notify`] checks as much as the library does: the frame's type and FIN, that every length stays within its frame,
//! that varints end, have ten bytes at most and fit 64 bits, that types are known, that no message is without a name,
//! and that the messages fill the frame exactly. As there, a 32-bit integer that does not fit 32 bits is taken for one
//! of 64. It hands every argument to its caller *while* it checks, in one pass, so the caller acts on the first
//! argument of a frame whose last one may be broken. The library first checks all of a frame and then walks it;
//! [`notify_checked_first`] does the same with this parser.
//!
//! It says only that a frame is bad, not why and where; it knows no fragments, keeps no track of what is in flight, and
//! owns nothing.
//!
//! [`ack`] writes one set-var of an integer, in one go, into space that the caller made. It checks that name and frame
//! fit, and not that HAProxy takes the name's bytes.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::{Buf, BytesMut};

/// The longest frame, without its length prefix.
pub const MAX_FRAME_SIZE: usize = 16_380;

/// The frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad;

/// Stream-id and frame-id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// Stream-id.
    pub stream: u64,
    /// Frame-id.
    pub frame: u64,
}

/// A typed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types of SPOE.txt 3.1")]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    String(&'a [u8]),
    Binary(&'a [u8]),
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    #[inline(always)]
    fn byte(&mut self) -> Result<u8, Bad> {
        let (&byte, rest) = self.0.split_first().ok_or(Bad)?;
        self.0 = rest;
        Ok(byte)
    }

    #[inline(always)]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let (chunk, rest) = self.0.split_first_chunk().ok_or(Bad)?;
        self.0 = rest;
        Ok(*chunk)
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Bad> {
        let first = self.byte()?;
        if first < 240 {
            return Ok(first.into());
        }
        // Two bytes: lengths up to 2287, and ids soon enough.
        match self.0.split_first() {
            Some((&second, rest)) if second < 128 => {
                self.0 = rest;
                Ok(u64::from(first) + (u64::from(second) << 4))
            }
            _ => self.long_varint(first),
        }
    }

    #[cold]
    fn long_varint(&mut self, first: u8) -> Result<u64, Bad> {
        let mut value = u64::from(first);
        for shift in (4..60).step_by(7) {
            let byte = self.byte()?;
            value += u64::from(byte) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        match self.byte()? {
            byte @ 0..16 => value.checked_add(u64::from(byte) << 60).ok_or(Bad),
            _ => Err(Bad),
        }
    }

    #[inline(always)]
    fn bytes(&mut self) -> Result<&'a [u8], Bad> {
        let len = self.varint()?;
        if len > self.0.len() as u64 {
            return Err(Bad);
        }
        let (bytes, rest) = self.0.split_at(len as usize);
        self.0 = rest;
        Ok(bytes)
    }

    #[inline(always)]
    fn value(&mut self) -> Result<Value<'a>, Bad> {
        let byte = self.byte()?;
        Ok(match byte & 0x0f {
            0 => Value::Null,
            1 => Value::Bool(byte == 0x11),
            2 | 3 => self.narrow(byte)?,
            4 => Value::Int64(self.varint()? as i64),
            5 => Value::Uint64(self.varint()?),
            6 => Value::Ipv4(self.chunk::<4>()?.into()),
            7 => Value::Ipv6(self.chunk::<16>()?.into()),
            8 => Value::String(self.bytes()?),
            9 => Value::Binary(self.bytes()?),
            _ => return Err(Bad),
        })
    }
}

impl<'a> Cursor<'a> {
    /// A 32-bit integer: HAProxy sends none in a NOTIFY.
    #[cold]
    fn narrow(&mut self, byte: u8) -> Result<Value<'a>, Bad> {
        let wide = self.varint()?;
        Ok(match (byte & 0x0f, i32::try_from(wide as i64), u32::try_from(wide)) {
            (2, Ok(value), _) => Value::Int32(value),
            (2, ..) => Value::Int64(wide as i64),
            (.., Ok(value)) => Value::Uint32(value),
            _ => Value::Uint64(wide),
        })
    }
}

/// The first frame of `input`, from its type byte to its end; `None` if it is not complete.
///
/// # Errors
/// If its length is below 7 or above [`MAX_FRAME_SIZE`].
#[inline]
pub fn split_frame(input: &[u8]) -> Result<Option<&[u8]>, Bad> {
    let Some((prefix, rest)) = input.split_first_chunk() else { return Ok(None) };
    let len = u32::from_be_bytes(*prefix) as usize;
    if !(7..=MAX_FRAME_SIZE).contains(&len) {
        return Err(Bad);
    }
    Ok(rest.get(..len))
}

/// Checks the NOTIFY `frame`, from its type byte to its end, and calls `each` with every argument: the message's name,
/// the argument's, its value.
///
/// # Errors
/// If the frame is bad. Arguments before the fault were given to `each` already.
#[inline]
pub fn notify<'a>(frame: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8], Value<'a>)) -> Result<Ids, Bad> {
    let mut cursor = Cursor(frame);
    let [frame_type, _, _, _, flags] = cursor.chunk()?;
    if frame_type != 3 || flags & 1 == 0 {
        return Err(Bad);
    }
    let ids = Ids { stream: cursor.varint()?, frame: cursor.varint()? };
    while !cursor.0.is_empty() {
        let message = cursor.bytes()?;
        if message.is_empty() {
            return Err(Bad);
        }
        for _ in 0..cursor.byte()? {
            let name = cursor.bytes()?;
            each(message, name, cursor.value()?);
        }
    }
    Ok(ids)
}

/// As [`notify`], in two passes: `each` gets nothing of a frame that is bad.
///
/// # Errors
/// If the frame is bad.
#[inline]
pub fn notify_checked_first<'a>(
    frame: &'a [u8],
    each: impl FnMut(&'a [u8], &'a [u8], Value<'a>),
) -> Result<Ids, Bad> {
    notify(frame, |_, _, _| {})?;
    notify(frame, each)
}

/// Appends an ACK with one set-var of a UINT32, length prefix and all.
///
/// # Errors
/// If the name does not fit the space of a name of 60 bytes, or the frame is longer than `max`.
#[inline(always)]
pub fn ack(ids: Ids, scope: u8, name: &[u8], value: u32, max: usize, out: &mut BytesMut) -> Result<(), Bad> {
    let start = out.len();
    out.resize(start + ROOM, 0);
    let len = out.last_chunk_mut().and_then(|room| put_ack(ids, scope, name, value, room));
    match len {
        Some(len) if len - 4 <= max => {
            out.truncate(start + len);
            Ok(())
        }
        _ => {
            out.truncate(start);
            Err(Bad)
        }
    }
}

/// Length 4, type and flags 5, ids 20, action 3, name 61, type and value 6: 99 at most.
const ROOM: usize = 99;

/// Writes the frame at the start of `room`; returns its length.
#[inline(always)]
fn put_ack(ids: Ids, scope: u8, name: &[u8], value: u32, room: &mut [u8; ROOM]) -> Option<usize> {
    let (head, rest) = room.split_first_chunk_mut::<9>()?;
    let ids_len = {
        let first = put_varint(rest, ids.stream)?;
        first + put_varint(rest.get_mut(first..)?, ids.frame)?
    };
    let (action, rest) = rest.get_mut(ids_len..)?.split_first_chunk_mut()?;
    *action = [1, 3, scope, name.len() as u8];
    let (to, rest) = rest.split_at_mut_checked(name.len())?;
    to.copy_from_slice(name);
    let (value_type, rest) = rest.split_first_mut()?;
    *value_type = 3;
    let len = 5 + ids_len + 4 + name.len() + 1 + put_varint(rest, value.into())?;
    let [a, b, c, d] = (len as u32).to_be_bytes();
    *head = [a, b, c, d, 103, 0, 0, 0, 1];
    Some(4 + len)
}

#[inline(always)]
fn put_varint(out: &mut [u8], value: u64) -> Option<usize> {
    if value < 240 {
        *out.first_mut()? = value as u8;
        return Some(1);
    }
    if value < 2288 {
        *out.first_chunk_mut()? = [value as u8 | 0xf0, ((value - 240) >> 4) as u8];
        return Some(2);
    }
    put_long_varint(out, value)
}

#[cold]
fn put_long_varint(out: &mut [u8], value: u64) -> Option<usize> {
    let (first, rest) = out.split_first_mut()?;
    *first = value as u8 | 0xf0;
    let mut left = (value - 240) >> 4;
    for (index, byte) in rest.iter_mut().enumerate() {
        if left < 128 {
            *byte = left as u8;
            return Some(index + 2);
        }
        *byte = left as u8 | 0x80;
        left = (left - 128) >> 7;
    }
    None
}

/// Answers every NOTIFY at the start of `input` with [`ack`], and drops it from there.
///
/// # Errors
/// If a frame is bad.
#[inline]
pub fn answer_burst(input: &mut BytesMut, scope: u8, name: &[u8], out: &mut BytesMut) -> Result<(), Bad> {
    let mut taken = 0;
    while let Some(frame) = split_frame(&input[taken..])? {
        let ids = notify(frame, |_, _, _| {})?;
        ack(ids, scope, name, 42, MAX_FRAME_SIZE, out)?;
        taken += 4 + frame.len();
    }
    input.advance(taken);
    Ok(())
}

#[cfg(test)]
mod tests {
    use spop::{AckWriter, Notify, NotifyId, Scope};

    use super::*;
    use crate::profile::Profile;

    /// A frame with every type, long and short varints, two messages and an argument without a name.
    fn every_type() -> Vec<u8> {
        let mut out = BytesMut::new();
        let id = NotifyId { stream_id: 1 << 33, frame_id: 300 };
        let mut notify = spop::NotifyWriter::new(id, MAX_FRAME_SIZE, &mut out);
        let fill = |notify: &mut spop::NotifyWriter<'_>| -> Result<(), spop::EncodeError> {
            notify.message("first")?.arg("null", None::<bool>)?.arg("yes", true)?.arg("no", false)?;
            notify.arg("i32", -5i32)?.arg("u32", 7u32)?.arg("i64", i64::MIN)?.arg("u64", u64::MAX)?;
            notify.message("second")?.arg("", Ipv4Addr::LOCALHOST)?.arg("v6", Ipv6Addr::LOCALHOST)?;
            notify.arg("text", "x".repeat(3000).as_str())?.arg("bytes", &[7u8; 300][..])?;
            Ok(())
        };
        fill(&mut notify).unwrap();
        notify.finish();
        out[4..].to_vec()
    }

    fn agree(frame: &[u8]) {
        let ours = Notify::parse(frame);
        let mut args = Vec::new();
        let limit = notify(frame, |message, name, value| args.push((message, name, format!("{value:?}"))));
        assert_eq!(ours.is_ok(), limit.is_ok(), "{frame:02x?}");
        let (Ok(ours), Ok(ids)) = (ours, limit) else { return };
        assert_eq!((ours.id().stream_id, ours.id().frame_id), (ids.stream, ids.frame));
        let names = ours.messages().flat_map(|message| {
            message
                .args()
                .map(move |arg| (message.name().as_bytes(), arg.name.as_bytes()))
                .collect::<Vec<_>>()
        });
        assert!(names.eq(args.iter().map(|(message, name, _)| (*message, *name))));
    }

    #[test]
    fn the_limit_takes_and_refuses_what_the_library_does() {
        let mut frames: Vec<_> =
            Profile::all().iter().map(|profile| profile.frame(0)[4..].to_vec()).collect();
        frames.push(every_type());
        for frame in frames {
            for end in 0..=frame.len() {
                agree(&frame[..end]);
            }
            for at in 0..frame.len() {
                for bit in 0..8 {
                    let mut frame = frame.clone();
                    frame[at] ^= 1 << bit;
                    agree(&frame);
                }
            }
        }
    }

    #[test]
    fn the_limit_writes_the_ack_that_the_library_does() {
        for stream_id in [0, 239, 240, 2287, 2288, u64::MAX] {
            let (mut ours, mut limit) = (BytesMut::new(), BytesMut::new());
            let mut writer = AckWriter::new(NotifyId { stream_id, frame_id: 1 }, MAX_FRAME_SIZE, &mut ours);
            writer.set_var(Scope::Session, "ip_score", 300u32).unwrap();
            writer.finish();
            let ids = Ids { stream: stream_id, frame: 1 };
            ack(ids, Scope::Session as u8, b"ip_score", 300, MAX_FRAME_SIZE, &mut limit).unwrap();
            assert_eq!(limit, ours);
        }
    }

    #[test]
    fn an_ack_that_does_not_fit_leaves_nothing() {
        let mut out = BytesMut::from(&b"before"[..]);
        let ids = Ids { stream: 1, frame: 1 };
        assert_eq!(ack(ids, 1, &[b'x'; 100], 1, MAX_FRAME_SIZE, &mut out), Err(Bad));
        assert_eq!(ack(ids, 1, b"ip_score", 1, 10, &mut out), Err(Bad));
        assert_eq!(&out[..], b"before");
    }
}
