use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::varint;

type Pair<'a> = (&'a [u8], &'a [u8]);

fn pairs<'a>(headers: Headers<'a>) -> Vec<Pair<'a>> {
    headers.iter().map(|header| (header.name.as_bytes(), header.value.as_bytes())).collect()
}

#[track_caller]
fn assert_text(block: &[u8], expected: &[Pair<'_>], skipped: usize) {
    let headers = Headers::text(block);
    assert_eq!(pairs(headers), expected);
    assert_eq!(headers.skipped(), skipped);
}

#[track_caller]
fn assert_binary(block: &[u8], expected: &[Pair<'_>], skipped: usize) {
    let headers = Headers::binary(block);
    assert_eq!(pairs(headers), expected);
    assert_eq!(headers.skipped(), skipped);
}

#[test]
fn the_values_of_a_repeated_header_come_in_order() {
    let headers = Headers::text(b"cookie: a=1\r\nhost: x\r\ncookie: b=2\r\nCookie: c=3\r\n\r\n");
    assert!(headers.get_all("COOKIE").eq(["a=1", "b=2", "c=3"].map(Text::from)));
    assert_eq!(headers.get("cookie").unwrap(), "a=1");
    assert!(headers.get("cooki").is_none());
}

#[test]
fn a_line_without_a_colon_is_skipped() {
    assert_text(b"a: 1\r\nno header\r\nb: 2\r\n\r\n", &[(b"a", b"1"), (b"b", b"2")], 1);
}

#[test]
fn a_name_that_is_empty_or_has_a_blank_is_skipped() {
    assert_text(
        b"a: 1\r\n: x\r\nb : 2\r\n c: 3\r\nd\te: 4\r\nf: 5\r\n\r\n",
        &[(b"a", b"1"), (b"f", b"5")],
        4,
    );
    assert_binary(b"\x00\x01x\x02b \x012\x02a:\x013\x01f\x015\0\0", &[(b"f", b"5")], 3);
}

#[test]
fn blanks_around_a_value_go() {
    assert_text(
        b"a:\t  x y \t\r\nb:x\r\nc:\r\nd: \r\n\r\n",
        &[(b"a", b"x y"), (b"b", b"x"), (b"c", b""), (b"d", b"")],
        0,
    );
    assert_binary(b"\x01a\x04 x\t \0\0", &[(b"a", b"x")], 0);
}

#[test]
fn only_the_first_colon_divides() {
    assert_text(b"x-forwarded-six: 2001:db8::5\r\n\r\n", &[(b"x-forwarded-six", b"2001:db8::5")], 0);
}

#[test]
fn lines_may_end_in_lf_alone() {
    assert_text(b"a: 1\nb: 2\n\n", &[(b"a", b"1"), (b"b", b"2")], 0);
}

#[test]
fn a_block_may_end_without_an_empty_line() {
    for end in [&b""[..], b"\r", b"\n", b"\r\n", b"\r\n\r", b"\r\n\r\n"] {
        assert_text(&[b"a: 1", end].concat(), &[(b"a", b"1")], 0);
    }
    assert_binary(b"\x01a\x011", &[(b"a", b"1")], 0);
}

#[test]
fn an_empty_line_ends_the_block() {
    assert_text(b"a: 1\r\n\r\nb: 2\r\n", &[(b"a", b"1")], 0);
    assert_binary(b"\x01a\x011\0\0\x01b\x012", &[(b"a", b"1")], 0);
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let value = b"\x00\x01\x7f\x80\xff\xc3\xa9\rx";
    assert_text(&[b"x-odd: ", &value[..], b"\r\n\r\n"].concat(), &[(b"x-odd", value)], 0);
    assert_binary(&[b"\x05x-odd\x09", &value[..], b"\0\0"].concat(), &[(b"x-odd", value)], 0);
}

#[test]
fn a_folded_line_keeps_its_first_part() {
    assert_text(b"a: 1\r\n more: x\r\n\tmore\r\nb: 2\r\n\r\n", &[(b"a", b"1"), (b"b", b"2")], 2);
}

#[test]
fn a_binary_block_gives_what_comes_before_a_cut() {
    let block = b"\x01a\x011\x01b\x022 ";
    for len in 4..block.len() {
        assert_binary(&block[..len], &[(b"a", b"1")], usize::from(len > 4));
    }
    assert_binary(b"\x01a\x011\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", &[(b"a", b"1")], 1);
}

#[test]
fn an_empty_block_has_no_headers() {
    for block in [&b""[..], b"\r\n", b"\n", b"\r\n\r\n"] {
        assert_text(block, &[], 0);
    }
    assert_binary(b"", &[], 0);
    assert_binary(b"\0\0", &[], 0);
    assert_eq!(Headers::default().iter().count(), 0);
}

#[test]
fn a_string_is_text_and_a_binary_is_binary() {
    let text = Headers::from_typed_data("a: 1\r\n\r\n".into()).unwrap();
    let binary = Headers::from_typed_data((&b"\x01a\x011\0\0"[..]).into()).unwrap();
    assert_eq!(pairs(text), pairs(binary));
    let error = Headers::from_typed_data(7.into()).unwrap_err();
    assert_eq!(error.to_string(), "want headers (STRING or BINARY), got INT32");
    assert!(Option::<Headers<'_>>::from_typed_data(TypedData::Null).unwrap().is_none());
}

#[test]
fn debug_shows_the_headers() {
    assert_eq!(format!("{:?}", Headers::text(b"a: \xff\r\n")), r#"{"a": "\xff"}"#);
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("no byte of a name", |byte| !b" \t\r\n:".contains(byte));
    prop_oneof!["[!#$%&'*+.^_`|~0-9a-z-]{1,12}".prop_map(String::into_bytes), vec(byte, 1..300)]
}

/// No line ends, and no blanks around it.
fn value() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>().prop_filter("ends the line", |&byte| byte != b'\n' && byte != b'\r'), 0..300)
        .prop_map(|value| trim(&value).to_vec())
}

fn some_headers() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    vec((name(), value()), 0..8)
}

/// As HAProxy writes `req.hdrs`.
fn write_text(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let lines = headers.iter().flat_map(|(name, value)| [name, &b": "[..], value, b"\r\n"].concat());
    lines.chain(*b"\r\n").collect()
}

/// As HAProxy writes `req.hdrs_bin`.
fn write_binary(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let strings = headers.iter().flat_map(|(name, value)| [&name[..], value]).chain([&b""[..], b""]);
    let mut out = Vec::new();
    for string in strings {
        out.extend_from_slice(varint::encode(string.len() as u64, &mut [0; varint::MAX_LEN]));
        out.extend_from_slice(string);
    }
    out
}

/// Pieces of blocks, so that most inputs are nearly good.
fn nearly_a_block() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"a: 1\r\n".to_vec()),
        4 => Just(b"\x01a\x011".to_vec()),
        1 => prop::sample::select(&b"\r\n: \t\x00\x01\xf0\xff"[..]).prop_map(|byte| vec![byte]),
        1 => vec(any::<u8>(), 0..9),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_block_is_read_as_it_was_written(headers in some_headers()) {
        let expected: Vec<Pair<'_>> = headers.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let (text, binary) = (write_text(&headers), write_binary(&headers));
        for read in [Headers::text(&text), Headers::binary(&binary)] {
            prop_assert_eq!(pairs(read), &expected[..]);
            prop_assert_eq!(read.skipped(), 0);
            for (name, _) in &expected {
                let Ok(name) = std::str::from_utf8(name) else { continue };
                let upper = name.to_ascii_uppercase();
                let same = expected.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
                prop_assert!(read.get_all(&upper).map(Text::as_bytes).eq(same.map(|&(_, value)| value)));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(block in nearly_a_block()) {
        for headers in [Headers::text(&block), Headers::binary(&block)] {
            for header in headers {
                prop_assert!(!header.name.as_bytes().is_empty());
                prop_assert_eq!(trim(header.value.as_bytes()), header.value.as_bytes());
            }
            prop_assert!(headers.iter().count() + headers.skipped() <= block.len());
        }
    }
}

#[cfg(feature = "http")]
mod header_map {
    use super::*;

    #[test]
    fn it_keeps_every_value_in_order() {
        let (map, left_out) = Headers::text(b"b: 1\r\na: x\r\nB: 2\r\nb: \xff\r\n\r\n").to_header_map();
        assert_eq!(left_out, 0);
        let values: Vec<_> = map.get_all("b").iter().map(|value| value.as_bytes()).collect();
        assert_eq!(values, [&b"1"[..], b"2", b"\xff"]);
        assert_eq!(map["a"], "x");
    }

    #[test]
    fn it_counts_what_it_could_not_take() {
        let block = b"a: 1\r\nb: \x01\r\nc: \x7f\r\nd\x01: 1\r\ne: \rx\r\nno header\r\nf: x\ty\r\n\r\n";
        let (map, left_out) = Headers::text(block).to_header_map();
        assert_eq!((map.len(), left_out), (2, 5));
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes Miri many minutes")]
    fn more_names_than_a_map_holds_are_counted() {
        let block: String = (0..40_000).map(|n| format!("n{n}: x\r\n")).collect();
        let (map, left_out) = Headers::text(block.as_bytes()).to_header_map();
        assert_eq!(map.len() + left_out, 40_000);
        assert!(left_out > 0);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_without_being_counted(block in nearly_a_block()) {
            for headers in [Headers::text(&block), Headers::binary(&block)] {
                let (map, left_out) = headers.to_header_map();
                prop_assert_eq!(map.len() + left_out, headers.iter().count() + headers.skipped());
            }
        }
    }
}
