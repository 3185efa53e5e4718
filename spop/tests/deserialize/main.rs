//! Messages into types that derive `Deserialize`.

mod fields;
mod messages;
mod names;
mod positions;

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::BytesMut;
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use spop::{
    ArgError, FromTypedData, LENGTH_PREFIX, Notify, NotifyId, NotifyWriter, OwnedTypedData, Text, TypedData,
};

const V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 5);

/// A NOTIFY with the message "check-request".
fn notify(args: &[(&str, TypedData<'_>)]) -> Notify<Vec<u8>> {
    let mut out = BytesMut::new();
    let mut notify = NotifyWriter::new(NotifyId { stream_id: 1, frame_id: 1 }, 1 << 20, &mut out);
    notify.message("check-request").unwrap();
    for &(name, value) in args {
        notify.arg(name, value).unwrap();
    }
    notify.finish();
    Notify::parse(out[LENGTH_PREFIX..].to_vec()).unwrap()
}

fn read<'a, T: Deserialize<'a>>(notify: &'a Notify<Vec<u8>>) -> Result<T, ArgError> {
    notify.messages().next().unwrap().deserialize()
}

/// Reads a type that borrows nothing from these arguments.
fn read_args<T: DeserializeOwned>(args: &[(&str, TypedData<'_>)]) -> Result<T, ArgError> {
    read(&notify(args))
}

#[track_caller]
fn assert_error<T: DeserializeOwned + Debug>(args: &[(&str, TypedData<'_>)], text: &str) {
    assert_eq!(read_args::<T>(args).unwrap_err().to_string(), text);
}

#[derive(Deserialize, Debug, PartialEq)]
struct One<T> {
    x: T,
}

/// What a field of type `T` called "x" takes from `value`.
fn field<T: DeserializeOwned>(value: impl Into<TypedData<'static>>) -> Result<T, ArgError> {
    read_args::<One<T>>(&[("x", value.into())]).map(|one| one.x)
}

fn value() -> impl Strategy<Value = OwnedTypedData> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        Just(OwnedTypedData::Null),
        any::<bool>().prop_map(OwnedTypedData::Bool),
        any::<i32>().prop_map(OwnedTypedData::Int32),
        any::<u32>().prop_map(OwnedTypedData::Uint32),
        any::<i64>().prop_map(OwnedTypedData::Int64),
        any::<u64>().prop_map(OwnedTypedData::Uint64),
        any::<i8>().prop_map(|small| OwnedTypedData::Int64(small.into())),
        any::<[u8; 4]>().prop_map(|octets| OwnedTypedData::Ipv4(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| OwnedTypedData::Ipv6(octets.into())),
        bytes().prop_map(OwnedTypedData::String),
        "\\PC{0,9}".prop_map(|text| OwnedTypedData::String(text.into_bytes())),
        bytes().prop_map(OwnedTypedData::Binary),
    ]
}

fn assert_like_get<'a, T>(notify: &'a Notify<Vec<u8>>)
where
    T: Deserialize<'a> + FromTypedData<'a> + PartialEq + Debug,
{
    let message = notify.messages().next().unwrap();
    assert_eq!(message.deserialize().map(|One::<T> { x }| x), message.get("x"));
    assert_eq!(message.deserialize().map(|(x,): (T,)| x), message.nth(0));
}

proptest! {
    #[test]
    fn a_field_takes_what_get_gives(value in value()) {
        let notify = notify(&[("x", (&value).into())]);
        assert_like_get::<bool>(&notify);
        assert_like_get::<u8>(&notify);
        assert_like_get::<u16>(&notify);
        assert_like_get::<u32>(&notify);
        assert_like_get::<u64>(&notify);
        assert_like_get::<i8>(&notify);
        assert_like_get::<i16>(&notify);
        assert_like_get::<i32>(&notify);
        assert_like_get::<i64>(&notify);
        assert_like_get::<Ipv4Addr>(&notify);
        assert_like_get::<Ipv6Addr>(&notify);
        assert_like_get::<IpAddr>(&notify);
        assert_like_get::<&str>(&notify);
        assert_like_get::<String>(&notify);
        assert_like_get::<&[u8]>(&notify);
        assert_like_get::<Vec<u8>>(&notify);
        assert_like_get::<Text<'_>>(&notify);
        assert_like_get::<TypedData<'_>>(&notify);
        assert_like_get::<Option<IpAddr>>(&notify);
    }
}
