//! A message for serde: arguments by name or by position.

use core::iter::{Enumerate, once};

use serde_core::de::value::{MapAccessDeserializer, MapDeserializer};
use serde_core::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde_core::forward_to_deserialize_any;

use super::{Error, NameDeserializer, ValueDeserializer};
use crate::frame::{Arg, Args, Message};
use crate::wire::Text;

pub(super) struct MessageDeserializer<'de> {
    name: Text<'de>,
    args: Args<'de>,
}

impl<'de> MessageDeserializer<'de> {
    pub(super) fn new(message: &Message<'de>) -> Self {
        Self { name: message.name(), args: message.args() }
    }

    fn by_position<V: Visitor<'de>>(self, want: usize, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(ByPosition { args: self.args, index: 0, want })
    }
}

impl<'de> Deserializer<'de> for MessageDeserializer<'de> {
    type Error = Error;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(ByName { rest: self.args.clone().enumerate(), all: self.args, current: None })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.by_position(0, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.by_position(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.by_position(len, visitor)
    }

    /// A tuple struct of one field.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.by_position(1, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let variant = (NameDeserializer(self.name), self);
        visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(once(variant))))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf map struct identifier
        ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for MessageDeserializer<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct ByName<'de> {
    all: Args<'de>,
    rest: Enumerate<Args<'de>>,
    /// The argument whose name was given last.
    current: Option<(usize, Arg<'de>)>,
}

impl<'de> MapAccess<'de> for ByName<'de> {
    type Error = Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let all = &self.all;
        let is_first = |&(index, arg): &(usize, Arg<'_>)| {
            index == 0 || !all.clone().take(index).any(|earlier| earlier.name == arg.name)
        };
        self.current = self.rest.find(is_first);
        let Some((index, arg)) = self.current else { return Ok(None) };
        seed.deserialize(NameDeserializer(arg.name)).map(Some).map_err(|error| error.at(index, arg.name))
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((index, arg)) = self.current else {
            return Err(Error::custom("a value was asked for before its name"));
        };
        seed.deserialize(ValueDeserializer::new(Some(arg.value))).map_err(|error| error.at(index, arg.name))
    }
}

struct ByPosition<'de> {
    args: Args<'de>,
    index: usize,
    /// So many are asked for: those that are not there are `None`, or an error.
    want: usize,
}

impl<'de> SeqAccess<'de> for ByPosition<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let (index, arg) = (self.index, self.args.next());
        if arg.is_none() && index >= self.want {
            return Ok(None);
        }
        self.index += 1;
        let value = ValueDeserializer::new(arg.map(|arg| arg.value));
        seed.deserialize(value).map(Some).map_err(|error| error.at(index, Text::default()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.args.len())
    }
}
