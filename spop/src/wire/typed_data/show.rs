//! Values as text, for people.

use core::fmt::{self, Write};

use super::TypedData;

/// `NULL`, `true`, `-7`, `192.0.2.1`, `"text"`, or `0x00ff` for BINARY. What is not printable in a string is escaped.
impl fmt::Display for TypedData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Bool(value) => value.fmt(f),
            Self::Int32(value) => value.fmt(f),
            Self::Uint32(value) => value.fmt(f),
            Self::Int64(value) => value.fmt(f),
            Self::Uint64(value) => value.fmt(f),
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            Self::String(text) => {
                f.write_char('"')?;
                for chunk in text.as_bytes().utf8_chunks() {
                    write!(f, "{}{}", chunk.valid().escape_debug(), chunk.invalid().escape_ascii())?;
                }
                f.write_char('"')
            }
            Self::Binary(bytes) => {
                f.write_str("0x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}
