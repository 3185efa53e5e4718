//! Which value a field takes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Deserialize;
use spop::http::Headers;
use spop::{ArgErrorKind, DataType, FromTypedData, Text, TypedData};

use crate::{One, V4, V6, assert_error, field, notify, read, read_args};

#[derive(Deserialize)]
struct Borrowed<'a> {
    text: &'a str,
    bytes: &'a [u8],
    text_as_bytes: &'a [u8],
    maybe: Option<&'a str>,
    raw: Text<'a>,
    any: TypedData<'a>,
    #[serde(borrow)]
    hdrs: Headers<'a>,
    #[serde(borrow)]
    hdrs_bin: Headers<'a>,
    src: IpAddr,
    port: u16,
}

#[test]
fn what_borrows_points_into_the_frame_and_allocates_nothing() {
    let notify = notify(&[
        ("text", "é".into()),
        ("bytes", (&b"\0\xff"[..]).into()),
        ("text_as_bytes", Text::new(b"\xff").into()),
        ("maybe", "yes".into()),
        ("raw", Text::new(b"\xfe").into()),
        ("any", (-7i64).into()),
        ("hdrs", "host: a\r\n\r\n".into()),
        ("hdrs_bin", (&b"\x04host\x01b\0\0"[..]).into()),
        ("src", V6.into()),
        ("port", 4711i64.into()),
        ("not-asked-for", V4.into()),
    ]);
    let measured = allocation_counter::measure(|| {
        let all: Borrowed<'_> = read(&notify).unwrap();
        assert_eq!((all.text, all.bytes, all.text_as_bytes), ("é", &b"\0\xff"[..], &b"\xff"[..]));
        assert_eq!((all.maybe, all.raw), (Some("yes"), Text::new(b"\xfe")));
        assert_eq!(all.any, TypedData::Int64(-7));
        assert_eq!(all.hdrs.get("host").unwrap(), "a");
        assert_eq!(all.hdrs_bin.get("host").unwrap(), "b");
        assert_eq!((all.src, all.port), (V6.into(), 4711));
    });
    assert_eq!(measured.count_total, 0);
}

#[test]
fn addresses_come_from_ipv4_and_ipv6() {
    assert_eq!(field::<IpAddr>(V4).unwrap(), V4);
    assert_eq!(field::<IpAddr>(V6).unwrap(), V6);
    assert_eq!(field::<Ipv4Addr>(V4).unwrap(), V4);
    assert_eq!(field::<Ipv6Addr>(V6).unwrap(), V6);
    assert!(field::<Ipv4Addr>(V6).is_err());
    assert!(field::<Ipv6Addr>(V4).is_err());
}

#[test]
fn addresses_do_not_come_from_text_or_bytes() {
    for value in ["192.0.2.1", "abcd", "0123456789abcdef", "V4"] {
        assert!(field::<IpAddr>(value).is_err());
        assert!(field::<Ipv4Addr>(value).is_err());
        assert!(field::<Ipv6Addr>(value).is_err());
    }
    assert_error::<One<IpAddr>>(
        &[("x", "192.0.2.1".into())],
        "message check-request, argument x: want IPV4 or IPV6, got STRING",
    );
}

#[test]
fn every_wire_integer_fits_or_is_an_error() {
    for value in [TypedData::Int32(200), 200u32.into(), 200i64.into(), 200u64.into()] {
        let args = [("x", value)];
        assert_eq!(read_args::<One<u8>>(&args).unwrap().x, 200);
        assert_eq!(read_args::<One<i64>>(&args).unwrap().x, 200);
        assert_eq!(read_args::<One<usize>>(&args).unwrap().x, 200);
        assert_eq!(read_args::<One<i128>>(&args).unwrap().x, 200);
        assert_error::<One<i8>>(&args, "message check-request, argument x: does not fit i8");
    }
    assert_eq!(field::<u64>(-1i64).unwrap_err().kind(), ArgErrorKind::OutOfRange { want: "u64" });
    assert_eq!(field::<u64>(u64::MAX).unwrap(), u64::MAX);
    assert_eq!(field::<i64>(i64::MIN).unwrap(), i64::MIN);
}

#[test]
fn text_must_be_utf_8() {
    assert_eq!(field::<String>("é").unwrap(), "é");
    assert_eq!(field::<String>(Text::new(b"\xff")).unwrap_err().kind(), ArgErrorKind::NotUtf8);
    assert!(field::<String>(&b"bytes"[..]).is_err());
    assert_eq!(field::<char>("é").unwrap(), 'é');
}

#[test]
fn a_byte_vector_takes_binary_and_string() {
    assert_eq!(field::<Vec<u8>>(&b"\0\xff"[..]).unwrap(), b"\0\xff");
    assert_eq!(field::<Vec<u8>>("text").unwrap(), b"text");
    assert_eq!(field::<serde_bytes::ByteBuf>(&b"\0\xff"[..]).unwrap(), b"\0\xff");
    assert_eq!(field::<serde_bytes::ByteArray<2>>(&b"\0\xff"[..]).unwrap(), *b"\0\xff");
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Post,
    #[serde(other)]
    Other,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Strict {
    TheOne,
    TheOther,
}

#[test]
fn an_enum_without_data_is_named_by_a_string() {
    assert_eq!(field::<Method>("POST").unwrap(), Method::Post);
    assert_eq!(field::<Method>("BREW").unwrap(), Method::Other);
    assert_eq!(field::<Strict>("the-other").unwrap(), Strict::TheOther);
    assert_error::<One<Strict>>(
        &[("x", "neither".into())],
        r#"message check-request, argument x: not taken, want one of ["the-one", "the-other"]"#,
    );
    let error = field::<Strict>(7).unwrap_err();
    assert_eq!(error.kind(), ArgErrorKind::WrongType { want: "STRING", got: DataType::Int32 });
}

#[test]
fn newtypes_are_transparent() {
    #[derive(Deserialize, Debug, PartialEq)]
    struct Port(u16);

    assert_eq!(field::<Port>(4711).unwrap(), Port(4711));
    assert_eq!(field::<Option<Port>>(TypedData::Null).unwrap(), None);
}

#[test]
fn what_asks_for_no_type_gets_any() {
    let values = [
        ("null", TypedData::Null),
        ("flag", true.into()),
        ("number", (-7i64).into()),
        ("big", u64::MAX.into()),
        ("address", V4.into()),
        ("text", "é".into()),
    ];
    let json: serde_json::Value = read_args(&values).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "null": null, "flag": true, "number": -7, "big": u64::MAX, "address": "192.0.2.1", "text": "é",
        })
    );
}

#[test]
fn a_value_is_no_struct() {
    assert_error::<One<One<bool>>>(
        &[("x", true.into())],
        "message check-request, argument x: not taken, want struct One",
    );
}

#[test]
fn headers_come_from_text_or_binary_alone() {
    let error = read::<One<Headers<'_>>>(&notify(&[("x", 7.into())])).map(|_| ()).unwrap_err();
    let want = Headers::WANT;
    assert_eq!(error.kind(), ArgErrorKind::WrongType { want, got: DataType::Int32 });
    let error = read::<One<Text<'_>>>(&notify(&[("x", (&b""[..]).into())])).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ArgErrorKind::WrongType { want: "STRING", got: DataType::Binary });
}
