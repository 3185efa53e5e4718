//! Messages by name.

use std::net::IpAddr;

use serde::Deserialize;

use crate::{One, V4, assert_error, read_args};

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Question {
    CheckRequest { x: u8 },
    Log,
}

#[test]
fn an_enum_takes_the_name_of_the_message() {
    assert_eq!(read_args::<Question>(&[("x", 1.into())]).unwrap(), Question::CheckRequest { x: 1 });
    assert_error::<Question>(
        &[("x", true.into())],
        "message check-request, argument x: want an integer (u8), got BOOL",
    );
}

#[test]
fn a_variant_may_hold_any_type_that_takes_arguments() {
    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Held<T> {
        CheckRequest(T),
    }
    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Unit {
        CheckRequest,
    }

    let args = [("x", 1.into()), ("y", V4.into())];
    assert_eq!(read_args::<Held<One<u8>>>(&args).unwrap(), Held::CheckRequest(One { x: 1 }));
    assert_eq!(read_args::<Held<(u8, IpAddr)>>(&args).unwrap(), Held::CheckRequest((1, V4.into())));
    assert_eq!(read_args::<Unit>(&args).unwrap(), Unit::CheckRequest);
}

#[test]
fn an_unknown_message_is_an_error_without_an_argument() {
    #[derive(Deserialize, Debug)]
    enum Other {
        A,
        B,
    }
    assert_error::<Other>(&[], r#"message check-request: not taken, want one of ["A", "B"]"#);
}

#[test]
fn a_unit_struct_takes_no_arguments() {
    #[derive(Deserialize, Debug, PartialEq)]
    struct Ping;
    assert_eq!(read_args::<Ping>(&[("x", 1.into())]).unwrap(), Ping);
}

#[test]
fn one_value_is_no_message() {
    assert_error::<bool>(&[("x", true.into())], "message check-request: not taken, want a boolean");
}
