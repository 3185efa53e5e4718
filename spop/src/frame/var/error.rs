use alloc::boxed::Box;
use core::fmt;

use super::{EncodeError, Scope};

/// A variable that HAProxy would drop without a word: which one, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VarError {
    scope: Scope,
    name: Box<str>,
    error: EncodeError,
}

impl VarError {
    #[cold]
    pub(crate) fn new(scope: Scope, name: &str, error: EncodeError) -> Self {
        Self { scope, name: name.into(), error }
    }

    /// Where it should live.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Its name without scope and prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why HAProxy would drop it: [`EncodeError::NameByte`] or [`EncodeError::NameTooLong`].
    pub fn kind(&self) -> EncodeError {
        self.error
    }
}

impl fmt::Display for VarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "variable {}.{}: {}", self.scope.keyword(), self.name, self.error)
    }
}

impl core::error::Error for VarError {}

impl From<VarError> for EncodeError {
    fn from(error: VarError) -> Self {
        error.error
    }
}

impl PartialEq<EncodeError> for VarError {
    fn eq(&self, other: &EncodeError) -> bool {
        self.error == *other
    }
}
