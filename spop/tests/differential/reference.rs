//! A second, slow reading of SPOE.txt 3.1 and 3.2.6 to hold the crate against: whole numbers and lists instead of
//! shifts and slices. It shares nothing with the crate; the fuzz target `differential` uses this very file.

/// A value: the code of its type, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) code: u8,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Nothing,
    Flag(bool),
    Number(i128),
    Bytes(Vec<u8>),
}

pub(crate) type Message = (Vec<u8>, Vec<(Vec<u8>, Value)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VarintError {
    Truncated,
    TooLong,
    Overflow,
}

/// The smallest number that needs `more` bytes after the first, and how many numbers need as many.
///
/// One byte reaches to 239. After that the first byte holds one of 16 digits, and each further one of 128: the numbers
/// of one length follow those of the length before without a gap.
fn range(more: u32) -> (i128, i128) {
    let count = |more: u32| 16 * 128_i128.pow(more);
    (240 + (1..more).map(count).sum::<i128>(), count(more))
}

/// The encoding of a number below 2^64.
pub(crate) fn encode_varint(number: u64) -> Vec<u8> {
    let number = i128::from(number);
    if number < 240 {
        return vec![number as u8];
    }
    let more = (1..).find(|&more| number < range(more).0 + range(more).1).expect("an end to the numbers");
    let mut left = number - range(more).0;
    let mut bytes = vec![(240 + left % 16) as u8];
    left /= 16;
    for index in 1..=more {
        let more_follow = if index < more { 128 } else { 0 };
        bytes.push((more_follow + left % 128) as u8);
        left /= 128;
    }
    bytes
}

/// The number at the start of `bytes`, and what follows it. The tenth byte is the last that a 64-bit number can have.
pub(crate) fn decode_varint(bytes: &[u8]) -> Result<(u64, &[u8]), VarintError> {
    let (&first, mut rest) = bytes.split_first().ok_or(VarintError::Truncated)?;
    if first < 240 {
        return Ok((first.into(), rest));
    }
    let (mut number, mut more, mut weight) = (i128::from(first) - 240, 0, 16);
    loop {
        let (&byte, after) = rest.split_first().ok_or(VarintError::Truncated)?;
        rest = after;
        more += 1;
        number += i128::from(byte % 128) * weight;
        weight *= 128;
        if byte < 128 {
            break;
        }
        if more == 9 {
            return Err(VarintError::TooLong);
        }
    }
    u64::try_from(range(more).0 + number).map(|number| (number, rest)).map_err(|_| VarintError::Overflow)
}

pub(crate) fn encode_bytes(bytes: &[u8]) -> Vec<u8> {
    [encode_varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// The value as HAProxy wants it: a negative number as its 64-bit two's complement, whatever its type.
pub(crate) fn encode_value(value: &Value) -> Vec<u8> {
    let mut out = vec![value.code];
    match &value.content {
        Content::Nothing => {}
        Content::Flag(flag) => out[0] += 16 * u8::from(*flag),
        Content::Number(number) => {
            let wrapped = if *number < 0 { number + (1 << 64) } else { *number };
            out.extend(encode_varint(wrapped.try_into().expect("a 64-bit number")));
        }
        Content::Bytes(bytes) if value.code < 8 => out.extend(bytes),
        Content::Bytes(bytes) => out.extend(encode_bytes(bytes)),
    }
    out
}

pub(crate) fn encode_messages(messages: &[Message]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, args) in messages {
        out.extend(encode_bytes(name));
        out.push(args.len().try_into().expect("at most 255 arguments"));
        for (name, value) in args {
            out.extend(encode_bytes(name));
            out.extend(encode_value(value));
        }
    }
    out
}

/// Bytes that are taken from the front; `None` when they run out.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take(&mut self, count: u64) -> Option<Vec<u8>> {
        let count = usize::try_from(count).ok().filter(|&count| count <= self.0.len())?;
        let taken = self.0[..count].to_vec();
        self.0 = &self.0[count..];
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn varint(&mut self) -> Option<u64> {
        let (number, rest) = decode_varint(self.0).ok()?;
        self.0 = rest;
        Some(number)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let len = self.varint()?;
        self.take(len)
    }

    fn value(&mut self) -> Option<Value> {
        let byte = self.byte()?;
        let (flags, code) = (byte / 16, byte % 16);
        let content = match code {
            0 => Content::Nothing,
            1 => Content::Flag(flags == 1),
            2..=5 => return self.varint().map(|raw| number(code, raw.into())),
            6 => Content::Bytes(self.take(4)?),
            7 => Content::Bytes(self.take(16)?),
            8 | 9 => Content::Bytes(self.bytes()?),
            _ => return None,
        };
        Some(Value { code, content })
    }
}

/// A number that its 32-bit type cannot hold takes the 64-bit one.
fn number(code: u8, raw: i128) -> Value {
    let is_signed = matches!(code, 2 | 4);
    let number = if is_signed && raw >= 1 << 63 { raw - (1 << 64) } else { raw };
    let fits = match code {
        2 => i32::try_from(number).is_ok(),
        3 => u32::try_from(number).is_ok(),
        _ => true,
    };
    Value { code: if fits { code } else { code + 2 }, content: Content::Number(number) }
}

/// The messages of a NOTIFY's payload; `None` if that is what they are not.
pub(crate) fn decode_messages(payload: &[u8]) -> Option<Vec<Message>> {
    let mut input = Input(payload);
    let mut messages = Vec::new();
    while !input.0.is_empty() {
        let name = input.bytes().filter(|name| !name.is_empty())?;
        let count = input.byte()?;
        let args: Option<_> = (0..count).map(|_| Some((input.bytes()?, input.value()?))).collect();
        messages.push((name, args?));
    }
    Some(messages)
}
