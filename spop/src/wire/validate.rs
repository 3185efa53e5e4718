//! The check of a NOTIFY's payload, as fast as it can be: the one thing that has to look at every byte that counts
//! before anything acts on it. It says yes or no; what is wrong, and where, is for the parsers in `parse.rs` to find
//! out.
//!
//! The same as a walk with those parsers, and held against it in a test, at less than half the cost.

use super::varint;

/// Returns how many messages `input` has; `None` if anything is wrong with them.
///
/// It steps from length to length without making a value of anything. A step may lead past the end: the next look, or
/// the end, which must be met exactly, tells.
#[inline]
pub(crate) fn messages(input: &[u8]) -> Option<usize> {
    let (mut at, mut count) = (0, 0);
    while at != input.len() {
        let name = at;
        at = after_bytes(input, at)?;
        let args = *input.get(at)?;
        if input[name] == 0 {
            return None;
        }
        at += 1;
        for _ in 0..args {
            at = after_value(input, after_bytes(input, at)?)?;
        }
        count += 1;
    }
    Some(count)
}

#[inline(always)]
fn after_bytes(input: &[u8], at: usize) -> Option<usize> {
    let first = *input.get(at)?;
    if first < 240 {
        return Some(at + 1 + usize::from(first));
    }
    // Up to 2287 bytes: a user agent, a path, most header blocks.
    let second = *input.get(at + 1)?;
    if second < 128 {
        return Some(at + 2 + usize::from(first) + (usize::from(second) << 4));
    }
    after_long_bytes(input, at)
}

#[cold]
fn after_long_bytes(input: &[u8], at: usize) -> Option<usize> {
    let rest = input.get(at..)?;
    let (len, rest) = varint::read(rest).ok()?;
    let end = usize::try_from(len).ok()?;
    (end <= rest.len()).then(|| input.len() - rest.len() + end)
}

#[inline(always)]
fn after_value(input: &[u8], at: usize) -> Option<usize> {
    match *input.get(at)? & 0x0f {
        8 | 9 => after_bytes(input, at + 1),
        0 | 1 => Some(at + 1),
        6 => Some(at + 5),
        7 => Some(at + 17),
        2..=5 => after_varint(input, at + 1),
        _ => None,
    }
}

#[inline(always)]
fn after_varint(input: &[u8], at: usize) -> Option<usize> {
    let len = *input.get(at)?;
    if len < 240 { Some(at + 1) } else { after_long_varint(input, at) }
}

fn after_long_varint(input: &[u8], at: usize) -> Option<usize> {
    let (_, rest) = varint::read(input.get(at..)?).ok()?;
    Some(input.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::parse;

    /// Returns the count of messages as a walk with the parsers finds it.
    fn walk(mut input: &[u8]) -> Option<usize> {
        let mut count = 0;
        while !input.is_empty() {
            let (rest, (name, args)) = parse::message_head(input).ok()?;
            if name.is_empty() {
                return None;
            }
            (input, ()) = parse::args_end(rest, args).ok()?;
            count += 1;
        }
        Some(count)
    }

    /// Pieces of messages, so that most payloads are nearly good.
    fn piece() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            8 => Just(b"\x01m\x01\x01a\x11".to_vec()),
            4 => (0u8..20, prop::collection::vec(any::<u8>(), 0..20))
                .prop_map(|(code, bytes)| [b"\x01m\x01\0", &[code, bytes.len() as u8][..], &bytes].concat()),
            2 => Just(b"\x01m\x01\0\x04\xfb\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e".to_vec()),
            2 => (240usize..600).prop_map(|len| {
                let mut buffer = [0; varint::MAX_LEN];
                let prefix = varint::encode(len as u64, &mut buffer).to_vec();
                [b"\x01m\x01\0\x08", &prefix[..], &vec![b'x'; len]].concat()
            }),
            1 => prop::collection::vec(any::<u8>(), 0..12),
        ]
    }

    proptest! {
        #[test]
        fn it_says_what_a_walk_says(pieces in prop::collection::vec(piece(), 0..6), cut in 0usize..40) {
            let mut payload = pieces.concat();
            payload.truncate(payload.len().saturating_sub(cut.saturating_sub(30)));
            prop_assert_eq!(messages(&payload), walk(&payload));
        }

        #[test]
        fn it_says_what_a_walk_says_of_any_bytes(payload in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(messages(&payload), walk(&payload));
        }
    }
}
