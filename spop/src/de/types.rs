//! The crate's own types as fields: enums to serde, whose variant is the type of the value.

use core::fmt;

use serde_core::de::{Deserialize, Deserializer, EnumAccess, Error as _, VariantAccess, Visitor};

use crate::http::Headers;
use crate::wire::{DataType, FromTypedData, Text, TypedData};

/// The names of the enums, by which a [`ValueDeserializer`](super::ValueDeserializer) knows them.
pub(super) const TYPED_DATA: &str = "spop::TypedData";
pub(super) const TEXT: &str = "spop::Text";
pub(super) const HEADERS: &str = "spop::Headers";

/// In the order of their codes.
const TYPES: &[&str] =
    &["NULL", "BOOL", "INT32", "UINT32", "INT64", "UINT64", "IPV4", "IPV6", "STRING", "BINARY"];

fn by_type<'de, T: FromTypedData<'de>, D: Deserializer<'de>>(
    name: &'static str,
    deserializer: D,
) -> Result<T, D::Error> {
    let value = deserializer.deserialize_enum(name, TYPES, TypedDataVisitor)?;
    T::from_typed_data(value).map_err(D::Error::custom)
}

/// For fields of a type that [`Message::deserialize`](crate::Message::deserialize) reads.
impl<'de: 'a, 'a> Deserialize<'de> for TypedData<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_type(TYPED_DATA, deserializer)
    }
}

/// For fields of a type that [`Message::deserialize`](crate::Message::deserialize) reads.
impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_type(TEXT, deserializer)
    }
}

/// For fields of a type that [`Message::deserialize`](crate::Message::deserialize) reads.
impl<'de: 'a, 'a> Deserialize<'de> for Headers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_type(HEADERS, deserializer)
    }
}

struct TypedDataVisitor;

impl<'de> Visitor<'de> for TypedDataVisitor {
    type Value = TypedData<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a SPOP message")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<TypedData<'de>, A::Error> {
        const NULL: u8 = DataType::Null as u8;
        const BOOL: u8 = DataType::Bool as u8;
        const INT32: u8 = DataType::Int32 as u8;
        const UINT32: u8 = DataType::Uint32 as u8;
        const INT64: u8 = DataType::Int64 as u8;
        const UINT64: u8 = DataType::Uint64 as u8;
        const IPV4: u8 = DataType::Ipv4 as u8;
        const IPV6: u8 = DataType::Ipv6 as u8;
        const STRING: u8 = DataType::String as u8;
        const BINARY: u8 = DataType::Binary as u8;

        let (code, value) = data.variant()?;
        Ok(match code {
            NULL => {
                value.unit_variant()?;
                TypedData::Null
            }
            BOOL => TypedData::Bool(value.newtype_variant()?),
            INT32 => TypedData::Int32(value.newtype_variant()?),
            UINT32 => TypedData::Uint32(value.newtype_variant()?),
            INT64 => TypedData::Int64(value.newtype_variant()?),
            UINT64 => TypedData::Uint64(value.newtype_variant()?),
            IPV4 => TypedData::Ipv4(value.newtype_variant()?),
            IPV6 => TypedData::Ipv6(value.newtype_variant()?),
            STRING => TypedData::String(Text::new(value.newtype_variant()?)),
            BINARY => TypedData::Binary(value.newtype_variant()?),
            _ => return Err(A::Error::custom("no such type of a value")),
        })
    }
}
