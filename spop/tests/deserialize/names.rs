//! Arguments by name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use spop::{ArgErrorKind, TypedData};

use crate::{One, V4, V6, assert_error, notify, read, read_args};

#[derive(Deserialize, Debug, PartialEq)]
struct Request {
    #[serde(rename = "src-port", alias = "sport")]
    port: u16,
    #[serde(default)]
    limit: u32,
    query: Option<String>,
}

#[test]
fn missing_and_null_are_none() {
    for args in [&[("src-port", 1.into())][..], &[("src-port", 1.into()), ("query", TypedData::Null)]] {
        assert_eq!(read_args::<Request>(args).unwrap(), Request { port: 1, limit: 0, query: None });
    }
}

#[test]
fn the_first_of_a_name_counts() {
    let args = [("src-port", 1.into()), ("query", "a".into()), ("src-port", 2.into()), ("query", 3.into())];
    assert_eq!(read_args::<Request>(&args).unwrap(), Request { port: 1, limit: 0, query: Some("a".into()) });
}

#[test]
fn two_names_of_one_field_are_an_error() {
    assert_error::<Request>(
        &[("src-port", 1.into()), ("sport", 2.into())],
        "message check-request, argument src-port: not taken, given under two names",
    );
}

#[test]
fn a_missing_argument_is_named() {
    let error = read_args::<Request>(&[]).unwrap_err();
    assert_eq!((error.arg(), error.kind()), ("src-port", ArgErrorKind::Missing));
    assert_eq!(error.message(), "check-request");
}

#[test]
fn null_is_no_value_unless_asked_for() {
    assert_error::<Request>(
        &[("src-port", TypedData::Null)],
        "message check-request, argument src-port: want an integer (u16), got NULL",
    );
    assert_error::<Request>(
        &[("src-port", 1.into()), ("limit", TypedData::Null)],
        "message check-request, argument limit: want an integer (u32), got NULL",
    );
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read by serde")]
struct Strict {
    a: u8,
}

#[test]
fn unknown_arguments_are_ignored_unless_denied() {
    assert_eq!(read_args::<One<u8>>(&[("x", 1.into()), ("y", 2.into()), ("", 3.into())]).unwrap().x, 1);
    assert_error::<Strict>(
        &[("a", 1.into()), ("b", 2.into())],
        "message check-request, argument b: not known",
    );
    assert_error::<Strict>(
        &[("a", 1.into()), ("", 2.into())],
        "message check-request, argument #1: not known",
    );
}

#[test]
fn a_map_takes_all_arguments() {
    let notify = notify(&[("a", 1.into()), ("", true.into()), ("b", V4.into()), ("a", 2.into())]);
    let map: BTreeMap<&str, TypedData<'_>> = read(&notify).unwrap();
    assert_eq!(map, BTreeMap::from([("a", 1.into()), ("", true.into()), ("b", V4.into())]));
}

#[test]
fn flattened_structs_find_their_arguments() {
    #[derive(Deserialize, Debug, PartialEq)]
    struct Outer {
        #[serde(flatten)]
        inner: One<u8>,
        src: IpAddr,
        #[serde(flatten)]
        rest: BTreeMap<String, IpAddr>,
    }

    let args = [("src", V4.into()), ("x", 1.into()), ("dst", V6.into())];
    let outer: Outer = read_args(&args).unwrap();
    assert_eq!(
        outer,
        Outer { inner: One { x: 1 }, src: V4.into(), rest: [("dst".into(), V6.into())].into() }
    );
}

#[test]
fn an_error_of_the_field_itself_names_the_argument() {
    #[derive(Deserialize, Debug)]
    #[serde(try_from = "u16")]
    struct Even(#[allow(dead_code, reason = "read by serde")] u16);
    impl TryFrom<u16> for Even {
        type Error = &'static str;
        fn try_from(number: u16) -> Result<Self, Self::Error> {
            if number.is_multiple_of(2) { Ok(Self(number)) } else { Err("odd") }
        }
    }

    assert_error::<One<Even>>(&[("x", 7.into())], "message check-request, argument x: not taken, odd");
}
