//! Arguments by position.

use std::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;
use spop::TypedData;

use crate::{V4, assert_error, read_args};

#[derive(Deserialize, Debug, PartialEq)]
struct Pair(IpAddr, Option<u16>);

#[derive(Deserialize, Debug, PartialEq)]
struct Single(Option<IpAddr>);

#[test]
fn tuples_take_arguments_in_order_named_or_not() {
    let args = [("", V4.into()), ("port", 4711.into()), ("", true.into())];
    assert_eq!(read_args::<Pair>(&args).unwrap(), Pair(V4.into(), Some(4711)));
    assert_eq!(read_args::<(Ipv4Addr, i64, bool)>(&args).unwrap(), (V4, 4711, true));
    assert_eq!(read_args::<Single>(&args).unwrap(), Single(Some(V4.into())));
    assert_eq!(read_args::<(Ipv4Addr,)>(&args).unwrap(), (V4,));
}

#[test]
fn what_is_not_there_is_none_or_missing() {
    assert_eq!(read_args::<Pair>(&[("", V4.into())]).unwrap(), Pair(V4.into(), None));
    assert_eq!(read_args::<Pair>(&[("", V4.into()), ("", TypedData::Null)]).unwrap(), Pair(V4.into(), None));
    assert_eq!(read_args::<Single>(&[]).unwrap(), Single(None));
    assert_error::<Pair>(&[], "message check-request, argument #0: missing");
    assert_error::<(bool, bool)>(&[("a", true.into())], "message check-request, argument #1: missing");
}

#[test]
fn a_sequence_takes_all_arguments() {
    assert_eq!(read_args::<Vec<u8>>(&[("", 1.into()), ("x", 2.into())]).unwrap(), [1, 2]);
    assert_error::<Vec<u8>>(
        &[("", 1.into()), ("x", 256.into())],
        "message check-request, argument #1: does not fit u8",
    );
}
