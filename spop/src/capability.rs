use alloc::string::String;
use core::fmt;
use core::ops::{BitAnd, BitOr};

/// A set of `capabilities`, as announced in the HELLO frames (SPOE.txt 3.2.4).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u8);

impl Capabilities {
    /// No capability.
    pub const NONE: Self = Self(0);
    /// `pipelining`: several NOTIFYs may wait for their ACK on one connection (20 in HAProxy), and ACKs may come in any
    /// order.
    pub const PIPELINING: Self = Self(1);
    /// `async`: an ACK may come on another connection of the same engine. HAProxy up to 3.0 only.
    pub const ASYNC: Self = Self(2);
    /// `fragmentation`: a NOTIFY may come in several frames. HAProxy up to 3.0 fragments for an agent that announces
    /// it, although it never announces it itself; later versions ignore it.
    pub const FRAGMENTATION: Self = Self(4);

    /// In the order in which HAProxy lists them.
    const NAMES: [(Self, &'static str); 3] =
        [(Self::PIPELINING, "pipelining"), (Self::ASYNC, "async"), (Self::FRAGMENTATION, "fragmentation")];

    /// Reads a comma-separated list; blanks around a name and names that are not known are ignored.
    ///
    /// ```
    /// use spop::Capabilities;
    /// let offered = Capabilities::parse(b"pipelining,async");
    /// assert_eq!(offered, Capabilities::PIPELINING | Capabilities::ASYNC);
    /// ```
    pub fn parse(list: &[u8]) -> Self {
        list.split(|&byte| byte == b',').fold(Self::NONE, |set, item| {
            // As in HAProxy a name ends at a blank: `pipelining async` is pipelining alone.
            let name = item.trim_ascii().split(u8::is_ascii_whitespace).next().unwrap_or_default();
            let known = Self::NAMES.iter().find(|(_, known)| known.as_bytes() == name);
            known.map_or(set, |&(capability, _)| set | capability)
        })
    }

    /// Returns whether every capability of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns this set without the capabilities of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the set as it stands in a HELLO: names joined by commas, empty for no capability.
    pub(crate) fn to_list(self) -> String {
        let mut list = String::new();
        for (_, name) in Self::NAMES.iter().filter(|(capability, _)| self.contains(*capability)) {
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(name);
        }
        list
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capabilities({})", self.to_list())
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_list())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_haproxy_reads_it() {
        let pipelining = Capabilities::PIPELINING;
        for (list, set) in [
            ("", Capabilities::NONE),
            ("pipelining", pipelining),
            (" foo , pipelining ,,bar ", pipelining),
            ("PIPELINING", Capabilities::NONE),
            ("pipelining async", pipelining),
            ("pipelining,async", pipelining | Capabilities::ASYNC),
            ("fragmentation,pipelining", pipelining | Capabilities::FRAGMENTATION),
            ("pipelining2", Capabilities::NONE),
        ] {
            assert_eq!(Capabilities::parse(list.as_bytes()), set, "{list:?}");
        }
    }

    #[test]
    fn a_set_is_written_in_haproxys_order() {
        let all = Capabilities::FRAGMENTATION | Capabilities::ASYNC | Capabilities::PIPELINING;
        assert_eq!(all.to_list(), "pipelining,async,fragmentation");
    }

    #[test]
    fn a_set_holds_the_sets_it_is_made_of() {
        let both = Capabilities::PIPELINING | Capabilities::ASYNC;
        assert!(both.contains(Capabilities::ASYNC) && both.contains(Capabilities::NONE));
        assert!(!both.contains(Capabilities::ASYNC | Capabilities::FRAGMENTATION));
        assert_eq!(both | Capabilities::ASYNC, both);
        assert_eq!(both & Capabilities::ASYNC, Capabilities::ASYNC);
        assert_eq!(both.without(Capabilities::ASYNC | Capabilities::FRAGMENTATION), Capabilities::PIPELINING);
    }
}
