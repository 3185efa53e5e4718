//! Rules, and how they are written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::table::Key;

/// No longer text is a rule: what walks outwards through prefixes takes at most this many steps.
pub const MAX_TEXT: usize = 1024;

/// No longer reason is kept.
pub const MAX_REASON: usize = 256;

/// An entry that does not expire.
pub const NEVER: u32 = u32::MAX;

/// A network of addresses of `N` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network<const N: usize> {
    address: [u8; N],
    len: u8,
}

impl<const N: usize> Network<N> {
    /// One address.
    pub fn host(address: [u8; N]) -> Self {
        Self { address, len: Self::BITS }
    }

    /// The network of the first `len` bits of `address`; `None` if it has others, or not so many.
    pub fn new(address: [u8; N], len: u8) -> Option<Self> {
        let network = Self { address, len };
        (len <= Self::BITS && network.masked(&address) == address).then_some(network)
    }

    // 32 or 128.
    const BITS: u8 = (N * 8) as u8;

    fn masked(&self, address: &[u8; N]) -> [u8; N] {
        let mut masked = *address;
        for (index, byte) in masked.iter_mut().enumerate() {
            let kept = usize::from(self.len).saturating_sub(index * 8).min(8);
            *byte &= (0xff00_u16 >> kept) as u8;
        }
        masked
    }
}

impl<const N: usize> Key for Network<N> {
    type Query = [u8; N];

    #[inline]
    fn starts_by(&self, query: &[u8; N]) -> bool {
        self.address <= *query
    }

    #[inline]
    fn covers(&self, query: &[u8; N]) -> bool {
        self.masked(query) == self.address
    }

    fn encloses(&self, other: &Self) -> bool {
        self.len <= other.len && self.covers(&other.address)
    }
}

/// A text, or all that begin with it.
// In this order a prefix comes before the same text, which is more specific.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextRule {
    // Shared by the lists that follow each other.
    text: std::sync::Arc<[u8]>,
    exact: bool,
}

impl TextRule {
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }
}

impl Key for TextRule {
    type Query = [u8];

    fn starts_by(&self, query: &[u8]) -> bool {
        *self.text <= *query
    }

    fn covers(&self, query: &[u8]) -> bool {
        if self.exact { *self.text == *query } else { query.starts_with(&self.text) }
    }

    fn encloses(&self, other: &Self) -> bool {
        !self.exact && other.text.starts_with(&self.text)
    }
}

/// An argument of the message that texts are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The host's name, in lower case.
    Host,
    /// The path, as the client wrote it.
    Path,
    /// The method.
    Method,
    /// The header that spoe.conf picks.
    Header,
    /// The cookie that spoe.conf picks.
    Cookie,
}

impl Argument {
    /// All of them, in the order in which they are looked at.
    pub const ALL: [Self; 5] = [Self::Host, Self::Path, Self::Method, Self::Header, Self::Cookie];

    /// Its name in a message, and in rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Path => "path",
            Self::Method => "method",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

/// What an entry is about: `192.0.2.1`, `2001:db8::/32`, `path=/admin` or, for all that begin so, `path^=/admin/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Addresses of IPv4, also if they are written, or come, as `::ffff:192.0.2.1`.
    V4(Network<4>),
    /// Addresses of IPv6.
    V6(Network<16>),
    /// A text in an argument.
    Text(Argument, TextRule),
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) => text_rule(name, value),
            None => network(text),
        }
    }
}

fn text_rule(name: &str, value: &str) -> Result<Rule, String> {
    let (name, exact) = name.strip_suffix('^').map_or((name, true), |name| (name, false));
    let Some(argument) = Argument::ALL.into_iter().find(|argument| argument.name() == name) else {
        let known = Argument::ALL.map(Argument::name).join(", ");
        return Err(format!("{:?} is none of {known}", clipped(name)));
    };
    if value.is_empty() || value.len() > MAX_TEXT {
        return Err(format!("{name} wants a text of 1 to {MAX_TEXT} bytes, not {}", value.len()));
    }
    let value = if argument == Argument::Host { &value.to_ascii_lowercase() } else { value };
    Ok(Rule::Text(argument, TextRule { text: value.as_bytes().into(), exact }))
}

fn network(text: &str) -> Result<Rule, String> {
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len)),
        None => (text, None),
    };
    let wrong = |what: &str| format!("{:?} is {what}", clipped(text));
    let address: IpAddr = address.parse().map_err(|_| wrong("no address, network, or NAME=TEXT"))?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let len: u8 = len.map_or(Ok(bits), str::parse).map_err(|_| wrong("a network without a length"))?;
    let rule = match address {
        IpAddr::V4(address) => Network::new(address.octets(), len).map(Rule::V4),
        IpAddr::V6(address) => match (address.to_ipv4_mapped(), len.checked_sub(96)) {
            (Some(mapped), Some(len)) => Network::new(mapped.octets(), len).map(Rule::V4),
            _ => Network::new(address.octets(), len).map(Rule::V6),
        },
    };
    rule.ok_or_else(|| wrong(&format!("no network: a length of 0 to {bits}, and 0 in all bits behind it")))
}

/// What an entry says of its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// It lets in, rather than block.
    pub allow: bool,
    /// From when on it no longer holds, in seconds since 1970, or [`NEVER`].
    pub until: u32,
    /// Why it is there; may be empty.
    pub reason: &'a str,
}

/// Reads `[allow] RULE [until=SECONDS] [# REASON]`; `None` for an empty line, or a comment.
///
/// # Errors
/// Says what is wrong.
pub fn parse(line: &str) -> Result<Option<(Rule, Entry<'_>)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(None);
    }
    let mark = line.match_indices('#').map(|(at, _)| at);
    let mark = mark.into_iter().find(|&at| line[..at].ends_with(char::is_whitespace)).unwrap_or(line.len());
    let (body, reason) = (&line[..mark], line[mark..].trim_start_matches('#').trim());
    if reason.len() > MAX_REASON || reason.contains(char::is_control) {
        return Err(format!("a reason has at most {MAX_REASON} bytes, and no control characters"));
    }
    let (rule, until) = match body.trim().rsplit_once(" until=") {
        Some((rule, until)) => (rule, seconds(until)?),
        None => (body, NEVER),
    };
    let rule = rule.trim();
    let allowed = rule.strip_prefix("allow").filter(|rest| rest.starts_with(char::is_whitespace));
    let (rule, allow) = allowed.map_or((rule, false), |rule| (rule.trim(), true));
    Ok(Some((rule.parse()?, Entry { allow, until, reason })))
}

fn seconds(text: &str) -> Result<u32, String> {
    let wrong = |_| format!("until={} wants seconds since 1970, below {NEVER}", clipped(text));
    text.trim().parse().map_err(wrong)
}

/// The beginning of a text, for a message.
fn clipped(text: &str) -> String {
    const SHOWN: usize = 60;
    let short: String = text.chars().take(SHOWN).collect();
    if short.len() < text.len() { short + "..." } else { short }
}

/// An address as a key of one of the two tables: an IPv4 address in IPv6 form is one of IPv4.
pub(crate) fn folded(address: IpAddr) -> Result<Ipv4Addr, Ipv6Addr> {
    match address.to_canonical() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => Err(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_line_is_read() {
        let v4 = |address: [u8; 4], len| Rule::V4(Network::new(address, len).unwrap());
        let blocked = Entry { allow: false, until: NEVER, reason: "" };
        for (line, rule, entry) in [
            ("192.0.2.1", v4([192, 0, 2, 1], 32), blocked),
            ("  192.0.2.0/24 # spam  ", v4([192, 0, 2, 0], 24), Entry { reason: "spam", ..blocked }),
            ("::ffff:192.0.2.0/120 until=7", v4([192, 0, 2, 0], 24), Entry { until: 7, ..blocked }),
            ("allow 0.0.0.0/0", v4([0; 4], 0), Entry { allow: true, ..blocked }),
            ("::/0", Rule::V6(Network::new([0; 16], 0).unwrap()), blocked),
        ] {
            assert_eq!(parse(line), Ok(Some((rule, entry))), "{line}");
        }
        let text = |text: &str, exact| TextRule { text: text.as_bytes().into(), exact };
        for (line, argument, rule) in [
            ("path=/a b", Argument::Path, text("/a b", true)),
            ("path^=/a#b=c # x", Argument::Path, text("/a#b=c", false)),
            ("host=WWW.Example.org", Argument::Host, text("www.example.org", true)),
            ("header^=Mozilla/5.0 (X; Y)", Argument::Header, text("Mozilla/5.0 (X; Y)", false)),
        ] {
            assert_eq!(parse(line).unwrap().unwrap().0, Rule::Text(argument, rule), "{line}");
        }
        assert_eq!([parse(""), parse(" # x"), parse("; x")], [Ok(None), Ok(None), Ok(None)]);
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        let long = format!("path={}", "x".repeat(MAX_TEXT + 1));
        let reason = format!("::1 # {}", "x".repeat(MAX_REASON + 1));
        for (line, want) in [
            ("192.0.2", "\"192.0.2\" is no address"),
            ("192.0.2.1/24", "0 in all bits behind it"),
            ("192.0.2.0/33", "a length of 0 to 32"),
            ("::1/129", "a length of 0 to 128"),
            ("::1/", "a network without a length"),
            ("pfad=/", "\"pfad\" is none of host, path"),
            ("path=", "1 to 1024 bytes, not 0"),
            (&long, "1 to 1024 bytes, not 1025"),
            (&reason, "at most 256 bytes"),
            ("::1 until=tomorrow", "until=tomorrow wants seconds"),
            ("::1 until=99999999999", "wants seconds"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(want), "{line}: {error}");
        }
    }
}
