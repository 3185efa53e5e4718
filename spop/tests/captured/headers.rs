//! The header blocks that HAProxy sent.

use spop::http::{Header, Headers};
use spop::{OwnedTypedData, Text, TypedData};

use crate::corpus::frames;

/// The value of `name`, in every message of the scenario that has one.
fn blocks(scenario: &str, name: &str) -> Vec<(&'static str, &'static OwnedTypedData)> {
    let frames = frames().filter(|frame| frame.at.contains(scenario));
    let messages = frames.filter_map(|frame| Some((&*frame.at, frame.messages()?)));
    let args = messages.flat_map(|(at, messages)| {
        messages.iter().flat_map(move |(_, args)| args.iter().map(move |arg| (at, arg)))
    });
    args.filter(|(_, (arg, _))| arg == name).map(|(at, (_, value))| (at, value)).collect()
}

fn headers(value: &OwnedTypedData) -> Vec<Header<'_>> {
    let headers = match TypedData::from(value) {
        TypedData::String(text) => Headers::text(text.as_bytes()),
        TypedData::Binary(bytes) => Headers::binary(bytes),
        other => panic!("no headers: {other:?}"),
    };
    assert_eq!(headers.skipped(), 0);
    headers.iter().collect()
}

#[test]
fn text_and_binary_hold_the_same_headers() {
    for scenario in ["types-http-request", "types-http-response"] {
        let (text, binary) = (blocks(scenario, "hdrs"), blocks(scenario, "hdrs_bin"));
        assert_eq!(text.len(), 4, "one of each version");
        for ((at, text), (_, binary)) in text.into_iter().zip(binary) {
            assert!(headers(text).len() >= 4, "{at}");
            assert_eq!(headers(text), headers(binary), "{at}");
        }
    }
}

#[test]
fn a_request_has_the_headers_that_the_client_sent() {
    for (at, value) in blocks("types-http-request", "hdrs") {
        let names: Vec<_> = headers(value).iter().map(|header| header.name.to_string()).collect();
        assert_eq!(
            names,
            [
                "host",
                "user-agent",
                "cookie",
                "x-forwarded-for",
                "x-forwarded-six",
                "x-num",
                "x-neg",
                "content-type",
                "content-length"
            ],
            "{at}"
        );
        let six = headers(value)[4].value;
        assert_eq!(six, "2001:db8::5", "{at}");
    }
}

#[test]
fn a_long_binary_block_is_read_to_its_end() {
    let blocks = blocks("headers-large", "bin");
    assert_eq!(blocks.len(), 4, "one of each version");
    for (at, value) in blocks {
        let total: usize = headers(value).iter().map(|header| header.value.as_bytes().len()).sum();
        assert!(total > 4_000, "{at}: {total} bytes");
    }
}

/// What HAProxy 2.6.12, 3.0.11, 3.2.26 and 3.4.7 all sent as `req.hdrs` for a request that had, among other things,
/// blanks around a value, a value on three lines, and a line that ended in LF alone.
const ODD_TEXT: &[u8] =
    b"host: example.org\r\nuser-agent: GPTBot/1.0\r\nuser-agent: Mozilla/5.0\r\ncookie: a=1\r\n\
    x-odd: \x01\x7f\x80\xff\tx\r\nx-text: caf\xc3\xa9\r\ncookie: b=2\r\nx-empty: \r\nx-colon: 2001:db8::5\r\n\
    x-folded: one    two  \tthree\r\nx-lf: x\r\nx-!#$%&'*+.^_`|~9: token\r\n\r\n";

/// The same as `req.hdrs_bin`.
const ODD_BINARY: &[u8] = b"\x04host\x0bexample.org\nuser-agent\nGPTBot/1.0\nuser-agent\x0bMozilla/5.0\x06cookie\x03a=1\
    \x05x-odd\x06\x01\x7f\x80\xff\tx\x06x-text\x05caf\xc3\xa9\x06cookie\x03b=2\x07x-empty\x00\x07x-colon\x0b2001:db8::5\
    \x08x-folded\x12one    two  \tthree\x04x-lf\x01x\x11x-!#$%&'*+.^_`|~9\x05token\x00\x00";

#[test]
fn odd_headers_are_read_whole() {
    let odd = Headers::text(ODD_TEXT);
    assert!(odd.iter().eq(Headers::binary(ODD_BINARY)));
    assert_eq!((odd.iter().count(), odd.skipped()), (12, 0));
    assert!(odd.get_all("User-Agent").eq(["GPTBot/1.0", "Mozilla/5.0"].map(Text::from)));
    assert!(odd.get_all("cookie").eq(["a=1", "b=2"].map(Text::from)));
    assert_eq!(odd.get("x-odd").unwrap().as_bytes(), b"\x01\x7f\x80\xff\tx");
    assert_eq!(odd.get("x-empty").unwrap(), "");
    assert_eq!(odd.get("x-folded").unwrap(), "one    two  \tthree");
}
