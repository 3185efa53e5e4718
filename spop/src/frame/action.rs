use alloc::vec::Vec;
use core::fmt;

use super::{AckActions, NameRule, OpenFrame, Var, VarError};
use crate::wire::{Text, ToTypedData, TypedData};

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
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// `sess.ip_score=42` or `unset sess.ip_score`: the name without the prefix, the value as [`TypedData`] shows it.
impl fmt::Display for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetVar { scope, name, value } => write!(f, "{}.{name}={value}", scope.keyword()),
            Self::UnsetVar { scope, name } => write!(f, "unset {}.{name}", scope.keyword()),
        }
    }
}

/// As `Display`: a list of actions is read more often than it is taken apart.
impl fmt::Debug for Action<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The answer to a NOTIFY: a list of actions, encoded as it is built. Up to 78 bytes, two or three variables, need no
/// heap.
///
/// HAProxy stops without a word at the first action it cannot read, and without a word drops a variable whose name it
/// does not like. So a call that fails leaves nothing of its action behind, and names are checked.
///
/// ```
/// use spop::{Actions, Scope, Var};
///
/// const SCORE: Var = Var::session("ip_score");
/// const CHALLENGE: Var = Var::transaction("challenge");
///
/// let actions = Actions::new().set(SCORE, 42).unset(CHALLENGE);
/// assert_eq!(actions.to_string(), "sess.ip_score=42 unset txn.challenge");
///
/// // With a name that is only known at run time.
/// let mut actions = Actions::new();
/// actions.set_var(Scope::Session, "ip_score", 42)?;
/// assert!(actions.set_var(Scope::Session, "ip-score", 42).is_err(), "HAProxy has no `-` in names");
/// # Ok::<(), spop::EncodeError>(())
/// ```
#[derive(Clone)]
pub struct Actions {
    buffer: Buffer,
    names: NameRule,
    /// The length of the longest `scope` and `name`.
    longest: u8,
}

impl Actions {
    /// Creates a list without actions; the variable prefix is not known, so names are held to the shortest possible
    /// one.
    pub const fn new() -> Self {
        Self { buffer: Buffer::EMPTY, names: NameRule::ANY_PREFIX, longest: 0 }
    }

    /// Creates a list without actions; names are held to what `prefix`, the `option var-prefix` of the `spoe-agent`
    /// section (by default the agent's name), leaves of the 63 bytes that HAProxy allows for `scope.prefix.name`.
    ///
    /// ```
    /// use spop::{Actions, EncodeError, Scope};
    ///
    /// let mut actions = Actions::with_var_prefix("iprep");
    /// let error = actions.set_var(Scope::Transaction, &"x".repeat(54), true).unwrap_err();
    /// assert_eq!(error.kind(), EncodeError::NameTooLong { len: 54, max: 53 });
    /// ```
    pub fn with_var_prefix(prefix: &str) -> Self {
        Self { buffer: Buffer::EMPTY, names: NameRule::new(prefix), longest: 0 }
    }

    /// Sets a variable. NULL, such as `None`, unsets it.
    ///
    /// The name was checked when `var` was made. That it is not too long for HAProxy's `var-prefix` is checked where
    /// the actions become an ACK, if the prefix is known there.
    #[inline]
    #[must_use]
    pub fn set(mut self, var: Var, value: impl ToTypedData) -> Self {
        self.put_set(var.scope(), var.name(), &value.to_typed_data());
        self
    }

    /// Unsets a variable.
    #[must_use]
    pub fn unset(mut self, var: Var) -> Self {
        self.put_unset(var.scope(), var.name());
        self
    }

    /// Sets a variable whose name is not known at compile time: `var(<scope>.<var-prefix>.<name>)` in HAProxy's
    /// configuration. NULL, such as `None`, unsets it.
    ///
    /// # Errors
    /// If HAProxy would drop the variable: because of a byte in its name, or of the name's length.
    #[inline]
    pub fn set_var(
        &mut self,
        scope: Scope,
        name: &str,
        value: impl ToTypedData,
    ) -> Result<&mut Self, VarError> {
        self.check(scope, name)?;
        self.put_set(scope, name, &value.to_typed_data());
        Ok(self)
    }

    /// Unsets a variable whose name is not known at compile time.
    ///
    /// # Errors
    /// As [`set_var`](Self::set_var).
    pub fn unset_var(&mut self, scope: Scope, name: &str) -> Result<&mut Self, VarError> {
        self.check(scope, name)?;
        self.put_unset(scope, name);
        Ok(self)
    }

    #[inline]
    fn check(&self, scope: Scope, name: &str) -> Result<(), VarError> {
        self.names.check(scope, name).map_err(|error| VarError::new(scope, name, error))
    }

    /// Checks that no name is too long for HAProxy with this `option var-prefix` (by default the agent's name).
    ///
    /// # Errors
    /// Names the first variable that is.
    pub fn check_prefix(&self, prefix: &str) -> Result<(), VarError> {
        let names = NameRule::new(prefix);
        if self.longest() <= names.max_len() { Ok(()) } else { names.find_too_long(self) }
    }

    /// The length of the longest `scope` and `name`.
    #[inline(always)]
    pub(super) fn longest(&self) -> usize {
        self.longest.into()
    }

    #[inline]
    fn put_set(&mut self, scope: Scope, name: &str, value: &TypedData<'_>) {
        self.longest = self.longest.max(len_with_scope(scope, name));
        put_set_var(&mut self.buffer, scope, name, value);
    }

    fn put_unset(&mut self, scope: Scope, name: &str) {
        self.longest = self.longest.max(len_with_scope(scope, name));
        put_unset_var(&mut self.buffer, scope, name);
    }

    /// Adds the actions of `other` behind these.
    pub fn append(&mut self, other: &Self) -> &mut Self {
        self.longest = self.longest.max(other.longest);
        self.buffer.put(other.as_bytes());
        self
    }

    /// Returns the actions, in order.
    pub fn iter(&self) -> AckActions<'_> {
        AckActions::new(self.as_bytes())
    }

    /// Returns the value of a variable, if it is set; of the last one if it is set more than once.
    pub fn get(&self, var: Var) -> Option<TypedData<'_>> {
        self.iter().get(var)
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

impl<'a> IntoIterator for &'a Actions {
    type Item = Action<'a>;
    type IntoIter = AckActions<'a>;

    fn into_iter(self) -> AckActions<'a> {
        self.iter()
    }
}

/// `sess.ip_score=42 unset txn.challenge`: the actions, with blanks between.
impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, action) in self.iter().enumerate() {
            write!(f, "{}{action}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// `[sess.ip_score=42, unset txn.challenge]`
impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.iter(), f)
    }
}

/// The length of `scope` and `name`, which was checked: one byte.
#[inline]
fn len_with_scope(scope: Scope, name: &str) -> u8 {
    (scope.keyword().len() + name.len()) as u8
}

/// Adds an action with a checked name.
#[inline(always)]
pub(super) fn put_set_var(out: &mut impl Sink, scope: Scope, name: &str, value: &TypedData<'_>) {
    out.put_head(&Head { start: [1, 3, scope as u8], name, value: Some(value) });
    let body = value.body();
    if !body.is_empty() {
        out.put(body);
    }
}

/// Adds an action with a checked name.
pub(super) fn put_unset_var(out: &mut impl Sink, scope: Scope, name: &str) {
    out.put_head(&Head { start: [2, 2, scope as u8], name, value: None });
}

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
