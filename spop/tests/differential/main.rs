//! The crate against a slow reference: what one reads or writes, the other does too.

mod check;
mod reference;

use proptest::collection::vec;
use proptest::prelude::*;
use spop::{OwnedTypedData, TypedData};

/// As many short encodings as long ones.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(bits, shift)| bits >> shift)
}

/// Bytes most of which say that more follow.
fn nearly_a_varint() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => 0x80u8.., 1 => any::<u8>(), 1 => 0xf0u8..];
    (0xf0u8.., vec(byte, 0..12), any::<u8>())
        .prop_map(|(first, middle, last)| [&[first][..], &middle, &[last]].concat())
}

fn value() -> impl Strategy<Value = OwnedTypedData> {
    prop_oneof![
        Just(OwnedTypedData::Null),
        any::<bool>().prop_map(OwnedTypedData::Bool),
        any::<i32>().prop_map(OwnedTypedData::Int32),
        any::<u32>().prop_map(OwnedTypedData::Uint32),
        number().prop_map(|bits| OwnedTypedData::Int64(bits as i64)),
        number().prop_map(|bits| OwnedTypedData::Int64((bits as i64).wrapping_neg())),
        number().prop_map(OwnedTypedData::Uint64),
        any::<[u8; 4]>().prop_map(|octets| OwnedTypedData::Ipv4(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| OwnedTypedData::Ipv6(octets.into())),
        vec(any::<u8>(), 0..300).prop_map(OwnedTypedData::String),
        vec(any::<u8>(), 0..3000).prop_map(OwnedTypedData::Binary),
    ]
}

/// Any type byte, flags and all, with a body that mostly fits it.
fn nearly_a_value() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![9 => 0..=9u8, 1 => any::<u8>()];
    (code, 0..8u8).prop_flat_map(|(code, odd)| {
        let body = match code % 16 {
            0 | 1 if odd > 0 => Just(vec![]).boxed(),
            2..=5 if odd > 0 => number().prop_map(reference::encode_varint).boxed(),
            6 if odd > 0 => vec(any::<u8>(), 4).boxed(),
            7 if odd > 0 => vec(any::<u8>(), 16).boxed(),
            8 | 9 if odd > 0 => {
                vec(any::<u8>(), 0..300).prop_map(|bytes| reference::encode_bytes(&bytes)).boxed()
            }
            2..=5 => nearly_a_varint().boxed(),
            _ => vec(any::<u8>(), 0..20).boxed(),
        };
        body.prop_map(move |body| [&[code][..], &body].concat())
    })
}

fn nearly_a_message() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![9 => Just("m"), 1 => Just("")];
    (name, vec(nearly_a_value(), 0..4)).prop_map(|(name, values)| {
        let args: Vec<_> = values.iter().map(|value| [b"\x01a", &value[..]].concat()).collect();
        [&[name.len() as u8], name.as_bytes(), &[args.len() as u8], &args.concat()].concat()
    })
}

/// The payload of a NOTIFY with values that HAProxy never sends, some with a byte changed or the end cut off.
fn nearly_a_payload() -> impl Strategy<Value = Vec<u8>> {
    let change = proptest::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>()));
    let cut = prop_oneof![4 => Just(0), 1 => 1..4usize];
    (vec(nearly_a_message(), 1..4), change, cut).prop_map(|(messages, change, cut)| {
        let mut payload = messages.concat();
        if let Some((index, byte)) = change {
            let at = index.index(payload.len());
            payload[at] = byte;
        }
        payload.truncate(payload.len().saturating_sub(cut));
        payload
    })
}

#[test]
fn numbers_are_alike_around_every_change_of_length_and_power_of_two() {
    let lengths = (1..=9).scan(240u128, |start, more: u32| {
        let this = *start;
        *start += 16 << (7 * more);
        Some(this)
    });
    for edge in lengths.chain((0..=64).map(|power| 1 << power)) {
        for number in edge.saturating_sub(17)..=edge + 17 {
            if let Ok(number) = u64::try_from(number) {
                check::varint(number);
            }
        }
    }
}

#[test]
fn numbers_around_the_last_of_64_bits_are_alike() {
    for middle in [0x80, 0xfe, 0xff] {
        for (first, second, last) in (0..=u16::MAX)
            .flat_map(|bytes| [0xf0, 0xff].map(|first| (first, bytes as u8, (bytes >> 8) as u8)))
        {
            let mut bytes = [middle; 10];
            (bytes[0], bytes[1], bytes[9]) = (first, second, last);
            check::varint_bytes(&bytes);
        }
    }
}

#[test]
fn all_values_of_two_bytes_and_less_are_alike() {
    check::payload(b"");
    for first in 0..=255 {
        check::payload(&[b"\x01m\x01\0", &[first][..]].concat());
        for second in 0..=255 {
            check::payload(&[b"\x01m\x01\0", &[first, second][..]].concat());
        }
    }
}

proptest! {
    #[test]
    fn numbers_are_alike(number in number()) {
        check::varint(number);
    }

    #[test]
    fn bytes_where_a_number_should_be_are_alike(nearly in nearly_a_varint(), bytes in vec(any::<u8>(), 0..14)) {
        check::varint_bytes(&nearly);
        check::varint_bytes(&bytes);
    }

    #[test]
    fn values_are_written_alike(value in value()) {
        check::action((&value).into());
    }

    #[test]
    fn messages_are_written_and_read_alike(
        messages in vec(("\\PC{1,300}", vec(("\\PC{0,9}", value()), 0..6)), 0..4),
    ) {
        let borrowed: Vec<_> = messages.iter().map(|(name, args)| {
            (&name[..], args.iter().map(|(name, value)| (&name[..], TypedData::from(value))).collect())
        }).collect();
        check::messages(&borrowed);
    }

    #[test]
    fn payloads_that_are_nearly_good_are_alike(payload in nearly_a_payload()) {
        check::payload(&payload);
    }

    #[test]
    fn bytes_where_a_payload_should_be_are_alike(payload in vec(any::<u8>(), 0..64)) {
        check::payload(&payload);
    }
}
