#[cfg(feature = "serde")]
use spop::Scope;
use spop::{Actions, ToTypedData, Var};

use crate::BoxError;

/// A type that a handler of a [`Router`](crate::Router) can return.
///
/// | type | means |
/// |---|---|
/// | [`Actions`] | itself |
/// | `()` | no action |
/// | `(Var, value)` | sets a variable |
/// | `Option<T>` | `None` is no action |
/// | `[T; N]`, `Vec<T>`, tuples of up to 8 | the actions of each, in order |
/// | `Fields<T>` | sets a variable for each field of a type that derives serde's `Serialize` (cargo feature `serde`) |
/// | `Result<T, E>` | an error is a failure: see [`Server::on_failure`](crate::Server::on_failure) |
///
/// ```
/// use spop_tokio::{IntoActions, Var};
///
/// const SCORE: Var = Var::session("ip_score");
/// const USER: Var = Var::transaction("user");
///
/// let actions = ((SCORE, 42), Some((USER, "ann".to_owned()))).into_actions()?;
/// assert_eq!(actions.to_string(), r#"sess.ip_score=42 txn.user="ann""#);
/// # Ok::<(), spop_tokio::BoxError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the answer of a handler",
    note = "return `Actions`, `()`, `(Var, value)`, `Fields`, or an `Option`, tuple, array or `Result` of those"
)]
pub trait IntoActions {
    /// Makes actions of it.
    ///
    /// # Errors
    /// If it is an error.
    fn into_actions(self) -> Result<Actions, BoxError>;

    /// Adds its actions behind `actions`, all or none.
    ///
    /// # Errors
    /// If it is an error.
    fn append_to(self, actions: &mut Actions) -> Result<(), BoxError>
    where
        Self: Sized,
    {
        self.into_actions()?.append_to(actions)
    }
}

impl IntoActions for Actions {
    #[inline]
    fn into_actions(self) -> Result<Actions, BoxError> {
        Ok(self)
    }

    #[inline]
    fn append_to(self, actions: &mut Actions) -> Result<(), BoxError> {
        if actions.is_empty() {
            *actions = self;
        } else {
            actions.append(&self);
        }
        Ok(())
    }
}

impl IntoActions for () {
    #[inline]
    fn into_actions(self) -> Result<Actions, BoxError> {
        Ok(Actions::new())
    }

    #[inline]
    fn append_to(self, _: &mut Actions) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<V: ToTypedData> IntoActions for (Var, V) {
    #[inline]
    fn into_actions(self) -> Result<Actions, BoxError> {
        Ok(Actions::new().set(self.0, self.1))
    }
}

impl<T: IntoActions> IntoActions for Option<T> {
    #[inline]
    fn into_actions(self) -> Result<Actions, BoxError> {
        self.map_or_else(|| Ok(Actions::new()), T::into_actions)
    }

    #[inline]
    fn append_to(self, actions: &mut Actions) -> Result<(), BoxError> {
        self.map_or(Ok(()), |some| some.append_to(actions))
    }
}

impl<T: IntoActions, E: Into<BoxError>> IntoActions for Result<T, E> {
    #[inline]
    fn into_actions(self) -> Result<Actions, BoxError> {
        self.map_err(E::into).and_then(T::into_actions)
    }

    #[inline]
    fn append_to(self, actions: &mut Actions) -> Result<(), BoxError> {
        self.map_err(E::into)?.append_to(actions)
    }
}

impl<T: IntoActions, const N: usize> IntoActions for [T; N] {
    fn into_actions(self) -> Result<Actions, BoxError> {
        all(self)
    }
}

impl<T: IntoActions> IntoActions for Vec<T> {
    fn into_actions(self) -> Result<Actions, BoxError> {
        all(self)
    }
}

fn all<T: IntoActions>(each: impl IntoIterator<Item = T>) -> Result<Actions, BoxError> {
    let mut actions = Actions::new();
    each.into_iter().try_for_each(|each| each.append_to(&mut actions))?;
    Ok(actions)
}

macro_rules! tuples {
    ($($($each:ident)+;)*) => {$(
        #[allow(non_snake_case, reason = "a value is named like its type")]
        impl<$($each: IntoActions),+> IntoActions for ($($each,)+) {
            fn into_actions(self) -> Result<Actions, BoxError> {
                let ($($each,)+) = self;
                let mut actions = Actions::new();
                $($each.append_to(&mut actions)?;)+
                Ok(actions)
            }
        }
    )*};
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

/// A type that derives serde's `Serialize`, as a variable for each field: see [`Actions::set_fields`]. Needs the cargo
/// feature `serde`.
///
/// ```
/// use serde::Serialize;
/// use spop_tokio::{Fields, IntoActions};
///
/// #[derive(Serialize)]
/// struct Verdict {
///     user: Option<String>,
///     allow: bool,
/// }
///
/// let verdict = Fields::transaction(Verdict { user: None, allow: false });
/// assert_eq!(verdict.into_actions()?.to_string(), "txn.user=NULL txn.allow=false");
/// # Ok::<(), spop_tokio::BoxError>(())
/// ```
#[cfg(feature = "serde")]
#[derive(Clone, Copy, Debug)]
pub struct Fields<T> {
    scope: Scope,
    fields: T,
}

#[cfg(feature = "serde")]
impl<T> Fields<T> {
    /// Creates variables of this scope.
    pub fn new(scope: Scope, fields: T) -> Self {
        Self { scope, fields }
    }

    /// Creates variables of scope `sess`: see [`Scope::Session`].
    pub fn session(fields: T) -> Self {
        Self::new(Scope::Session, fields)
    }

    /// Creates variables of scope `txn`: see [`Scope::Transaction`].
    pub fn transaction(fields: T) -> Self {
        Self::new(Scope::Transaction, fields)
    }
}

#[cfg(feature = "serde")]
impl<T: serde_core::Serialize> IntoActions for Fields<T> {
    fn into_actions(self) -> Result<Actions, BoxError> {
        Ok(Actions::new().set_fields(self.scope, &self.fields)?)
    }
}
