//! Variables from types that derive serde's `Serialize`: the cargo feature `serde`.

mod bytes;
mod value;

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;

use serde_core::ser::{self, Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};
use value::ValueSerializer;

use crate::frame::VarError;
use crate::frame::{Actions, Scope};

impl Actions {
    /// Sets a variable for each field of a type of yours that derives serde's `Serialize`: a struct, or a map with text
    /// for keys. Needs the cargo feature `serde`.
    ///
    /// ```
    /// use serde::Serialize;
    /// use spop::{Actions, Scope};
    /// use std::net::IpAddr;
    ///
    /// #[derive(Serialize)]
    /// struct Verdict<'a> {
    ///     user: Option<&'a str>, // None unsets the variable
    ///     ip: IpAddr,
    ///     #[serde(rename = "ip_score")]
    ///     score: u8,
    /// }
    ///
    /// let verdict = Verdict { user: Some("ann"), ip: [192, 0, 2, 1].into(), score: 50 };
    /// let actions = Actions::new().set_fields(Scope::Transaction, &verdict)?;
    /// assert_eq!(actions.to_string(), r#"txn.user="ann" txn.ip=192.0.2.1 txn.ip_score=50"#);
    /// # Ok::<(), spop::FieldError>(())
    /// ```
    ///
    /// A value may be all that [`ToTypedData`](crate::ToTypedData) is for, a `char`, or an enum without data, which is
    /// the text of its variant. Four bytes in an array are an IPV4 and sixteen an IPV6, as serde makes no difference
    /// between them; wrap others in a `Vec`, or with `serde_bytes`, for BINARY.
    ///
    /// # Errors
    /// Names the field, and says why it cannot be a variable: HAProxy has no such name, or SPOP no such value.
    pub fn set_fields<T: Serialize + ?Sized>(mut self, scope: Scope, fields: &T) -> Result<Self, FieldError> {
        fields.serialize(Fields { actions: &mut self, scope, name: None })?;
        Ok(self)
    }
}

/// A field that cannot be a variable: see [`Actions::set_fields`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Empty if the type as a whole is meant.
    field: Box<str>,
    why: Box<str>,
}

impl FieldError {
    #[cold]
    fn new(why: impl fmt::Display) -> Self {
        Self { field: Box::default(), why: why.to_string().into() }
    }

    #[cold]
    fn of(self, field: &str) -> Self {
        Self { field: field.into(), ..self }
    }

    /// The name of the field; empty if it is the type as a whole that does not make variables.
    pub fn field(&self) -> &str {
        &self.field
    }
}

impl From<VarError> for FieldError {
    fn from(error: VarError) -> Self {
        Self::new(error.kind())
    }
}

impl ser::Error for FieldError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.field {
            "" => f.write_str(&self.why),
            field => write!(f, "variable {field}: {}", self.why),
        }
    }
}

impl core::error::Error for FieldError {}

/// A struct or map, field by field.
struct Fields<'a> {
    actions: &'a mut Actions,
    scope: Scope,
    /// The key of a map, until its value comes.
    name: Option<String>,
}

impl Fields<'_> {
    fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), FieldError> {
        let variable = ValueSerializer { actions: self.actions, scope: self.scope, name };
        value.serialize(variable).map_err(|error| error.of(name))
    }
}

const NOT_FIELDS: &str = "want a struct or a map: one variable for each field";

macro_rules! refuse {
    ($($method:ident($($type:ty),*) $(-> $ok:ty)?;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<refuse!(@ok $($ok)?), FieldError> {
            Err(FieldError::new(NOT_FIELDS))
        }
    )*};
    (@ok) => { () };
    (@ok $ok:ty) => { $ok };
}

impl Serializer for Fields<'_> {
    type Ok = ();
    type Error = FieldError;
    type SerializeSeq = Impossible<(), FieldError>;
    type SerializeTuple = Impossible<(), FieldError>;
    type SerializeTupleStruct = Impossible<(), FieldError>;
    type SerializeTupleVariant = Impossible<(), FieldError>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    fn is_human_readable(&self) -> bool {
        false
    }

    refuse! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<(), FieldError> {
        Err(FieldError::new(NOT_FIELDS))
    }

    /// No variables.
    fn serialize_none(self) -> Result<(), FieldError> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), FieldError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), FieldError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), FieldError> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), FieldError> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), FieldError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), FieldError> {
        value.serialize(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, FieldError> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, FieldError> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, FieldError> {
        Ok(self)
    }
}

impl SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = FieldError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), FieldError> {
        self.set(name, value)
    }

    fn end(self) -> Result<(), FieldError> {
        Ok(())
    }
}

impl ser::SerializeStructVariant for Fields<'_> {
    type Ok = ();
    type Error = FieldError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), FieldError> {
        self.set(name, value)
    }

    fn end(self) -> Result<(), FieldError> {
        Ok(())
    }
}

impl SerializeMap for Fields<'_> {
    type Ok = ();
    type Error = FieldError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), FieldError> {
        self.name = Some(value::text_of(key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), FieldError> {
        let name = self.name.take().unwrap_or_default();
        self.set(&name, value)
    }

    fn end(self) -> Result<(), FieldError> {
        Ok(())
    }
}
