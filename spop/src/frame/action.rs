use crate::error::EncodeError;
use crate::sink::{Sink, SmallBuffer};
use crate::typed_data::{Text, TypedData};

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

    /// The name that `var(...)` in a HAProxy configuration starts with.
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

/// The answer to a NOTIFY: a list of actions, encoded as it is built. Up to 110 bytes, three or four variables, need no
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
    buffer: SmallBuffer,
    names: NameRule,
}

impl Actions {
    /// No action yet; the variable prefix is not known, so names are held to the shortest possible one.
    pub const fn new() -> Self {
        Self { buffer: SmallBuffer::EMPTY, names: NameRule::ANY_PREFIX }
    }

    /// No action yet; names are held to what `prefix`, the `option var-prefix` of the `spoe-agent` section (by default
    /// the agent's name), leaves of the 63 bytes that HAProxy allows for `scope.prefix.name`.
    ///
    /// ```
    /// use spop::{Actions, EncodeError, Scope};
    ///
    /// let mut actions = Actions::with_var_prefix("iprep");
    /// let error = actions.set_var(Scope::Transaction, &"x".repeat(54), true).unwrap_err();
    /// assert_eq!(error, EncodeError::NameTooLong { len: 54, max: 53 });
    /// ```
    pub fn with_var_prefix(prefix: &str) -> Self {
        Self { buffer: SmallBuffer::EMPTY, names: NameRule::new(prefix) }
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

    /// Whether there is no action: HAProxy goes on as if the agent had nothing to say.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    /// The actions as they stand in the payload of an ACK.
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

    /// Type, argument count, scope and length; name; value but for the body of STRING and BINARY.
    const MAX_ACTION: usize = 4 + Self::MAX_FULL_NAME + TypedData::MAX_HEAD;

    /// Which bytes may be in a name.
    const IN_NAMES: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte] = (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'_' | b'.');
            byte += 1;
        }
        table
    };

    /// A prefix has one byte at least.
    pub(crate) const ANY_PREFIX: Self = Self { prefix_len: 1 };

    pub(crate) const fn new(prefix: &str) -> Self {
        Self { prefix_len: prefix.len() }
    }

    #[inline]
    pub(crate) fn put_set_var(
        self,
        out: &mut impl Sink,
        scope: Scope,
        name: &str,
        value: TypedData<'_>,
    ) -> Result<(), EncodeError> {
        self.check(scope, name)?;
        out.fill::<{ Self::MAX_ACTION }>(|room| {
            // A name that passed the check has a length of one byte.
            room.put(&[1, 3, scope as u8, name.len() as u8]);
            room.put(name.as_bytes());
            value.put_head(room);
        });
        out.put(value.body());
        Ok(())
    }

    pub(crate) fn put_unset_var(
        self,
        out: &mut impl Sink,
        scope: Scope,
        name: &str,
    ) -> Result<(), EncodeError> {
        self.check(scope, name)?;
        out.fill::<{ Self::MAX_ACTION }>(|room| {
            room.put(&[2, 2, scope as u8, name.len() as u8]);
            room.put(name.as_bytes());
        });
        Ok(())
    }

    #[cold]
    fn bad_byte(name: &str) -> EncodeError {
        let bad = name.bytes().find(|&byte| !Self::IN_NAMES[usize::from(byte)]);
        EncodeError::NameByte(bad.unwrap_or_default())
    }

    #[inline]
    fn check(self, scope: Scope, name: &str) -> Result<(), EncodeError> {
        let max = Self::MAX_FULL_NAME.saturating_sub(scope.keyword().len() + self.prefix_len + "..".len());
        if name.len() > max {
            return Err(EncodeError::NameTooLong { len: name.len(), max });
        }
        // All bytes, without a branch for each: it is the rule that they are good.
        let good = name.bytes().fold(true, |good, byte| good & Self::IN_NAMES[usize::from(byte)]);
        if good { Ok(()) } else { Err(Self::bad_byte(name)) }
    }
}

#[cfg(test)]
mod tests;
