//! The parsers, and the only place that knows nom.
//!
//! All work on complete frames: running out of bytes is an error here, never a wish for more. Varints and typed values
//! are plain functions of nom's shape, as combinator chains for such small things cost two to three times as much.

use nom::IResult;
use nom::bytes::complete::{take, take_until};
use nom::error::{ErrorKind, ParseError};

use super::{
    DecodeError, DecodeErrorKind, Flags, FrameHeader, FrameType, NotifyId, Text, TypedData, validate, varint,
};

pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

/// What is wrong, and how many bytes were left there: the offset, once the length of the whole is known.
#[derive(Debug)]
pub(crate) struct Fault {
    kind: DecodeErrorKind,
    left: usize,
}

impl ParseError<&[u8]> for Fault {
    /// Makes the error of a combinator: those in use fail for want of bytes only.
    fn from_error_kind(input: &[u8], _: ErrorKind) -> Self {
        Self { kind: DecodeErrorKind::Truncated, left: input.len() }
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// Returns the error `kind` at the start of `input`.
#[cold]
pub(crate) fn fail<T>(input: &[u8], kind: DecodeErrorKind) -> Parsed<'_, T> {
    Err(nom::Err::Error(Fault { kind, left: input.len() }))
}

/// Ends a parse: the offset of an error counts from the start of `frame`, of which the input was the tail.
#[inline]
pub(crate) fn finish<T>(frame_len: usize, parsed: Parsed<'_, T>) -> Result<T, DecodeError> {
    match parsed {
        Ok((_, value)) => Ok(value),
        Err(error) => Err(decode_error(frame_len, &error)),
    }
}

#[cold]
fn decode_error(frame_len: usize, error: &nom::Err<Fault>) -> DecodeError {
    match error {
        nom::Err::Error(fault) | nom::Err::Failure(fault) => {
            DecodeError::new(fault.kind, frame_len.saturating_sub(fault.left))
        }
        // Complete parsers only: no such value is ever made.
        nom::Err::Incomplete(_) => DecodeError::new(DecodeErrorKind::Truncated, frame_len),
    }
}

#[inline(always)]
fn varint(input: &[u8]) -> Parsed<'_, u64> {
    match varint::read(input) {
        Ok((value, rest)) => Ok((rest, value)),
        Err(kind) => fail(input, kind),
    }
}

/// Reads a varint and as many bytes: names, and the body of STRING and BINARY.
#[inline(always)]
pub(crate) fn bytes(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, len) = varint(input)?;
    match usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len)) {
        Some((bytes, rest)) => Ok((rest, bytes)),
        None => fail(input, DecodeErrorKind::Truncated),
    }
}

/// Returns what stands before and behind the first `byte`: a line, or a header's name.
#[inline]
pub(crate) fn split_at_byte(input: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let found: IResult<_, &[u8], ()> = take_until(&[byte][..])(input);
    found.ok().and_then(|(rest, before)| Some((before, rest.get(1..)?)))
}

#[inline(always)]
pub(crate) fn fixed<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    match input.split_first_chunk() {
        Some((chunk, rest)) => Ok((rest, *chunk)),
        None => fail(input, DecodeErrorKind::Truncated),
    }
}

/// Reads a value (SPOE.txt 3.1): the type in the low nibble, flags in the high one. As in HAProxy only the exact byte
/// 0x11 is true, and the flags of other types mean nothing.
#[inline(always)]
pub(crate) fn typed_data(input: &[u8]) -> Parsed<'_, TypedData<'_>> {
    let Some((&byte, rest)) = input.split_first() else {
        return fail(input, DecodeErrorKind::Truncated);
    };
    match byte & 0x0f {
        0 => Ok((rest, TypedData::Null)),
        1 => Ok((rest, TypedData::Bool(byte == 0x11))),
        2 => varint(rest).map(|(rest, raw)| {
            let wide = raw as i64;
            (rest, i32::try_from(wide).map_or(TypedData::Int64(wide), TypedData::Int32))
        }),
        3 => varint(rest)
            .map(|(rest, raw)| (rest, u32::try_from(raw).map_or(TypedData::Uint64(raw), TypedData::Uint32))),
        4 => varint(rest).map(|(rest, raw)| (rest, TypedData::Int64(raw as i64))),
        5 => varint(rest).map(|(rest, raw)| (rest, TypedData::Uint64(raw))),
        6 => fixed::<4>(rest).map(|(rest, octets)| (rest, TypedData::Ipv4(octets.into()))),
        7 => fixed::<16>(rest).map(|(rest, octets)| (rest, TypedData::Ipv6(octets.into()))),
        8 => bytes(rest).map(|(rest, bytes)| (rest, TypedData::String(Text::new(bytes)))),
        9 => bytes(rest).map(|(rest, bytes)| (rest, TypedData::Binary(bytes))),
        code => fail(input, DecodeErrorKind::ReservedType(code)),
    }
}

/// Reads frame type, flags, stream-id, frame-id (SPOE.txt 3.2.1).
#[inline]
pub(crate) fn header(input: &[u8]) -> Parsed<'_, FrameHeader> {
    let (input, [frame_type, flags @ ..]) = fixed::<5>(input)?;
    let flags = u32::from_be_bytes(flags);
    let (input, stream_id) = varint(input)?;
    let (input, frame_id) = varint(input)?;
    let id = NotifyId { stream_id, frame_id };
    Ok((input, FrameHeader { frame_type: FrameType(frame_type), flags: Flags(flags), id }))
}

/// Reads one item of the KV-LIST of a HELLO or DISCONNECT. A reserved type is one byte and no value, as in HAProxy.
pub(crate) fn item(input: &[u8]) -> Parsed<'_, (&[u8], Option<TypedData<'_>>)> {
    let (rest, name) = bytes(input)?;
    if name.is_empty() {
        return fail(input, DecodeErrorKind::EmptyItemName);
    }
    match rest.split_first() {
        Some((byte, rest)) if byte & 0x0f > 9 => Ok((rest, (name, None))),
        _ => typed_data(rest).map(|(rest, value)| (rest, (name, Some(value)))),
    }
}

/// Reads name and argument count, the start of a message (SPOE.txt 3.2.6).
#[inline]
pub(crate) fn message_head(input: &[u8]) -> Parsed<'_, (&[u8], u8)> {
    let (rest, name) = bytes(input)?;
    let (rest, [args]) = fixed::<1>(rest)?;
    Ok((rest, (name, args)))
}

#[inline(always)]
pub(crate) fn arg(input: &[u8]) -> Parsed<'_, (Text<'_>, TypedData<'_>)> {
    let (rest, name) = bytes(input)?;
    let (rest, value) = typed_data(rest)?;
    Ok((rest, (Text::new(name), value)))
}

/// Validates all messages of a NOTIFY and counts them: fast, and once more with these parsers if something is wrong.
#[inline]
pub(crate) fn count_messages(input: &[u8]) -> Parsed<'_, usize> {
    match validate::messages(input) {
        Some(count) => Ok((&[], count)),
        None => explain(input),
    }
}

/// Says what is wrong, and where.
#[cold]
fn explain(mut input: &[u8]) -> Parsed<'_, usize> {
    let mut count = 0;
    while !input.is_empty() {
        match message_end(input) {
            Ok((rest, ())) => input = rest,
            Err(error) if count == 0 => return Err(error),
            Err(_) => return fail(input, DecodeErrorKind::ArgCount),
        }
        count += 1;
    }
    Ok((input, count))
}

fn message_end(input: &[u8]) -> Parsed<'_, ()> {
    let (rest, (name, args)) = message_head(input)?;
    if name.is_empty() {
        return fail(input, DecodeErrorKind::EmptyMessageName);
    }
    args_end(rest, args)
}

/// Skips `count` arguments.
#[inline]
pub(crate) fn args_end(mut input: &[u8], count: u8) -> Parsed<'_, ()> {
    for _ in 0..count {
        (input, _) = arg(input)?;
    }
    Ok((input, ()))
}

/// Reads the length prefix of a frame, if it is there (SPOE.txt 3.2.1: four bytes in network order).
pub(crate) fn length_prefix(input: &[u8]) -> Option<u32> {
    let prefix: IResult<_, &[u8], ()> = take(4usize)(input);
    prefix.ok().and_then(|(_, prefix)| prefix.try_into().ok()).map(u32::from_be_bytes)
}
