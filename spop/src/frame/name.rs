//! Names of variables.

use super::action::{Sink, put_set_var, put_unset_var};
use super::{Action, Actions, Scope};
use super::{EncodeError, VarError};
use crate::wire::TypedData;

/// What HAProxy takes as the name of a variable.
///
/// It keeps `scope.prefix.name` in 64 bytes with a NUL, and drops a variable that does not fit, or whose name has a
/// byte other than letters, digits, `_` and `.`, without a word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameRule {
    /// At most one more than can be.
    prefix_len: u8,
}

impl NameRule {
    pub(super) const MAX_FULL_NAME: usize = 63;

    /// A prefix has one byte at least.
    pub(crate) const ANY_PREFIX: Self = Self { prefix_len: 1 };

    pub(crate) const fn new(prefix: &str) -> Self {
        let len = prefix.len();
        Self { prefix_len: if len > Self::MAX_FULL_NAME { Self::MAX_FULL_NAME as u8 + 1 } else { len as u8 } }
    }

    /// The most that `scope` and `name` may have together.
    pub(super) const fn max_len(self) -> usize {
        (Self::MAX_FULL_NAME - "..".len()).saturating_sub(self.prefix_len as usize)
    }

    #[inline(always)]
    pub(crate) fn put_set_var(
        self,
        out: &mut impl Sink,
        scope: Scope,
        name: &str,
        value: TypedData<'_>,
    ) -> Result<(), EncodeError> {
        self.check(scope, name)?;
        put_set_var(out, scope, name, &value);
        Ok(())
    }

    pub(crate) fn put_unset_var(
        self,
        out: &mut impl Sink,
        scope: Scope,
        name: &str,
    ) -> Result<(), EncodeError> {
        self.check(scope, name)?;
        put_unset_var(out, scope, name);
        Ok(())
    }

    #[inline]
    pub(crate) const fn check(self, scope: Scope, name: &str) -> Result<(), EncodeError> {
        let scope_len = scope.keyword().len();
        if scope_len + name.len() > self.max_len() {
            let max = self.max_len().saturating_sub(scope_len);
            return Err(EncodeError::NameTooLong { len: name.len(), max });
        }
        if is_name(name.as_bytes()) { Ok(()) } else { Err(name_byte(name)) }
    }

    /// Checks the names of `actions`, which were checked for a prefix that may be shorter.
    #[inline(always)]
    pub(crate) fn check_all(self, actions: &Actions) -> Result<(), EncodeError> {
        if actions.longest() <= self.max_len() { Ok(()) } else { Ok(self.find_too_long(actions)?) }
    }

    #[cold]
    pub(super) fn find_too_long(self, actions: &Actions) -> Result<(), VarError> {
        actions.iter().try_for_each(|action| {
            let (Action::SetVar { scope, name, .. } | Action::UnsetVar { scope, name }) = action;
            let name = name.to_str().unwrap_or_default();
            self.check(scope, name).map_err(|error| VarError::new(scope, name, error))
        })
    }
}

/// Four bytes at a time, without a branch for each.
#[inline]
const fn is_name(name: &[u8]) -> bool {
    let (mut fours, rest) = name.as_chunks();
    while let [[a, b, c, d], others @ ..] = fours {
        if !(is_name_byte(*a) & is_name_byte(*b) & is_name_byte(*c) & is_name_byte(*d)) {
            return false;
        }
        fours = others;
    }
    let mut rest = rest;
    while let [byte, others @ ..] = rest {
        if !is_name_byte(*byte) {
            return false;
        }
        rest = others;
    }
    true
}

#[inline(always)]
const fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[byte as usize]
}

#[cold]
const fn name_byte(name: &str) -> EncodeError {
    let mut bytes = name.as_bytes();
    while let [byte, rest @ ..] = bytes {
        if !is_name_byte(*byte) {
            return EncodeError::NameByte(*byte);
        }
        bytes = rest;
    }
    EncodeError::NameByte(0)
}

/// The bytes that a name may have.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
        byte += 1;
    }
    table
};
