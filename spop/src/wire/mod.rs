//! The bytes on the wire: integers, values, headers, and the parsers for them. Knows nothing of what a frame means.

mod error;
mod header;
pub(crate) mod parse;
mod typed_data;
mod validate;
pub mod varint;

pub use error::{ArgErrorKind, DecodeError, DecodeErrorKind};
pub use header::{Flags, FrameHeader, FrameType, LENGTH_PREFIX, NotifyId};
pub use typed_data::{DataType, FromTypedData, OwnedTypedData, Text, ToTypedData, TypedData};
