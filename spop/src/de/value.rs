//! The value of an argument for serde: each type takes what the getters take for it.

use alloc::string::ToString;
use core::iter::once;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_core::de::value::{
    BorrowedStrDeserializer, MapAccessDeserializer, MapDeserializer, SeqDeserializer,
};
use serde_core::de::{Deserializer, IntoDeserializer, Visitor};
use serde_core::forward_to_deserialize_any;

use super::Error;
use super::types::{HEADERS, TEXT, TYPED_DATA};
use crate::http::Headers;
use crate::wire::{ArgErrorKind, FromTypedData, Text, TypedData};

/// `None` for an argument that is not there.
#[derive(Clone, Copy)]
pub(super) struct ValueDeserializer<'de> {
    value: Option<TypedData<'de>>,
}

impl<'de> ValueDeserializer<'de> {
    pub(super) fn new(value: Option<TypedData<'de>>) -> Self {
        Self { value }
    }

    fn get<T: FromTypedData<'de>>(&self) -> Result<T, Error> {
        Ok(T::from_typed_data(self.value.ok_or(ArgErrorKind::Missing)?)?)
    }

    /// An enum whose variant is the type of the value, which must be one that is a `T`.
    fn by_type<T: FromTypedData<'de>, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.get::<T>()?;
        let value: TypedData<'_> = self.get()?;
        self.by_index(value.data_type() as u8, visitor)
    }

    /// An enum of this variant that holds the value.
    fn by_index<V: Visitor<'de>>(self, variant: u8, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(once((variant, self)))))
    }
}

fn visit_octets<'de, V: Visitor<'de>>(octets: &[u8], visitor: V) -> Result<V::Value, Error> {
    visitor.visit_seq(SeqDeserializer::new(octets.iter().copied()))
}

macro_rules! as_the_getters_do {
    ($($deserialize:ident => $visit:ident($type:ty);)*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit(self.get::<$type>()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for ValueDeserializer<'de> {
    type Error = Error;

    /// So that `std::net` reads addresses from their octets, not from text.
    fn is_human_readable(&self) -> bool {
        false
    }

    as_the_getters_do! {
        deserialize_bool => visit_bool(bool);
        deserialize_i8 => visit_i8(i8);
        deserialize_i16 => visit_i16(i16);
        deserialize_i32 => visit_i32(i32);
        deserialize_i64 => visit_i64(i64);
        deserialize_u8 => visit_u8(u8);
        deserialize_u16 => visit_u16(u16);
        deserialize_u32 => visit_u32(u32);
        deserialize_u64 => visit_u64(u64);
        deserialize_str => visit_borrowed_str(&str);
        deserialize_string => visit_borrowed_str(&str);
        deserialize_char => visit_borrowed_str(&str);
        deserialize_bytes => visit_borrowed_bytes(&[u8]);
        deserialize_byte_buf => visit_borrowed_bytes(&[u8]);
    }

    /// For types that take any: an address is text to them.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.get()? {
            TypedData::Null => visitor.visit_unit(),
            TypedData::Bool(value) => visitor.visit_bool(value),
            TypedData::Int32(value) => visitor.visit_i32(value),
            TypedData::Uint32(value) => visitor.visit_u32(value),
            TypedData::Int64(value) => visitor.visit_i64(value),
            TypedData::Uint64(value) => visitor.visit_u64(value),
            TypedData::Ipv4(address) => visitor.visit_str(&address.to_string()),
            TypedData::Ipv6(address) => visitor.visit_str(&address.to_string()),
            TypedData::String(text) => match text.to_str() {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => visitor.visit_borrowed_bytes(text.as_bytes()),
            },
            TypedData::Binary(bytes) => visitor.visit_borrowed_bytes(bytes),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            None | Some(TypedData::Null) => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// `Vec<u8>`.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visit_octets(self.get()?, visitor)
    }

    /// `Ipv4Addr` and `Ipv6Addr`.
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        match len {
            4 => visit_octets(&self.get::<Ipv4Addr>()?.octets(), visitor),
            16 => visit_octets(&self.get::<Ipv6Addr>()?.octets(), visitor),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match (name, variants) {
            ("IpAddr", ["V4", "V6"]) => self.by_index(self.get::<IpAddr>()?.is_ipv6().into(), visitor),
            (TYPED_DATA, _) => self.by_type::<TypedData<'_>, V>(visitor),
            (TEXT, _) => self.by_type::<Text<'_>, V>(visitor),
            (HEADERS, _) => self.by_type::<Headers<'_>, V>(visitor),
            _ => visitor.visit_enum(BorrowedStrDeserializer::new(self.get()?)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 unit unit_struct tuple_struct map struct identifier
    }
}

impl<'de> IntoDeserializer<'de, Error> for ValueDeserializer<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
