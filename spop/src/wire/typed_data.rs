//! Typed values (SPOE.txt 3.1): the borrowed [`TypedData`], its owned twin, and the getters' conversions.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use self::to::ToTypedData;
use super::{ArgErrorKind, varint};

mod show;
mod to;

/// One typed value, borrowed from the frame it came in.
///
/// HAProxy sends only NULL, BOOL, INT64, IPV4, IPV6, STRING and BINARY in a NOTIFY. In an ACK it takes all ten, and
/// makes one signed 64-bit integer of the four integer types, by bits: a UINT64 of 2^63 or more becomes negative.
///
/// An INT32 or UINT32 whose value does not fit 32 bits is read as INT64 or UINT64, so that nothing is cut.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedData<'a> {
    /// No value: a sample that gave nothing, such as a missing header. In an ACK it unsets the variable.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed 32-bit integer. A negative one is sent sign-extended to 64 bits, as HAProxy wants it.
    Int32(i32),
    /// An unsigned 32-bit integer.
    Uint32(u32),
    /// A signed 64-bit integer.
    Int64(i64),
    /// An unsigned 64-bit integer.
    Uint64(u64),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// A string: any bytes.
    String(Text<'a>),
    /// Binary data.
    Binary(&'a [u8]),
}

impl TypedData<'_> {
    /// Returns the type of this value.
    pub const fn data_type(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Bool(_) => DataType::Bool,
            Self::Int32(_) => DataType::Int32,
            Self::Uint32(_) => DataType::Uint32,
            Self::Int64(_) => DataType::Int64,
            Self::Uint64(_) => DataType::Uint64,
            Self::Ipv4(_) => DataType::Ipv4,
            Self::Ipv6(_) => DataType::Ipv6,
            Self::String(_) => DataType::String,
            Self::Binary(_) => DataType::Binary,
        }
    }

    /// Returns a copy that borrows nothing.
    pub fn into_owned(self) -> OwnedTypedData {
        match self {
            Self::Null => OwnedTypedData::Null,
            Self::Bool(value) => OwnedTypedData::Bool(value),
            Self::Int32(value) => OwnedTypedData::Int32(value),
            Self::Uint32(value) => OwnedTypedData::Uint32(value),
            Self::Int64(value) => OwnedTypedData::Int64(value),
            Self::Uint64(value) => OwnedTypedData::Uint64(value),
            Self::Ipv4(value) => OwnedTypedData::Ipv4(value),
            Self::Ipv6(value) => OwnedTypedData::Ipv6(value),
            Self::String(text) => OwnedTypedData::String(text.as_bytes().to_vec()),
            Self::Binary(bytes) => OwnedTypedData::Binary(bytes.to_vec()),
        }
    }

    /// Writes type and fixed part of the value at the start of `out`, to be followed by [`body`](Self::body); returns
    /// the bytes written, or `None` if they do not fit.
    #[inline(always)]
    pub(crate) fn write_head(&self, out: &mut [u8]) -> Option<usize> {
        match *self {
            Self::Null => write(out, [DataType::Null as u8]),
            Self::Bool(value) => write(out, [DataType::Bool as u8 | u8::from(value) << 4]),
            Self::Int32(value) => write_varint(out, DataType::Int32, i64::from(value) as u64),
            Self::Uint32(value) => write_varint(out, DataType::Uint32, u64::from(value)),
            Self::Int64(value) => write_varint(out, DataType::Int64, value as u64),
            Self::Uint64(value) => write_varint(out, DataType::Uint64, value),
            Self::Ipv4(address) => {
                let [a, b, c, d] = address.octets();
                write(out, [DataType::Ipv4 as u8, a, b, c, d])
            }
            Self::Ipv6(address) => {
                let (first, rest) = out.split_first_mut()?;
                *first = DataType::Ipv6 as u8;
                write(rest, address.octets()).map(|len| len + 1)
            }
            Self::String(Text(bytes)) => write_varint(out, DataType::String, bytes.len() as u64),
            Self::Binary(bytes) => write_varint(out, DataType::Binary, bytes.len() as u64),
        }
    }

    /// Returns the bytes of a STRING or BINARY.
    #[inline]
    pub(crate) fn body(&self) -> &[u8] {
        match self {
            Self::String(Text(bytes)) | Self::Binary(bytes) => bytes,
            _ => &[],
        }
    }

    /// The most that [`write_head`](Self::write_head) writes: an IPv6 address.
    pub(crate) const MAX_HEAD: usize = 1 + 16;

    /// Returns the value of any of the four integer types.
    const fn integer(&self) -> Option<i128> {
        match *self {
            Self::Int32(value) => Some(value as i128),
            Self::Uint32(value) => Some(value as i128),
            Self::Int64(value) => Some(value as i128),
            Self::Uint64(value) => Some(value as i128),
            _ => None,
        }
    }
}

#[inline(always)]
fn write<const N: usize>(out: &mut [u8], bytes: [u8; N]) -> Option<usize> {
    *out.first_chunk_mut()? = bytes;
    Some(N)
}

#[inline(always)]
fn write_varint(out: &mut [u8], data_type: DataType, value: u64) -> Option<usize> {
    let (first, rest) = out.split_first_mut()?;
    *first = data_type as u8;
    varint::write(value, rest).map(|len| len + 1)
}

/// The type of a value: the low nibble of its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DataType {
    /// No value.
    Null = 0,
    /// A boolean.
    Bool = 1,
    /// A signed 32-bit integer.
    Int32 = 2,
    /// An unsigned 32-bit integer.
    Uint32 = 3,
    /// A signed 64-bit integer.
    Int64 = 4,
    /// An unsigned 64-bit integer.
    Uint64 = 5,
    /// An IPv4 address.
    Ipv4 = 6,
    /// An IPv6 address.
    Ipv6 = 7,
    /// A string.
    String = 8,
    /// Binary data.
    Binary = 9,
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "NULL",
            Self::Bool => "BOOL",
            Self::Int32 => "INT32",
            Self::Uint32 => "UINT32",
            Self::Int64 => "INT64",
            Self::Uint64 => "UINT64",
            Self::Ipv4 => "IPV4",
            Self::Ipv6 => "IPV6",
            Self::String => "STRING",
            Self::Binary => "BINARY",
        })
    }
}

/// Bytes that are meant as text. HAProxy sends them as the client did: they need not be UTF-8.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Wraps any bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes as they came.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Returns the text as UTF-8.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub const fn to_str(self) -> Result<&'a str, core::str::Utf8Error> {
        core::str::from_utf8(self.0)
    }
}

/// Lossy: what is not UTF-8 shows as U+FFFD.
impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

/// A value that borrows nothing, to keep past its frame.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is that of TypedData")]
pub enum OwnedTypedData {
    Null,
    Bool(bool),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    String(Vec<u8>),
    Binary(Vec<u8>),
}

impl<'a> From<&'a OwnedTypedData> for TypedData<'a> {
    fn from(owned: &'a OwnedTypedData) -> Self {
        match owned {
            OwnedTypedData::Null => Self::Null,
            OwnedTypedData::Bool(value) => Self::Bool(*value),
            OwnedTypedData::Int32(value) => Self::Int32(*value),
            OwnedTypedData::Uint32(value) => Self::Uint32(*value),
            OwnedTypedData::Int64(value) => Self::Int64(*value),
            OwnedTypedData::Uint64(value) => Self::Uint64(*value),
            OwnedTypedData::Ipv4(value) => Self::Ipv4(*value),
            OwnedTypedData::Ipv6(value) => Self::Ipv6(*value),
            OwnedTypedData::String(bytes) => Self::String(Text::new(bytes)),
            OwnedTypedData::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

macro_rules! from_value {
    ($($from:ty => |$value:ident| $typed:expr;)*) => {$(
        impl<'a> From<$from> for TypedData<'a> {
            fn from($value: $from) -> Self {
                $typed
            }
        }
    )*};
}

from_value! {
    bool => |value| Self::Bool(value);
    u8 => |value| Self::Uint32(value.into());
    u16 => |value| Self::Uint32(value.into());
    u32 => |value| Self::Uint32(value);
    u64 => |value| Self::Uint64(value);
    usize => |value| Self::Uint64(value as u64);
    isize => |value| Self::Int64(value as i64);
    i8 => |value| Self::Int32(value.into());
    i16 => |value| Self::Int32(value.into());
    i32 => |value| Self::Int32(value);
    i64 => |value| Self::Int64(value);
    Ipv4Addr => |value| Self::Ipv4(value);
    Ipv6Addr => |value| Self::Ipv6(value);
    IpAddr => |value| match value {
        IpAddr::V4(address) => Self::Ipv4(address),
        IpAddr::V6(address) => Self::Ipv6(address),
    };
    Text<'a> => |value| Self::String(value);
    &'a str => |value| Self::String(value.into());
    &'a String => |value| Self::String(value.as_str().into());
    &'a [u8] => |value| Self::Binary(value);
    &'a Vec<u8> => |value| Self::Binary(value);
}

/// `None` is NULL.
impl<'a, T: Into<Self>> From<Option<T>> for TypedData<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A type that the getters of [`Message`](crate::Message) can return.
///
/// | type | from |
/// |---|---|
/// | `bool` | BOOL |
/// | every integer type but `i128`, `u128` | INT32, UINT32, INT64, UINT64, if the value fits |
/// | `Ipv4Addr`, `Ipv6Addr`, `IpAddr` | IPV4, IPV6 |
/// | `&str`, `String` | STRING that is UTF-8 |
/// | [`Text`] | STRING |
/// | `&[u8]`, `Vec<u8>` | BINARY, STRING |
/// | [`Headers`](crate::http::Headers) | STRING (`req.hdrs`), BINARY (`req.hdrs_bin`) |
/// | `Option<T>` | `None` if it is NULL or there is no such argument, else as `T` |
/// | [`TypedData`] | every value |
pub trait FromTypedData<'a>: Sized {
    /// What this type takes, for the error text.
    const WANT: &'static str;

    /// Converts `value`.
    ///
    /// # Errors
    /// If the value has another type, does not fit, or is not UTF-8 where it must be.
    fn from_typed_data(value: TypedData<'a>) -> Result<Self, ArgErrorKind>;

    /// What stands for an argument that is not there.
    ///
    /// # Errors
    /// [`ArgErrorKind::Missing`], for all but `Option`.
    fn missing() -> Result<Self, ArgErrorKind> {
        Err(ArgErrorKind::Missing)
    }
}

#[cold]
fn wrong_type<'a, T: FromTypedData<'a>>(got: TypedData<'a>) -> ArgErrorKind {
    ArgErrorKind::WrongType { want: T::WANT, got: got.data_type() }
}

macro_rules! from_typed_data {
    ($($type:ty, $want:literal, $($pattern:pat => $value:expr),+;)*) => {$(
        impl<'a> FromTypedData<'a> for $type {
            const WANT: &'static str = $want;

            fn from_typed_data(value: TypedData<'a>) -> Result<Self, ArgErrorKind> {
                match value {
                    $($pattern => $value,)+
                    other => Err(wrong_type::<Self>(other)),
                }
            }
        }
    )*};
}

from_typed_data! {
    bool, "BOOL", TypedData::Bool(value) => Ok(value);
    Ipv4Addr, "IPV4", TypedData::Ipv4(value) => Ok(value);
    Ipv6Addr, "IPV6", TypedData::Ipv6(value) => Ok(value);
    IpAddr, "IPV4 or IPV6",
        TypedData::Ipv4(value) => Ok(value.into()),
        TypedData::Ipv6(value) => Ok(value.into());
    Text<'a>, "STRING", TypedData::String(value) => Ok(value);
    &'a str, "STRING", TypedData::String(value) => value.to_str().map_err(|_| ArgErrorKind::NotUtf8);
    &'a [u8], "BINARY or STRING",
        TypedData::Binary(value) => Ok(value),
        TypedData::String(value) => Ok(value.as_bytes());
}

impl<'a> FromTypedData<'a> for TypedData<'a> {
    const WANT: &'static str = "any value";

    fn from_typed_data(value: TypedData<'a>) -> Result<Self, ArgErrorKind> {
        Ok(value)
    }
}

impl<'a> FromTypedData<'a> for String {
    const WANT: &'static str = <&str>::WANT;

    fn from_typed_data(value: TypedData<'a>) -> Result<Self, ArgErrorKind> {
        <&str>::from_typed_data(value).map(Into::into)
    }
}

impl<'a> FromTypedData<'a> for Vec<u8> {
    const WANT: &'static str = <&[u8]>::WANT;

    fn from_typed_data(value: TypedData<'a>) -> Result<Self, ArgErrorKind> {
        <&[u8]>::from_typed_data(value).map(Into::into)
    }
}

impl<'a, T: FromTypedData<'a>> FromTypedData<'a> for Option<T> {
    const WANT: &'static str = T::WANT;

    fn from_typed_data(value: TypedData<'a>) -> Result<Self, ArgErrorKind> {
        if value == TypedData::Null { Ok(None) } else { T::from_typed_data(value).map(Some) }
    }

    fn missing() -> Result<Self, ArgErrorKind> {
        Ok(None)
    }
}

macro_rules! from_integer {
    ($($type:ident)*) => {$(
        impl<'a> FromTypedData<'a> for $type {
            const WANT: &'static str = concat!("an integer (", stringify!($type), ")");

            fn from_typed_data(value: TypedData<'a>) -> Result<Self, ArgErrorKind> {
                let Some(integer) = value.integer() else { return Err(wrong_type::<Self>(value)) };
                Self::try_from(integer).map_err(|_| ArgErrorKind::OutOfRange { want: stringify!($type) })
            }
        }
    )*};
}

from_integer!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);
