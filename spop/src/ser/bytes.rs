//! Bytes that serde hands over one by one.

use alloc::vec::Vec;

use serde_core::ser::{Serialize, SerializeSeq, SerializeTuple};

use super::FieldError;
use super::value::ValueSerializer;
use crate::frame::{Action, Actions, Scope};
use crate::wire::{FromTypedData, OwnedTypedData};

pub(super) struct Bytes<'a> {
    variable: ValueSerializer<'a>,
    bytes: Vec<u8>,
    /// What they are when they are complete.
    value: fn(Vec<u8>) -> OwnedTypedData,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(
        variable: ValueSerializer<'a>,
        len: Option<usize>,
        value: fn(Vec<u8>) -> OwnedTypedData,
    ) -> Self {
        Self { variable, bytes: Vec::with_capacity(len.unwrap_or_default()), value }
    }

    fn push<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), FieldError> {
        // As a variable of its own: what is an integer there, and small enough, is a byte.
        let mut one = Actions::new();
        element.serialize(ValueSerializer { actions: &mut one, scope: Scope::Transaction, name: "byte" })?;
        let byte = one.iter().find_map(|action| match action {
            Action::SetVar { value, .. } => u8::from_typed_data(value).ok(),
            Action::UnsetVar { .. } => None,
        });
        self.bytes.push(byte.ok_or_else(|| FieldError::new("want bytes: a variable has no other elements"))?);
        Ok(())
    }

    fn end(self) -> Result<(), FieldError> {
        self.variable.set((self.value)(self.bytes))
    }
}

impl SerializeSeq for Bytes<'_> {
    type Ok = ();
    type Error = FieldError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), FieldError> {
        self.push(element)
    }

    fn end(self) -> Result<(), FieldError> {
        self.end()
    }
}

impl SerializeTuple for Bytes<'_> {
    type Ok = ();
    type Error = FieldError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), FieldError> {
        self.push(element)
    }

    fn end(self) -> Result<(), FieldError> {
        self.end()
    }
}
