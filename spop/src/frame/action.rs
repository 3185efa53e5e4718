use alloc::vec::Vec;

use super::{EncodeError, OpenFrame};
use crate::wire::{Text, TypedData};

/// Where a variable lives: the `SCOPE` of an action (SPOE.txt 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Scope {
    /// `proc`: as long as the process. The variable must be known to HAProxy beforehand: used in its configuration,
    /// named in `register-var-names`, or allowed by `option force-set-var`.
    Process = 0,
    /// `sess`: as long as the client's connection.
    Session = 1,
    /// `txn`: as long as the request and its response.
    Transaction = 2,
    /// `req`: until the response starts. Lost if set by an ACK to a response event.
    Request = 3,
    /// `res`: while the response is processed. Lost if set by an ACK to a request event.
    Response = 4,
}

impl Scope {
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Process,
            1 => Self::Session,
            2 => Self::Transaction,
            3 => Self::Request,
            4 => Self::Response,
            _ => return None,
        })
    }

    /// Returns the name that `var(...)` in a HAProxy configuration starts with.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Process => "proc",
            Self::Session => "sess",
            Self::Transaction => "txn",
            Self::Request => "req",
            Self::Response => "res",
        }
    }
}

/// What an ACK tells HAProxy to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Sets `scope.<var-prefix>.name`; [`TypedData::Null`] unsets it.
    SetVar {
        /// Where the variable lives.
        scope: Scope,
        /// Its name without scope and prefix.
        name: Text<'a>,
        /// Its value.
        value: TypedData<'a>,
    },
    /// Unsets `scope.<var-prefix>.name`.
    UnsetVar {
        /// Where the variable lives.
        scope: Scope,
        /// Its name without scope and prefix.
        name: Text<'a>,
    },
}

/// The answer to a NOTIFY: a list of actions, encoded as it is built. Up to 78 bytes, two or three variables, need no
/// heap.
///
/// HAProxy stops without a word at the first action it cannot read, and without a word drops a variable whose name it
/// does not like. So a call that fails leaves nothing of its action behind, and names are checked.
///
/// ```
/// use spop::{Actions, Scope};
///
/// let mut actions = Actions::new();
/// actions.set_var(Scope::Session, "ip_score", 42)?;
/// actions.unset_var(Scope::Transaction, "challenge")?;
/// assert!(actions.set_var(Scope::Session, "ip-score", 42).is_err(), "HAProxy has no `-` in names");
/// # Ok::<(), spop::EncodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Actions {
    buffer: Buffer,
    names: NameRule,
}

impl Actions {
    /// Creates a list without actions; the variable prefix is not known, so names are held to the shortest possible
    /// one.
    pub const fn new() -> Self {
        Self { buffer: Buffer::EMPTY, names: NameRule::ANY_PREFIX }
    }

    /// Creates a list without actions; names are held to what `prefix`, the `option var-prefix` of the `spoe-agent`
    /// section (by default the agent's name), leaves of the 63 bytes that HAProxy allows for `scope.prefix.name`.
    ///
    /// ```
    /// use spop::{Actions, EncodeError, Scope};
    ///
    /// let mut actions = Actions::with_var_prefix("iprep");
    /// let error = actions.set_var(Scope::Transaction, &"x".repeat(54), true).unwrap_err();
    /// assert_eq!(error, EncodeError::NameTooLong { len: 54, max: 53 });
    /// ```
    pub fn with_var_prefix(prefix: &str) -> Self {
        Self { buffer: Buffer::EMPTY, names: NameRule::new(prefix) }
    }

    /// Sets a variable: `var(<scope>.<var-prefix>.<name>)` in HAProxy's configuration.
    ///
    /// `value` is anything that converts to [`TypedData`]; NULL, such as `None`, unsets the variable.
    ///
    /// # Errors
    /// [`EncodeError::NameByte`] or [`EncodeError::NameTooLong`] if HAProxy would drop the variable.
    #[inline]
    pub fn set_var<'v>(
        &mut self,
        scope: Scope,
        name: &str,
        value: impl Into<TypedData<'v>>,
    ) -> Result<&mut Self, EncodeError> {
        self.names.put_set_var(&mut self.buffer, scope, name, value.into())?;
        Ok(self)
    }

    /// Unsets a variable.
    ///
    /// # Errors
    /// As [`set_var`](Self::set_var).
    pub fn unset_var(&mut self, scope: Scope, name: &str) -> Result<&mut Self, EncodeError> {
        self.names.put_unset_var(&mut self.buffer, scope, name)?;
        Ok(self)
    }

    /// Adds the actions of `other` behind these.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        self.buffer.put(other.as_bytes());
        self
    }

    /// Returns whether there is no action: HAProxy goes on as if the agent had nothing to say.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    #[inline(always)]
    pub(crate) fn append_to(&self, frame: &mut OpenFrame<'_>) {
        self.buffer.append_to(frame);
    }

    /// Returns the actions as they stand in the payload of an ACK.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.buffer.as_bytes()
    }
}

impl Default for Actions {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Actions {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Actions {}

/// What HAProxy takes as the name of a variable.
///
/// It keeps `scope.prefix.name` in 64 bytes with a NUL, and drops a variable that does not fit, or whose name has a
/// byte other than letters, digits, `_` and `.`, without a word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameRule {
    prefix_len: usize,
}

impl NameRule {
    const MAX_FULL_NAME: usize = 63;

    /// A prefix has one byte at least.
    pub(crate) const ANY_PREFIX: Self = Self { prefix_len: 1 };

    pub(crate) const fn new(prefix: &str) -> Self {
        Self { prefix_len: prefix.len() }
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
        out.put_head(&Head { start: [1, 3, scope as u8], name, value: Some(&value) });
        let body = value.body();
        if !body.is_empty() {
            out.put(body);
        }
        Ok(())
    }

    pub(crate) fn put_unset_var(
        self,
        out: &mut impl Sink,
        scope: Scope,
        name: &str,
    ) -> Result<(), EncodeError> {
        self.check(scope, name)?;
        out.put_head(&Head { start: [2, 2, scope as u8], name, value: None });
        Ok(())
    }

    #[inline]
    fn check(self, scope: Scope, name: &str) -> Result<(), EncodeError> {
        let around = scope.keyword().len() + self.prefix_len + "..".len();
        if around + name.len() > Self::MAX_FULL_NAME {
            let max = Self::MAX_FULL_NAME.saturating_sub(around);
            return Err(EncodeError::NameTooLong { len: name.len(), max });
        }
        if is_name(name.as_bytes()) { Ok(()) } else { Err(name_byte(name)) }
    }
}

/// Four bytes at a time, without a branch for each.
#[inline]
fn is_name(name: &[u8]) -> bool {
    let good = |byte: u8| NAME_BYTES[usize::from(byte)];
    let (fours, rest) = name.as_chunks();
    fours.iter().all(|&[a, b, c, d]| good(a) & good(b) & good(c) & good(d))
        && rest.iter().all(|&byte| good(byte))
}

#[cold]
fn name_byte(name: &str) -> EncodeError {
    let bad = name.bytes().find(|&byte| !NAME_BYTES[usize::from(byte)]);
    EncodeError::NameByte(bad.unwrap_or_default())
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

/// All of an action but the body of a STRING or BINARY.
pub(crate) struct Head<'a> {
    /// Type, argument count and scope.
    start: [u8; 3],
    /// A checked name.
    name: &'a str,
    value: Option<&'a TypedData<'a>>,
}

impl Head<'_> {
    /// What precedes the name, its length included; name; fixed part of the value.
    pub(crate) const MAX: usize = 4 + NameRule::MAX_FULL_NAME + TypedData::MAX_HEAD;

    /// Writes it at the start of `out` and returns its length; `None` if it does not fit.
    #[inline(always)]
    pub(crate) fn write(&self, out: &mut [u8]) -> Option<usize> {
        let [action, args, scope] = self.start;
        let (head, rest) = out.split_first_chunk_mut()?;
        // The name has been checked, so its length is one byte.
        *head = [action, args, scope, self.name.len() as u8];
        let (name, rest) = rest.split_at_mut_checked(self.name.len())?;
        copy_name(name, self.name.as_bytes());
        let value = match self.value {
            Some(value) => value.write_head(rest)?,
            None => 0,
        };
        Some(head.len() + name.len() + value)
    }
}

/// Copies a name of the same length: those of 8 to 16 bytes, as most have, in two moves that overlap.
#[inline(always)]
fn copy_name(to: &mut [u8], name: &[u8]) {
    if name.len() <= 16
        && let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>())
        && let Some(spare) = to.first_chunk_mut()
    {
        *spare = *first;
        if let Some(spare) = to.last_chunk_mut() {
            *spare = *last;
        }
    } else {
        to.copy_from_slice(name);
    }
}

/// What actions are written to.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn put_head(&mut self, head: &Head<'_>);
}

const INLINE: usize = 78;

#[derive(Clone, Debug)]
enum Buffer {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Vec<u8>),
}

impl Buffer {
    const EMPTY: Self = Self::Inline { len: 0, bytes: [0; INLINE] };

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }

    #[cold]
    #[inline(never)]
    fn put_head_on_heap(&mut self, head: &Head<'_>) {
        let mut bytes = [0; Head::MAX];
        let len = head.write(&mut bytes).unwrap_or_default();
        self.put(&bytes[..len]);
    }

    /// Appends the bytes to `frame`. Those inline go with all their capacity, as that is a move of known size.
    #[inline(always)]
    fn append_to(&self, frame: &mut OpenFrame<'_>) {
        match self {
            Self::Inline { len, bytes } => frame.put_in_place(|spare| {
                *spare = *bytes;
                Some(usize::from(*len))
            }),
            Self::Heap(bytes) => frame.put(bytes),
        }
    }

    #[cold]
    fn spill(&mut self, more: &[u8]) {
        *self = Self::Heap([self.as_bytes(), more].concat());
    }
}

impl Sink for Buffer {
    #[inline]
    fn put_head(&mut self, head: &Head<'_>) {
        if let Self::Inline { len, bytes } = self
            && let Some(free) = bytes.get_mut(usize::from(*len)..)
            && let Some(more) = head.write(free)
        {
            *len += more as u8;
            return;
        }
        self.put_head_on_heap(head);
    }

    #[inline]
    fn put(&mut self, more: &[u8]) {
        match self {
            Self::Inline { len, bytes } => {
                let start = usize::from(*len);
                match bytes.get_mut(start..start + more.len()) {
                    Some(free) => {
                        free.copy_from_slice(more);
                        *len = (start + more.len()) as u8;
                    }
                    None => self.spill(more),
                }
            }
            Self::Heap(bytes) => bytes.extend_from_slice(more),
        }
    }
}

#[cfg(test)]
mod tests;
