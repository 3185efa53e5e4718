//! Values as a frame carries them.

use core::fmt::Debug;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::frame::{Actions, Notify, Scope};
use crate::wire::*;

const V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01];

/// The varint of -5 as 64 bits.
const MINUS_5: [u8; 10] = [0xfb, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e];

/// The value as an action carries it.
fn encoded(value: TypedData<'_>) -> Vec<u8> {
    let mut actions = Actions::new();
    actions.set_var(Scope::Session, "", value).unwrap();
    actions.as_bytes().strip_prefix(&[1, 3, 1, 0]).unwrap().into()
}

/// A NOTIFY of one message "m" with one unnamed argument.
fn notify(value: &[u8]) -> Vec<u8> {
    [b"\x03\0\0\0\x01\x01\x01\x01m\x01\0", value].concat()
}

#[track_caller]
fn assert_parsed(bytes: &[u8], value: TypedData<'_>) {
    let notify = Notify::parse(notify(bytes)).unwrap();
    assert_eq!(notify.messages().next().unwrap().nth(0), Ok(value), "{bytes:x?}");
}

#[track_caller]
fn fault(bytes: &[u8]) -> DecodeErrorKind {
    Notify::parse(notify(bytes)).unwrap_err().kind()
}

/// Every type, with what HAProxy writes for it or reads it from.
fn table() -> Vec<(TypedData<'static>, Vec<u8>)> {
    static LONG: [u8; 300] = [b'x'; 300];
    vec![
        (TypedData::Null, vec![0x00]),
        (TypedData::Bool(true), vec![0x11]),
        (TypedData::Bool(false), vec![0x01]),
        (TypedData::Int32(0), vec![0x02, 0x00]),
        (TypedData::Int32(42), vec![0x02, 42]),
        (TypedData::Int32(i32::MAX), vec![0x02, 0xff, 0xf0, 0xfe, 0xfe, 0x3e]),
        (TypedData::Int32(-5), [&[0x02][..], &MINUS_5].concat()),
        (TypedData::Uint32(0), vec![0x03, 0x00]),
        (TypedData::Uint32(16_380), vec![0x03, 0xfc, 0xf0, 0x06]),
        (TypedData::Uint32(u32::MAX), vec![0x03, 0xff, 0xf0, 0xfe, 0xfe, 0x7e]),
        (TypedData::Int64(1), vec![0x04, 0x01]),
        (TypedData::Int64(-5), [&[0x04][..], &MINUS_5].concat()),
        (TypedData::Int64(i64::MIN), vec![0x04, 0xf0, 0xf1, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x06]),
        (TypedData::Uint64(1), vec![0x05, 0x01]),
        (TypedData::Uint64(u64::MAX), vec![0x05, 0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e]),
        (TypedData::Ipv4([127, 0, 0, 1].into()), vec![0x06, 127, 0, 0, 1]),
        (TypedData::Ipv6(V6.into()), [&[0x07][..], &V6].concat()),
        (TypedData::String("".into()), vec![0x08, 0x00]),
        (TypedData::String("GET".into()), vec![0x08, 0x03, b'G', b'E', b'T']),
        (TypedData::String(Text::new(&[0xff, 0xfe])), vec![0x08, 0x02, 0xff, 0xfe]),
        (TypedData::String(Text::new(&LONG)), [&[0x08, 0xfc, 0x03][..], &LONG].concat()),
        (TypedData::Binary(&[]), vec![0x09, 0x00]),
        (TypedData::Binary(&[0, 1, 0xff]), vec![0x09, 0x03, 0x00, 0x01, 0xff]),
    ]
}

#[test]
fn every_type_is_written_as_haproxy_takes_it() {
    for (value, bytes) in table() {
        assert_eq!(encoded(value), bytes, "{value:?}");
    }
}

#[test]
fn every_type_is_read_as_it_was_written() {
    for (value, bytes) in table() {
        assert_parsed(&bytes, value);
    }
}

#[test]
fn every_cut_of_every_type_is_an_error() {
    for (value, bytes) in table() {
        for end in 0..bytes.len() {
            assert_eq!(fault(&bytes[..end]), DecodeErrorKind::Truncated, "{value:?} cut at {end}");
        }
    }
}

#[test]
fn only_0x11_is_true() {
    for flags in 0..16u8 {
        let byte = flags << 4 | 1;
        assert_parsed(&[byte], TypedData::Bool(byte == 0x11));
    }
}

#[test]
fn flags_of_other_types_mean_nothing() {
    for (value, mut bytes) in table() {
        if value.data_type() == DataType::Bool {
            continue;
        }
        for flags in 1..16u8 {
            bytes[0] = bytes[0] & 0x0f | flags << 4;
            assert_parsed(&bytes, value);
        }
    }
}

#[test]
fn a_string_leaves_without_the_flags_it_came_with() {
    // HAProxy takes a STRING with a flag bit for BINARY.
    let notify = Notify::parse(notify(&[0xf8, 0x01, b'x'])).unwrap();
    let value = notify.messages().next().unwrap().nth(0).unwrap();
    assert_eq!(encoded(value), [0x08, 0x01, b'x']);
}

#[test]
fn a_reserved_type_is_an_error() {
    for code in 10..16u8 {
        assert_eq!(fault(&[code, 0x00]), DecodeErrorKind::ReservedType(code));
        assert_eq!(fault(&[code | 0x10, 0x00]), DecodeErrorKind::ReservedType(code), "with a flag");
    }
}

#[test]
fn a_32_bit_integer_that_does_not_fit_is_widened() {
    let four_gib = [0xf0, 0xf1, 0xfe, 0xfe, 0x7e];
    assert_parsed(&[&[0x02][..], &four_gib].concat(), TypedData::Int64(1 << 32));
    assert_parsed(&[&[0x03][..], &four_gib].concat(), TypedData::Uint64(1 << 32));
    // -1 written with 32 bits only: HAProxy too takes that for 4294967295.
    assert_parsed(&[0x02, 0xff, 0xf0, 0xfe, 0xfe, 0x7e], TypedData::Int64(u32::MAX.into()));
    assert_parsed(&[&[0x03][..], &MINUS_5].concat(), TypedData::Uint64(-5i64 as u64));
}

#[test]
fn a_length_past_the_end_is_an_error() {
    let huge = [0xff, 0xf0, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0xfe, 0x0e];
    for code in [0x08, 0x09] {
        assert_eq!(fault(&[code, 0x02, b'x']), DecodeErrorKind::Truncated);
        assert_eq!(fault(&[&[code][..], &huge, b"x"].concat()), DecodeErrorKind::Truncated);
    }
}

#[test]
fn an_integer_of_too_many_bytes_is_an_error() {
    let eleven = [0x04, 0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
    assert_eq!(fault(&eleven), DecodeErrorKind::VarintTooLong);
}

#[test]
fn an_owned_copy_is_the_same_value() {
    for (value, _) in table() {
        assert_eq!(TypedData::from(&value.into_owned()), value);
    }
}

#[test]
fn rust_values_become_the_type_haproxy_expects() {
    let (v4, v6) = (Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST);
    for (value, typed) in [
        (TypedData::from(true), TypedData::Bool(true)),
        (u8::MAX.into(), TypedData::Uint32(255)),
        (u16::MAX.into(), TypedData::Uint32(65_535)),
        (u32::MAX.into(), TypedData::Uint32(u32::MAX)),
        (u64::MAX.into(), TypedData::Uint64(u64::MAX)),
        (i8::MIN.into(), TypedData::Int32(-128)),
        (i16::MIN.into(), TypedData::Int32(-32_768)),
        (i32::MIN.into(), TypedData::Int32(i32::MIN)),
        (i64::MIN.into(), TypedData::Int64(i64::MIN)),
        (v4.into(), TypedData::Ipv4(v4)),
        (v6.into(), TypedData::Ipv6(v6)),
        (IpAddr::from(v4).into(), TypedData::Ipv4(v4)),
        (IpAddr::from(v6).into(), TypedData::Ipv6(v6)),
        ("text".into(), TypedData::String(Text::new(b"text"))),
        ((&String::from("text")).into(), TypedData::String(Text::new(b"text"))),
        (Text::new(b"text").into(), TypedData::String(Text::new(b"text"))),
        ((&b"text"[..]).into(), TypedData::Binary(b"text")),
        (Some(7).into(), TypedData::Int32(7)),
        (None::<&str>.into(), TypedData::Null),
    ] {
        assert_eq!(value, typed);
    }
}

/// `value` as every integer type of the wire that can hold it.
fn on_the_wire(value: i128) -> Vec<TypedData<'static>> {
    let forms = [
        value.try_into().ok().map(TypedData::Int32),
        value.try_into().ok().map(TypedData::Uint32),
        value.try_into().ok().map(TypedData::Int64),
        value.try_into().ok().map(TypedData::Uint64),
    ];
    forms.into_iter().flatten().collect()
}

fn takes_its_whole_range<T>(name: &'static str, min: i128, max: i128)
where
    T: FromTypedData<'static> + TryFrom<i128> + PartialEq + Debug,
    <T as TryFrom<i128>>::Error: Debug,
{
    for value in [min, 0, 1, max] {
        for wire in on_the_wire(value) {
            assert_eq!(T::from_typed_data(wire), Ok(T::try_from(value).unwrap()), "{name} from {wire:?}");
        }
    }
    for value in [min - 1, max + 1] {
        for wire in on_the_wire(value) {
            let error = ArgErrorKind::OutOfRange { want: name };
            assert_eq!(T::from_typed_data(wire), Err(error), "{name} from {wire:?}");
        }
    }
}

#[test]
fn every_integer_comes_from_every_wire_integer_that_fits() {
    macro_rules! all {
        ($($type:ident)*) => {
            $(takes_its_whole_range::<$type>(stringify!($type), $type::MIN as i128, $type::MAX as i128);)*
        };
    }
    all!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);
}

/// What `T` makes of each of the ten types, in their order.
fn accepted<'a, T: FromTypedData<'a>>() -> [bool; 10] {
    [
        TypedData::Null,
        TypedData::Bool(true),
        TypedData::Int32(1),
        TypedData::Uint32(1),
        TypedData::Int64(1),
        TypedData::Uint64(1),
        TypedData::Ipv4(Ipv4Addr::LOCALHOST),
        TypedData::Ipv6(Ipv6Addr::LOCALHOST),
        TypedData::String(Text::new(b"x")),
        TypedData::Binary(b"x"),
    ]
    .map(|value| match T::from_typed_data(value) {
        Ok(_) => true,
        Err(ArgErrorKind::WrongType { want, got }) => {
            assert_eq!((want, got), (T::WANT, value.data_type()));
            false
        }
        Err(other) => panic!("{other:?}"),
    })
}

#[test]
fn every_getter_takes_its_own_types_and_names_the_others() {
    let [no, yes] = [false, true];
    let integer = [no, no, yes, yes, yes, yes, no, no, no, no];
    let string = [no, no, no, no, no, no, no, no, yes, no];
    let bytes = [no, no, no, no, no, no, no, no, yes, yes];
    assert_eq!(accepted::<bool>(), [no, yes, no, no, no, no, no, no, no, no]);
    assert_eq!(accepted::<u8>(), integer);
    assert_eq!(accepted::<i64>(), integer);
    assert_eq!(accepted::<Ipv4Addr>(), [no, no, no, no, no, no, yes, no, no, no]);
    assert_eq!(accepted::<Ipv6Addr>(), [no, no, no, no, no, no, no, yes, no, no]);
    assert_eq!(accepted::<IpAddr>(), [no, no, no, no, no, no, yes, yes, no, no]);
    assert_eq!(accepted::<&str>(), string);
    assert_eq!(accepted::<String>(), string);
    assert_eq!(accepted::<Text<'_>>(), string);
    assert_eq!(accepted::<&[u8]>(), bytes);
    assert_eq!(accepted::<Vec<u8>>(), bytes);
    assert_eq!(accepted::<TypedData<'_>>(), [yes; 10]);
    assert_eq!(accepted::<Option<bool>>(), [yes, yes, no, no, no, no, no, no, no, no]);
}

#[test]
fn an_option_takes_null_for_none_and_keeps_other_errors() {
    assert_eq!(Option::<u8>::from_typed_data(TypedData::Null), Ok(None));
    assert_eq!(Option::<u8>::from_typed_data(TypedData::Int64(7)), Ok(Some(7)));
    let too_big = Option::<u8>::from_typed_data(TypedData::Int64(256));
    assert_eq!(too_big, Err(ArgErrorKind::OutOfRange { want: "u8" }));
}

#[test]
fn text_that_is_not_utf_8_is_kept_as_bytes_only() {
    let value = TypedData::String(Text::new(b"a\xff"));
    assert_eq!(<&str>::from_typed_data(value), Err(ArgErrorKind::NotUtf8));
    assert_eq!(String::from_typed_data(value), Err(ArgErrorKind::NotUtf8));
    assert_eq!(<&[u8]>::from_typed_data(value), Ok(&b"a\xff"[..]));
    assert_eq!(Text::from_typed_data(value).map(Text::as_bytes), Ok(&b"a\xff"[..]));
}

#[test]
fn text_equals_a_str_of_the_same_bytes() {
    let text = Text::new(b"abc");
    assert!(text == *"abc" && text == "abc" && text == Text::from("abc"));
    assert!(text != *"abd" && text != "ab" && text != "ABC");
}

#[test]
fn text_shows_what_is_not_utf_8_as_a_replacement() {
    assert_eq!(Text::new(b"a\xffb\xe9").to_string(), "a\u{fffd}b\u{fffd}");
    assert_eq!(format!("{:?}", Text::new(b"a\xff\"\n")), r#""a\xff\"\n""#);
}
