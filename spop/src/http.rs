//! HTTP headers as HAProxy's samples `req.hdrs` and `req.hdrs_bin` hold them, `res.hdrs` and `res.hdrs_bin` too.
//!
//! ```
//! use spop::http::Headers;
//!
//! // `args hdrs=req.hdrs` in the spoe-message section
//! fn is_bot(message: &spop::Message<'_>) -> Result<bool, spop::ArgError> {
//!     let headers: Headers<'_> = message.get("hdrs")?;
//!     // A client may send a header twice: look at every value.
//!     Ok(headers.get_all("user-agent").any(|value| value.as_bytes().starts_with(b"curl/")))
//! }
//! # use spop::{Notify, NotifyId, NotifyWriter};
//! # let mut out = bytes::BytesMut::new();
//! # let mut notify = NotifyWriter::new(NotifyId { stream_id: 1, frame_id: 1 }, 16_380, &mut out);
//! # notify.message("m")?.arg("hdrs", "user-agent: x\r\nuser-agent: curl/8.5.0\r\n\r\n")?;
//! # notify.finish();
//! # assert!(is_bot(&Notify::parse(&out[4..])?.messages().next().unwrap())?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All of it works without allocation. The cargo feature `http` adds `Headers::to_header_map`, for code that wants the
//! type of the crate `http`; that crate needs `std`.

mod owned;

use core::fmt;
use core::iter::FusedIterator;

pub use owned::OwnedHeaders;

use crate::wire::{ArgErrorKind, FromTypedData, Text, TypedData, parse};

/// The headers of a request or response, borrowed from the block they came in. By default none.
///
/// [`Message::get`](crate::Message::get) returns them: a STRING is read as [`text`](Self::text), a BINARY as
/// [`binary`](Self::binary). HAProxy writes names in lower case and leaves out what belongs to the connection; a header
/// that came twice stands there twice.
///
/// Values are bytes: HAProxy lets control bytes, DEL and bytes that are not UTF-8 pass (2.6 even NUL). What is no
/// header never hides those around it. It is stepped over, and [`skipped`](Self::skipped) counts it:
/// - a line without a colon,
/// - a header whose name is empty, or has a blank, a colon or a CR in it,
/// - the rest of a binary block that ends in the middle of a header.
///
/// So a line that goes on with a blank in the next one (obsolete folding, RFC 9112 section 5.2) keeps its first part,
/// and the other is skipped. HAProxy never sends that: it puts such lines together before.
#[derive(Clone, Copy, Default)]
pub struct Headers<'a> {
    items: Items<'a>,
}

/// One header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name as it came, in lower case from HAProxy.
    pub name: Text<'a>,
    /// The value, without the blanks around it.
    pub value: Text<'a>,
}

impl<'a> Headers<'a> {
    /// Reads `req.hdrs`: lines of `name: value`, ended by CRLF or LF alone, up to an empty line or the end of `block`.
    ///
    /// ```
    /// # use spop::http::Headers;
    /// let headers = Headers::text(b"host: example.org\r\nno header\r\naccept: */*\r\n\r\n");
    /// assert_eq!(headers.get("Accept").unwrap(), "*/*");
    /// assert_eq!((headers.iter().count(), headers.skipped()), (2, 1));
    /// ```
    pub const fn text(block: &'a [u8]) -> Self {
        Self { items: Items { rest: block, form: Form::Text } }
    }

    /// Reads `req.hdrs_bin`: names and values, each with its length as a varint before it, up to an empty name with an
    /// empty value or the end of `block`.
    ///
    /// ```
    /// # use spop::http::Headers;
    /// let headers = Headers::binary(b"\x04host\x0bexample.org\0\0");
    /// assert_eq!(headers.get("host").unwrap(), "example.org");
    /// ```
    pub const fn binary(block: &'a [u8]) -> Self {
        Self { items: Items { rest: block, form: Form::Binary } }
    }

    /// Returns the headers, in order, duplicates and all.
    pub fn iter(&self) -> Iter<'a> {
        Iter { items: self.items }
    }

    /// Returns the first value of the header called `name`, in upper or lower case.
    ///
    /// For a decision that a client would like to escape look at [every value](Self::get_all).
    pub fn get(&self, name: &str) -> Option<Text<'a>> {
        self.get_all(name).next()
    }

    /// Returns every value of the header called `name`, in upper or lower case, in order.
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = Text<'a>> + Clone + use<'a, 'n> {
        let has_name = |header: &Header<'_>| header.name.as_bytes().eq_ignore_ascii_case(name.as_bytes());
        self.iter().filter(has_name).map(|header| header.value)
    }

    /// Returns how much of the block was no header: lines of text, or items of a binary block.
    ///
    /// 0 for what HAProxy sends, unless its `option accept-invalid-http-request` lets names with blanks in.
    pub fn skipped(&self) -> usize {
        self.items.filter(Option::is_none).count()
    }

    /// Copies the headers into a map that keeps every value, and says how many it could not take.
    ///
    /// Those are the [skipped](Self::skipped) ones, names that are no token, values with a control byte other than TAB,
    /// and what is past the 32,768 names a map can hold. With 0 nothing is missing.
    ///
    /// ```
    /// # use spop::http::Headers;
    /// let headers = Headers::text(b"cookie: a=1\r\ncookie: b=2\r\nx-odd: \x01\r\n\r\n");
    /// let (map, left_out) = headers.to_header_map();
    /// assert_eq!(map.get_all("cookie").iter().count(), 2);
    /// assert_eq!(left_out, 1);
    /// ```
    #[cfg(feature = "http")]
    pub fn to_header_map(&self) -> (::http::HeaderMap, usize) {
        use ::http::{HeaderMap, HeaderName, HeaderValue};

        let append = |map: &mut HeaderMap, header: Header<'_>| {
            let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
            let value = HeaderValue::from_bytes(header.value.as_bytes()).ok()?;
            map.try_append(name, value).ok()
        };
        let (mut map, mut left_out) = (HeaderMap::new(), 0);
        for item in self.items {
            if item.and_then(|header| append(&mut map, header)).is_none() {
                left_out += 1;
            }
        }
        (map, left_out)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|header| (header.name, header.value))).finish()
    }
}

/// `host: example.org, accept: */*`: as a list in one line.
impl fmt::Display for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Header { name, value }) in self.iter().enumerate() {
            write!(f, "{}{name}: {value}", if index == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl<'a> FromTypedData<'a> for Headers<'a> {
    const WANT: &'static str = "headers (STRING or BINARY)";

    fn from_typed_data(value: TypedData<'a>) -> Result<Self, ArgErrorKind> {
        match value {
            TypedData::String(block) => Ok(Self::text(block.as_bytes())),
            TypedData::Binary(block) => Ok(Self::binary(block)),
            other => Err(ArgErrorKind::WrongType { want: Self::WANT, got: other.data_type() }),
        }
    }
}

/// The headers of a block.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    items: Items<'a>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.items.find_map(|item| item)
    }
}

impl FusedIterator for Iter<'_> {}

/// The lines or pairs of a block: `Some(None)` is one that is no header.
#[derive(Clone, Copy, Debug, Default)]
struct Items<'a> {
    rest: &'a [u8],
    form: Form,
}

#[derive(Clone, Copy, Debug, Default)]
enum Form {
    #[default]
    Text,
    Binary,
}

impl<'a> Iterator for Items<'a> {
    type Item = Option<Header<'a>>;

    fn next(&mut self) -> Option<Option<Header<'a>>> {
        let step = match self.form {
            Form::Text => next_line(self.rest),
            Form::Binary => next_pair(self.rest),
        };
        let (item, rest) = step.unzip();
        self.rest = rest.unwrap_or_default();
        item
    }
}

type Step<'a> = Option<(Option<Header<'a>>, &'a [u8])>;

fn next_line(block: &[u8]) -> Step<'_> {
    let (line, rest) = parse::split_at_byte(block, b'\n').unwrap_or((block, &[]));
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let header = parse::split_at_byte(line, b':').and_then(|(name, value)| Header::new(name, value));
    (!line.is_empty()).then_some((header, rest))
}

fn next_pair(block: &[u8]) -> Step<'_> {
    if block.is_empty() {
        return None;
    }
    let pair = parse::bytes(block).and_then(|(rest, name)| Ok((name, parse::bytes(rest)?)));
    match pair {
        Ok(([], (_, []))) => None,
        Ok((name, (rest, value))) => Some((Header::new(name, value), rest)),
        // Cut in the middle: nothing behind it can be found.
        Err(_) => Some((None, &[])),
    }
}

impl<'a> Header<'a> {
    fn new(name: &'a [u8], value: &'a [u8]) -> Option<Self> {
        let is_name =
            !name.is_empty() && !name.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b':'));
        is_name.then(|| Self { name: Text::new(name), value: Text::new(trim(value)) })
    }
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests;
