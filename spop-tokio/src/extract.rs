//! What a handler of a [`Router`](crate::Router) can ask for: its parameters, as axum's users know them.

use std::convert::Infallible;
use std::fmt;

use spop::http::OwnedHeaders;
use spop::{ArgError, Message, Text};

use crate::service::ConnectionInfo;
use crate::{BoxError, MessageRequest, Peer, Request};

/// A type that can be a parameter of a handler, made from the message and the router's state `S`.
///
/// | type | is |
/// |---|---|
/// | [`State<T>`] | the router's state, or a part of it: [`FromRef`] |
/// | `Args<T>` | the arguments, as a type that derives serde's `Deserialize` (cargo feature `serde`) |
/// | [`MessageRequest`] | the message, for what borrows from it |
/// | [`Request`] | all of the NOTIFY, with the other messages |
/// | [`Peer`] | who connected |
/// | [`EngineId`] | the engine whose connection it is |
/// | [`OwnedHeaders`] | the headers in the argument `headers`, `hdrs` or `req_hdrs` (`req.hdrs` or `req.hdrs_bin`) |
/// | [`ConnectionInfo`] | all that is known of the connection |
/// | `Option<T>` | `None` if there is no `T` |
/// | `Result<T, T::Rejection>` | why there is no `T` |
///
/// If there is no such thing, the handler is not called, and its message fails with the rejection.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a handler",
    note = "with a router's state of type `{S}`; see the table at `FromMessage`"
)]
pub trait FromMessage<S>: Sized {
    /// Why there is no such thing.
    type Rejection: Into<BoxError>;

    /// Takes it from the message or the state.
    ///
    /// # Errors
    /// If the message does not have it.
    fn from_message(message: &MessageRef<'_>, state: &S) -> Result<Self, Self::Rejection>;

    /// Returns the names of the arguments it takes, in what a router says about itself; `None` if that is not known.
    fn arg_names() -> Option<&'static [&'static str]> {
        None
    }
}

/// One message of a [`Request`], borrowed.
#[derive(Clone, Debug)]
pub struct MessageRef<'r> {
    request: &'r Request,
    message: Message<'r>,
}

impl<'r> MessageRef<'r> {
    pub(crate) fn new(request: &'r Request, message: Message<'r>) -> Self {
        Self { request, message }
    }

    /// Returns the message.
    pub fn message(&self) -> &Message<'r> {
        &self.message
    }

    /// Returns the connection it came on.
    pub fn connection(&self) -> &'r ConnectionInfo {
        self.request.connection()
    }

    /// Returns the same to keep.
    pub fn to_owned(&self) -> MessageRequest {
        MessageRequest::new(self.request.clone(), self.request.position(&self.message))
    }

    /// Returns all of the request, to keep.
    pub fn to_request(&self) -> Request {
        self.request.clone()
    }
}

/// The router's state, or a part of it: see [`Router::with_state`](crate::Router::with_state). It is cloned for each
/// message, so wrap what is big in an `Arc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

/// A part of a state `S`; all of it is one.
///
/// ```
/// use spop_tokio::{FromRef, Router, State};
///
/// #[derive(Clone)]
/// struct App {
///     limit: u32,
/// }
///
/// impl FromRef<App> for u32 {
///     fn from_ref(app: &App) -> u32 {
///         app.limit
///     }
/// }
///
/// let router = Router::new().message("check", |State(_limit): State<u32>| ()).with_state(App { limit: 7 });
/// # spop_tokio::Server::new(router);
/// ```
pub trait FromRef<S> {
    /// Takes it out of the state, by cloning it most often.
    fn from_ref(state: &S) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    #[inline]
    fn from_ref(state: &T) -> T {
        state.clone()
    }
}

impl<S, T: FromRef<S>> FromMessage<S> for State<T> {
    type Rejection = Infallible;

    #[inline]
    fn from_message(_: &MessageRef<'_>, state: &S) -> Result<Self, Infallible> {
        Ok(Self(T::from_ref(state)))
    }
}

/// The arguments of a message, as a type that derives serde's `Deserialize`: see
/// [`Message::deserialize`](spop::Message::deserialize) for which goes where. Needs the cargo feature `serde`.
///
/// Its fields own what they hold: for `&str` and the like take a [`MessageRequest`] and deserialize that.
#[cfg(feature = "serde")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Args<T>(pub T);

#[cfg(feature = "serde")]
impl<S, T: serde_core::de::DeserializeOwned> FromMessage<S> for Args<T> {
    type Rejection = ArgError;

    #[inline]
    fn from_message(message: &MessageRef<'_>, _: &S) -> Result<Self, ArgError> {
        message.message.deserialize().map(Self)
    }

    fn arg_names() -> Option<&'static [&'static str]> {
        spop::field_names::<T>()
    }
}

/// The id of the engine whose connection it is: a UUID that is new at every reload of HAProxy. Up to HAProxy 3.0 each
/// thread is an engine.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EngineId(Box<[u8]>);

impl EngineId {
    /// Returns the id.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text::new(&self.0).fmt(f)
    }
}

impl fmt::Debug for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineId({self})")
    }
}

impl<S> FromMessage<S> for EngineId {
    type Rejection = BoxError;

    fn from_message(message: &MessageRef<'_>, _: &S) -> Result<Self, BoxError> {
        match &message.connection().negotiated().engine_id {
            Some(id) => Ok(Self(id.as_slice().into())),
            None => Err("HAProxy sent no engine-id".into()),
        }
    }
}

impl<S> FromMessage<S> for OwnedHeaders {
    type Rejection = ArgError;

    fn from_message(message: &MessageRef<'_>, _: &S) -> Result<Self, ArgError> {
        const NAMES: [&str; 3] = ["headers", "hdrs", "req_hdrs"];
        let message = message.message();
        let given = |name: &&&str| message.args().any(|arg| arg.name == **name);
        message.get(NAMES.iter().find(given).unwrap_or(&NAMES[0]))
    }
}

macro_rules! infallible {
    ($($type:ty: |$message:ident| $value:expr;)*) => {$(
        impl<S> FromMessage<S> for $type {
            type Rejection = Infallible;

            #[inline]
            fn from_message($message: &MessageRef<'_>, _: &S) -> Result<Self, Infallible> {
                Ok($value)
            }
        }
    )*};
}

infallible! {
    MessageRequest: |message| message.to_owned();
    Request: |message| message.to_request();
    Peer: |message| message.connection().peer().clone();
    ConnectionInfo: |message| message.connection().clone();
}

impl<S, T: FromMessage<S>> FromMessage<S> for Option<T> {
    type Rejection = Infallible;

    #[inline]
    fn from_message(message: &MessageRef<'_>, state: &S) -> Result<Self, Infallible> {
        Ok(T::from_message(message, state).ok())
    }

    fn arg_names() -> Option<&'static [&'static str]> {
        T::arg_names()
    }
}

impl<S, T: FromMessage<S>> FromMessage<S> for Result<T, T::Rejection> {
    type Rejection = Infallible;

    #[inline]
    fn from_message(message: &MessageRef<'_>, state: &S) -> Result<Self, Infallible> {
        Ok(T::from_message(message, state))
    }

    fn arg_names() -> Option<&'static [&'static str]> {
        T::arg_names()
    }
}
