//! What can be a value.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{Bytes, BytesMut};

use super::{OwnedTypedData, Text, TypedData};

/// A type whose values can be those of a variable or an argument, owned or borrowed.
///
/// | type | as |
/// |---|---|
/// | `bool` | BOOL |
/// | `i8`, `i16`, `i32` | INT32 |
/// | `u8`, `u16`, `u32` | UINT32 |
/// | `i64`, `isize` | INT64 |
/// | `u64`, `usize` | UINT64; HAProxy takes 2^63 and more for a negative number |
/// | `Ipv4Addr`, `Ipv6Addr`, `IpAddr` | IPV4, IPV6 |
/// | `str`, `String`, [`Text`] | STRING |
/// | `[u8]`, `[u8; N]`, `Vec<u8>`, `Bytes` | BINARY |
/// | `Option<T>` | `None` as NULL, which unsets a variable; else as `T` |
/// | `&T`, `Box<T>`, `Rc<T>`, `Arc<T>`, `Cow<T>` | as `T` |
///
/// `i128`, `u128` and floats are not among them: SPOP has no such values.
///
/// ```
/// use spop::{Actions, Var};
///
/// const LABEL: Var = Var::transaction("label");
/// const USER: Var = Var::transaction("user");
///
/// let actions = Actions::new().set(LABEL, format!("{}-{}", "de", 7)).set(USER, None::<String>);
/// assert_eq!(actions.to_string(), r#"txn.label="de-7" txn.user=NULL"#);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a variable or an argument",
    note = "values are booleans, integers of up to 64 bits, IP addresses, strings, bytes, and `Option`s of those"
)]
pub trait ToTypedData {
    /// The value, borrowed.
    fn to_typed_data(&self) -> TypedData<'_>;
}

macro_rules! copied {
    ($($type:ty)*) => {$(
        impl ToTypedData for $type {
            #[inline(always)]
            fn to_typed_data(&self) -> TypedData<'_> {
                (*self).into()
            }
        }
    )*};
}

copied!(bool i8 i16 i32 i64 isize u8 u16 u32 u64 usize Ipv4Addr Ipv6Addr IpAddr TypedData<'_> Text<'_>);

macro_rules! borrowed {
    ($([$($generic:tt)*] $type:ty: |$value:ident| $typed:expr;)*) => {$(
        impl<$($generic)*> ToTypedData for $type {
            #[inline(always)]
            fn to_typed_data(&self) -> TypedData<'_> {
                let $value = self;
                $typed
            }
        }
    )*};
}

borrowed! {
    [] str: |value| TypedData::String(value.into());
    [] String: |value| TypedData::String(value.as_str().into());
    [] [u8]: |value| TypedData::Binary(value);
    [const N: usize] [u8; N]: |value| TypedData::Binary(value);
    [] Vec<u8>: |value| TypedData::Binary(value);
    [] Bytes: |value| TypedData::Binary(value);
    [] BytesMut: |value| TypedData::Binary(value);
    [] OwnedTypedData: |value| value.into();
    [T: ToTypedData] Option<T>: |value| value.as_ref().map_or(TypedData::Null, T::to_typed_data);
    [T: ToTypedData + ?Sized] &T: |value| T::to_typed_data(value);
    [T: ToTypedData + ?Sized] Box<T>: |value| T::to_typed_data(value);
    [T: ToTypedData + ?Sized] Rc<T>: |value| T::to_typed_data(value);
    [T: ToTypedData + ?Sized] Arc<T>: |value| T::to_typed_data(value);
    [T: ToTypedData + alloc::borrow::ToOwned + ?Sized] Cow<'_, T>: |value| T::to_typed_data(value);
}
