use core::fmt;

use alloc::vec::Vec;

use super::{Form, Headers};
use crate::wire::ArgErrorKind;
use crate::wire::{FromTypedData, TypedData};

/// [`Headers`] with the block they came in, to keep past their frame. By default none.
///
/// ```
/// use spop::http::{Headers, OwnedHeaders};
///
/// let headers = OwnedHeaders::from(Headers::text(b"host: example.org\r\n\r\n"));
/// assert_eq!(headers.view().get("host").unwrap(), "example.org");
/// ```
#[derive(Clone, Default)]
pub struct OwnedHeaders {
    block: Vec<u8>,
    form: Form,
}

impl OwnedHeaders {
    /// The headers.
    pub fn view(&self) -> Headers<'_> {
        match self.form {
            Form::Text => Headers::text(&self.block),
            Form::Binary => Headers::binary(&self.block),
        }
    }
}

impl From<Headers<'_>> for OwnedHeaders {
    fn from(headers: Headers<'_>) -> Self {
        Self { block: headers.items.rest.into(), form: headers.items.form }
    }
}

impl fmt::Debug for OwnedHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl<'a> FromTypedData<'a> for OwnedHeaders {
    const WANT: &'static str = Headers::WANT;

    fn from_typed_data(value: TypedData<'a>) -> Result<Self, ArgErrorKind> {
        Headers::from_typed_data(value).map(Into::into)
    }
}

/// For fields of a type that [`Message::deserialize`](crate::Message::deserialize) reads.
#[cfg(feature = "serde")]
impl<'de> serde_core::Deserialize<'de> for OwnedHeaders {
    fn deserialize<D: serde_core::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Headers::deserialize(deserializer).map(Into::into)
    }
}
