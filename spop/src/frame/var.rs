use core::fmt;

pub use self::error::VarError;
use super::{EncodeError, NameRule, Scope};

mod error;

/// A variable that an agent sets: its scope, and its name without scope and prefix. HAProxy's configuration reads it as
/// `var(<scope>.<var-prefix>.<name>)`.
///
/// Make it a `const`: its name is checked by the compiler then, and [`Actions::set`](crate::Actions::set) has no error
/// to return.
///
/// ```
/// use spop::{Actions, Var};
///
/// const SCORE: Var = Var::session("ip_score");
///
/// let actions = Actions::new().set(SCORE, 42);
/// assert_eq!(actions.to_string(), "sess.ip_score=42");
/// ```
///
/// HAProxy has no `-` in names:
///
/// ```compile_fail
/// const SCORE: spop::Var = spop::Var::session("ip-score");
/// # let _ = SCORE;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Var {
    scope: Scope,
    name: &'static str,
}

impl Var {
    /// A variable of scope `proc`: see [`Scope::Process`].
    ///
    /// # Panics
    /// As [`session`](Self::session).
    pub const fn process(name: &'static str) -> Self {
        Self::checked(Scope::Process, name)
    }

    /// A variable of scope `sess`: see [`Scope::Session`].
    ///
    /// # Panics
    /// If HAProxy would drop the variable: `name` has a byte other than `A-Z a-z 0-9 _ .`, or is so long that
    /// `sess.p.name`, with the shortest prefix there can be, has more than 63 bytes. In a `const` that is an error at
    /// compile time. For a name that is not known by then see [`new`](Self::new).
    pub const fn session(name: &'static str) -> Self {
        Self::checked(Scope::Session, name)
    }

    /// A variable of scope `txn`: see [`Scope::Transaction`].
    ///
    /// # Panics
    /// As [`session`](Self::session).
    pub const fn transaction(name: &'static str) -> Self {
        Self::checked(Scope::Transaction, name)
    }

    /// A variable of scope `req`: see [`Scope::Request`].
    ///
    /// # Panics
    /// As [`session`](Self::session).
    pub const fn request(name: &'static str) -> Self {
        Self::checked(Scope::Request, name)
    }

    /// A variable of scope `res`: see [`Scope::Response`].
    ///
    /// # Panics
    /// As [`session`](Self::session).
    pub const fn response(name: &'static str) -> Self {
        Self::checked(Scope::Response, name)
    }

    /// A variable whose name is not known at compile time.
    ///
    /// # Errors
    /// [`EncodeError::NameByte`] or [`EncodeError::NameTooLong`] if HAProxy would drop the variable.
    pub const fn new(scope: Scope, name: &'static str) -> Result<Self, EncodeError> {
        match NameRule::ANY_PREFIX.check(scope, name) {
            Ok(()) => Ok(Self { scope, name }),
            Err(error) => Err(error),
        }
    }

    const fn checked(scope: Scope, name: &'static str) -> Self {
        match Self::new(scope, name) {
            Ok(var) => var,
            Err(EncodeError::NameTooLong { .. }) => {
                panic!("variable name too long: HAProxy drops scope.prefix.name past 63 bytes")
            }
            Err(_) => panic!("variable name with a byte other than A-Z a-z 0-9 _ ., which HAProxy drops"),
        }
    }

    /// Where it lives.
    pub const fn scope(self) -> Scope {
        self.scope
    }

    /// Its name without scope and prefix.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Checks that HAProxy takes it with this `option var-prefix` (by default the agent's name).
    ///
    /// # Errors
    /// If `scope.prefix.name` has more than 63 bytes.
    pub fn check_prefix(self, prefix: &str) -> Result<(), VarError> {
        let checked = NameRule::new(prefix).check(self.scope, self.name);
        checked.map_err(|error| VarError::new(self.scope, self.name, error))
    }
}

/// `sess.ip_score`: without the prefix, which HAProxy puts between.
impl fmt::Display for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.scope.keyword(), self.name)
    }
}

impl fmt::Debug for Var {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
