//! Looks at everything there is in a frame, to find out whether any of it panics or never ends.

use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spop::{
    Ack, ArgError, DecodeError, Frame, FromTypedData, Message, Notify, ProtocolError, Text, TypedData,
};

/// Parses `frame` and walks what comes of it. Returns whether it is a frame.
pub(crate) fn frame(frame: &[u8]) -> bool {
    match Frame::parse(frame) {
        Ok(parsed) => {
            match &parsed {
                Frame::Notify(notify) => walk_notify(notify),
                Frame::Ack(ack) => walk_ack(ack),
                Frame::Unset(raw) | Frame::NotifyFragment(raw) | Frame::Unknown(raw) => {
                    assert!(raw.payload().len() < frame.len());
                }
                other => show(format_args!("{other:?}")),
            }
            show(format_args!("{} {:?}", parsed.frame_type(), parsed.frame_type()));
            true
        }
        Err(error) => {
            decode_error(&error, frame.len());
            false
        }
    }
}

/// Walks messages, arguments and getters.
pub(crate) fn walk_notify<B: AsRef<[u8]>>(notify: &Notify<B>) {
    let mut left = notify.messages().len();
    for message in notify.messages() {
        left -= 1;
        walk_message(&message);
    }
    assert_eq!(left, 0, "as many messages as announced");
}

fn walk_message(message: &Message<'_>) {
    show(format_args!("{} {:?}", message.name(), message.name()));
    let count = message.args().len();
    let mut left = count;
    for (index, arg) in message.args().enumerate() {
        left -= 1;
        show(format_args!("{} {:?}", arg.name, arg.value));
        conversions(arg.value);
        // Getters start at the first argument each time: for 255 arguments the first and last ones must do.
        if index < 3 || index + 3 > count {
            assert_eq!(message.nth::<TypedData<'_>>(index).expect("it is there"), arg.value);
            let _ = message.nth::<bool>(index).map_err(arg_error);
            if let Ok(name) = arg.name.to_str() {
                message.get::<TypedData<'_>>(name).expect("the first of this name");
            }
        }
    }
    assert_eq!(left, 0, "as many arguments as announced");
    arg_error(message.nth::<bool>(count).expect_err("one past the last"));
}

/// Exactly the types that fit give a value.
fn conversions(value: TypedData<'_>) {
    fn ok<'a, T: FromTypedData<'a>>(value: TypedData<'a>) -> bool {
        T::from_typed_data(value).map_err(|kind| show(format_args!("{kind}"))).is_ok()
    }
    let wide = match value {
        TypedData::Int32(value) => Some(i128::from(value)),
        TypedData::Uint32(value) => Some(i128::from(value)),
        TypedData::Int64(value) => Some(i128::from(value)),
        TypedData::Uint64(value) => Some(i128::from(value)),
        _ => None,
    };
    let fits = |range: std::ops::RangeInclusive<i128>| wide.is_some_and(|wide| range.contains(&wide));
    let (null, flag) = (value == TypedData::Null, matches!(value, TypedData::Bool(_)));
    let (v4, v6) = (matches!(value, TypedData::Ipv4(_)), matches!(value, TypedData::Ipv6(_)));
    let (text, binary) = (matches!(value, TypedData::String(_)), matches!(value, TypedData::Binary(_)));
    let utf8 = matches!(value, TypedData::String(text) if text.to_str().is_ok());
    assert_eq!(ok::<bool>(value), flag);
    assert_eq!(ok::<u8>(value), fits(0..=255));
    assert_eq!(ok::<i32>(value), fits(i32::MIN.into()..=i32::MAX.into()));
    assert_eq!(ok::<u64>(value), fits(0..=u64::MAX.into()));
    assert_eq!(ok::<i64>(value), fits(i64::MIN.into()..=i64::MAX.into()));
    assert_eq!(ok::<Ipv4Addr>(value), v4);
    assert_eq!(ok::<Ipv6Addr>(value), v6);
    assert_eq!(ok::<IpAddr>(value), v4 || v6);
    assert_eq!(ok::<Text<'_>>(value), text);
    assert_eq!(ok::<&[u8]>(value), text || binary);
    assert_eq!(ok::<&str>(value), utf8);
    assert_eq!(ok::<Option<bool>>(value), null || flag);
}

pub(crate) fn walk_ack<B: AsRef<[u8]>>(ack: &Ack<B>) {
    for action in ack.actions() {
        show(format_args!("{action:?}"));
    }
}

fn arg_error(error: ArgError) {
    show(format_args!("{error} {error:?} {} {}", error.message(), error.arg()));
}

/// Looks at an error of a frame of `len` bytes.
pub(crate) fn decode_error(error: &DecodeError, len: usize) {
    assert!(error.offset() <= len, "{error}: past the {len} bytes of the frame");
    show(format_args!("{error} {error:?} {} {:?}", error.status(), error.status()));
}

/// Looks at an error of a connection that was given frames of at most `len` bytes.
pub(crate) fn protocol_error(error: &ProtocolError, len: usize) {
    if let ProtocolError::Decode(error) = error {
        decode_error(error, len);
    }
    show(format_args!("{error} {error:?} {}", error.status()));
}

/// Formats into nothing.
pub(crate) fn show(what: fmt::Arguments<'_>) {
    struct Nowhere;
    impl Write for Nowhere {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            Ok(())
        }
    }
    Nowhere.write_fmt(what).expect("nothing that fails to format");
}
