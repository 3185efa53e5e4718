//! Messages into types that derive serde's `Deserialize`: the cargo feature `serde`.

mod error;
mod message;
mod names;
mod types;
mod value;

use error::Error;
use message::MessageDeserializer;
pub use names::field_names;
use serde_core::de::{Deserialize, Deserializer, IntoDeserializer, Visitor};
use serde_core::forward_to_deserialize_any;
use value::ValueDeserializer;

use crate::frame::{ArgError, Message};
use crate::wire::Text;

impl<'a> Message<'a> {
    /// Reads the arguments into a type of yours that derives serde's `Deserialize`. Needs the cargo feature `serde`.
    ///
    /// What borrows (`&str`, `&[u8]`) points into the frame; nothing is allocated then.
    ///
    /// ```
    /// # use spop::{Notify, NotifyId, NotifyWriter};
    /// use serde::Deserialize;
    /// use spop::http::Headers;
    /// use std::net::IpAddr;
    ///
    /// // args src=src method=method path=path query=query hdrs=req.hdrs
    /// #[derive(Deserialize)]
    /// struct CheckRequest<'a> {
    ///     src: Option<IpAddr>, // NULL for a client on a Unix socket
    ///     method: &'a str,
    ///     path: Option<&'a [u8]>, // NULL for `OPTIONS *`
    ///     #[serde(borrow, rename = "hdrs")]
    ///     headers: Headers<'a>,
    ///     #[serde(default)]
    ///     limit: u16, // not among the arguments: 0
    /// }
    ///
    /// # let mut out = bytes::BytesMut::new();
    /// # let mut notify = NotifyWriter::new(NotifyId { stream_id: 1, frame_id: 1 }, 16_380, &mut out);
    /// # notify.message("check-request")?.arg("src", std::net::Ipv4Addr::LOCALHOST)?.arg("method", "GET")?;
    /// # notify.arg("path", None::<&str>)?.arg("query", None::<&str>)?.arg("hdrs", "host: x\r\n\r\n")?;
    /// # notify.finish();
    /// # let notify = Notify::parse(&out[4..])?;
    /// # let message = notify.message("check-request").unwrap();
    /// let request: CheckRequest<'_> = message.deserialize()?;
    /// assert_eq!(request.method, "GET");
    /// assert_eq!(request.headers.get("host").unwrap(), "x");
    /// # assert!(request.src.unwrap().is_loopback() && request.path.is_none() && request.limit == 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Which argument goes where
    ///
    /// - A struct, or a map, takes arguments by name: the first of each name, as [`get`](Self::get) does. An `Option`
    ///   is `None` if there is no such argument, or if it is NULL; `#[serde(default)]` is for a missing one only.
    ///   Arguments that the struct does not have are ignored, unless it says `#[serde(deny_unknown_fields)]`.
    /// - A tuple, a tuple struct or a sequence takes arguments by position, named or not (`args src dst`). Further ones
    ///   are ignored.
    /// - An enum takes the message's name for the variant, and the arguments for what is in it.
    ///
    /// ```
    /// # use spop::{Notify, NotifyId, NotifyWriter};
    /// # use serde::Deserialize;
    /// # use std::net::IpAddr;
    /// #[derive(Deserialize)]
    /// #[serde(rename_all = "kebab-case")]
    /// enum Question<'a> {
    ///     CheckClientIp(IpAddr, u16), // args src src_port
    ///     CheckRequest { path: &'a str }, // args path=path
    /// }
    /// # let mut out = bytes::BytesMut::new();
    /// # let mut notify = NotifyWriter::new(NotifyId { stream_id: 1, frame_id: 1 }, 16_380, &mut out);
    /// # notify.message("check-client-ip")?.arg("", std::net::Ipv4Addr::LOCALHOST)?.arg("", 4711)?;
    /// # notify.message("check-request")?.arg("path", "/")?;
    /// # notify.finish();
    /// # let notify = Notify::parse(&out[4..])?;
    /// for message in notify.messages() {
    ///     match message.deserialize()? {
    ///         Question::CheckClientIp(ip, port) => assert!(ip.is_loopback() && port == 4711),
    ///         Question::CheckRequest { path } => assert_eq!(path, "/"),
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Which value goes where
    ///
    /// Each field takes what [`get`](Self::get) takes for its type: integers are checked against their range, `IpAddr`
    /// is IPV4 or IPV6 and never a STRING. Beyond that, an enum without data takes the STRING that names its variant,
    /// `Vec<u8>` and all that asks for bytes a BINARY or STRING. [`Text`] and [`Headers`](crate::http::Headers) can be
    /// fields, with `#[serde(borrow)]`.
    ///
    /// The format is a binary one to serde (not human-readable): a type with a form for each, such as `Uuid`, wants the
    /// binary one.
    ///
    /// # Errors
    /// Names the argument and what is wrong with it, the first one found.
    #[inline]
    pub fn deserialize<T: Deserialize<'a>>(&self) -> Result<T, ArgError> {
        T::deserialize(MessageDeserializer::new(self)).map_err(|error| error.of_message(self.name()))
    }
}

/// The name of an argument or message: text if it can be.
struct NameDeserializer<'de>(Text<'de>);

impl<'de> Deserializer<'de> for NameDeserializer<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.to_str() {
            Ok(name) => visitor.visit_borrowed_str(name),
            Err(_) => visitor.visit_borrowed_bytes(self.0.as_bytes()),
        }
    }

    /// A field or variant of a type that derives `Deserialize`: it compares bytes, so nobody has to look for UTF-8.
    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_borrowed_bytes(self.0.as_bytes())
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for NameDeserializer<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
