use core::fmt;

/// A protocol version, `major.minor`.
///
/// HAProxy 2.6 to 3.5 offers `2.0` and accepts nothing but `2.0` in the answer, although SPOE.txt 3.2.5 allows a lower
/// one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The part before the dot.
    pub major: u16,
    /// The part after the dot.
    pub minor: u16,
}

impl Version {
    /// The one version in use.
    pub const V2_0: Self = Self { major: 2, minor: 0 };

    /// Reads one version as HAProxy does: digits, a dot, digits, with blanks around them allowed.
    ///
    /// ```
    /// use spop::Version;
    /// assert_eq!(Version::parse(b" 2.0 "), Some(Version::V2_0));
    /// assert_eq!(Version::parse(b"2"), None);
    /// ```
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: number(major)?, minor: number(minor)? })
    }

    /// Reads the versions of a comma-separated list such as `supported-versions`; what is no version is ignored.
    pub fn parse_list(text: &[u8]) -> impl Iterator<Item = Self> {
        text.split(|&byte| byte == b',').filter_map(Self::parse)
    }
}

/// Digits only: `str::parse` alone would take a sign.
fn number(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({self})")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_haproxy_takes_for_2_0() {
        for text in ["2.0", "2.0 ", " 2.0", "02.00", "2.00"] {
            assert_eq!(Version::parse(text.as_bytes()), Some(Version::V2_0), "{text:?}");
        }
    }

    #[test]
    fn texts_that_are_no_version() {
        for text in ["", "2", "2.", ".0", "2.0.0", "2.0,1.0", "abc", "+2.0", "2.-0", "2 .0", "2.99999"] {
            assert_eq!(Version::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Version::parse(&[0xff, b'.', b'0']), None);
    }

    #[test]
    fn a_list_passes_over_what_is_no_version() {
        let list: Vec<_> = Version::parse_list(b"1.0, abc,2.0").collect();
        assert_eq!(list, [Version { major: 1, minor: 0 }, Version::V2_0]);
    }
}
