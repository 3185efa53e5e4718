//! The value of one variable.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde_core::ser::{Impossible, Serialize, Serializer};

use super::FieldError;
use super::bytes::Bytes;
use crate::frame::{Actions, Scope};
use crate::wire::{OwnedTypedData, ToTypedData, TypedData};

/// Sets one variable.
pub(super) struct ValueSerializer<'a> {
    pub(super) actions: &'a mut Actions,
    pub(super) scope: Scope,
    pub(super) name: &'a str,
}

impl ValueSerializer<'_> {
    pub(super) fn set(self, value: impl ToTypedData) -> Result<(), FieldError> {
        self.actions.set_var(self.scope, self.name, value)?;
        Ok(())
    }
}

const NOT_A_VALUE: &str =
    "want a boolean, an integer, an address, text or bytes: a variable has no fields, elements or fractions";

fn not_a_value<T>() -> Result<T, FieldError> {
    Err(FieldError::new(NOT_A_VALUE))
}

macro_rules! set {
    ($($method:ident($type:ty);)*) => {$(
        fn $method(self, value: $type) -> Result<(), FieldError> {
            self.set(value)
        }
    )*};
}

impl<'a> Serializer for ValueSerializer<'a> {
    type Ok = ();
    type Error = FieldError;
    type SerializeSeq = Bytes<'a>;
    type SerializeTuple = Bytes<'a>;
    type SerializeTupleStruct = Impossible<(), FieldError>;
    type SerializeTupleVariant = Impossible<(), FieldError>;
    type SerializeMap = Impossible<(), FieldError>;
    type SerializeStruct = Impossible<(), FieldError>;
    type SerializeStructVariant = Impossible<(), FieldError>;

    /// So that `std::net` writes addresses as their octets, not as text.
    fn is_human_readable(&self) -> bool {
        false
    }

    set! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_str(&str);
        serialize_bytes(&[u8]);
    }

    fn serialize_char(self, value: char) -> Result<(), FieldError> {
        self.set(&*value.encode_utf8(&mut [0; 4]))
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), FieldError> {
        self.set(value.to_string())
    }

    fn serialize_f32(self, _: f32) -> Result<(), FieldError> {
        not_a_value()
    }

    fn serialize_f64(self, _: f64) -> Result<(), FieldError> {
        not_a_value()
    }

    fn serialize_none(self) -> Result<(), FieldError> {
        self.set(TypedData::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), FieldError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), FieldError> {
        self.set(TypedData::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), FieldError> {
        self.set(TypedData::Null)
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), FieldError> {
        self.set(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), FieldError> {
        value.serialize(self)
    }

    /// `IpAddr` is an enum of the two kinds.
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), FieldError> {
        if name == "IpAddr" { value.serialize(self) } else { not_a_value() }
    }

    /// `Vec<u8>`.
    fn serialize_seq(self, len: Option<usize>) -> Result<Bytes<'a>, FieldError> {
        Ok(Bytes::new(self, len, |bytes: Vec<u8>| OwnedTypedData::Binary(bytes)))
    }

    /// `Ipv4Addr`, `Ipv6Addr` and arrays of bytes.
    fn serialize_tuple(self, len: usize) -> Result<Bytes<'a>, FieldError> {
        Ok(Bytes::new(self, Some(len), |bytes| {
            match (<[u8; 4]>::try_from(&*bytes), <[u8; 16]>::try_from(&*bytes)) {
                (Ok(octets), _) => OwnedTypedData::Ipv4(octets.into()),
                (_, Ok(octets)) => OwnedTypedData::Ipv6(octets.into()),
                _ => OwnedTypedData::Binary(bytes),
            }
        }))
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, FieldError> {
        not_a_value()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, FieldError> {
        not_a_value()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, FieldError> {
        not_a_value()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, FieldError> {
        not_a_value()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, FieldError> {
        not_a_value()
    }
}

/// The text of a map's key: one that is written as a value would be, with a name that cannot be wrong.
pub(super) fn text_of<T: Serialize + ?Sized>(key: &T) -> Result<String, FieldError> {
    let mut actions = Actions::new();
    key.serialize(ValueSerializer { actions: &mut actions, scope: Scope::Transaction, name: "key" })?;
    match actions.iter().next() {
        Some(crate::Action::SetVar { value: TypedData::String(text), .. }) => Ok(text.to_string()),
        _ => Err(FieldError::new("want text for the keys of a map: they are the names of variables")),
    }
}
