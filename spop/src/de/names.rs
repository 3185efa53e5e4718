//! The names of the arguments that a type takes, without a message.

use core::fmt;

use serde_core::de::{self, Deserialize, Deserializer, Visitor};
use serde_core::forward_to_deserialize_any;

/// The names of the arguments that [`Message::deserialize`](crate::Message::deserialize) reads for a struct, in the
/// order of its fields; `None` for a type that takes arguments by position, or any. Needs the cargo feature `serde`.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct CheckRequest {
///     #[serde(rename = "src")]
///     ip: std::net::IpAddr,
///     path: String,
/// }
///
/// assert_eq!(spop::field_names::<CheckRequest>(), Some(&["src", "path"][..]));
/// # let _ = |request: CheckRequest| (request.ip, request.path);
/// ```
pub fn field_names<'de, T: Deserialize<'de>>() -> Option<&'static [&'static str]> {
    match T::deserialize(Asks) {
        Err(Names(names)) => names,
        Ok(_) => None,
    }
}

/// A deserializer that has nothing, and wants to know what it is asked for.
struct Asks;

/// Says what was asked for, as an error: that ends it.
#[derive(Debug)]
struct Names(Option<&'static [&'static str]>);

impl<'de> Deserializer<'de> for Asks {
    type Error = Names;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Names> {
        Err(Names(None))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Names> {
        Err(Names(Some(fields)))
    }

    /// It stands for what it holds.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Names> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl de::Error for Names {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(None)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no message to read")
    }
}

impl core::error::Error for Names {}
