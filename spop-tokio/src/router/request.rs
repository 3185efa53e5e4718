use spop::{ArgError, FromTypedData, Message, MessagePosition, Text};

use crate::Request;

/// One message of a [`Request`], to keep: what a handler takes whose values borrow from the message.
///
/// ```
/// use spop_tokio::{MessageRequest, Var};
///
/// const IS_BOT: Var = Var::transaction("is_bot");
///
/// async fn check(request: MessageRequest) -> Result<(Var, bool), spop_tokio::spop::ArgError> {
///     let agent: Option<&str> = request.get("ua")?;
///     Ok((IS_BOT, agent.is_none_or(|agent| agent.starts_with("curl/"))))
/// }
/// # spop_tokio::Router::<()>::new().message("check", check);
/// ```
#[derive(Clone, Debug)]
pub struct MessageRequest {
    request: Request,
    position: MessagePosition,
}

impl MessageRequest {
    pub(crate) fn new(request: Request, position: MessagePosition) -> Self {
        Self { request, position }
    }

    /// Returns the message.
    pub fn message(&self) -> Message<'_> {
        // It is there: the position was taken from this request.
        self.request.message_at(self.position).unwrap_or_default()
    }

    /// Returns the name of the message.
    pub fn name(&self) -> Text<'_> {
        self.message().name()
    }

    /// Returns the value of the first argument called `name`, as [`Message::get`] does.
    ///
    /// # Errors
    /// If there is no such argument and `T` is no `Option`, or if its value is not a `T`.
    pub fn get<'a, T: FromTypedData<'a>>(&'a self, name: &str) -> Result<T, ArgError> {
        self.message().get(name)
    }

    /// Returns the value of the argument at position `index`, counted from 0, as [`Message::nth`] does.
    ///
    /// # Errors
    /// If there are not so many arguments and `T` is no `Option`, or if the value is not a `T`.
    pub fn nth<'a, T: FromTypedData<'a>>(&'a self, index: usize) -> Result<T, ArgError> {
        self.message().nth(index)
    }

    /// Returns the arguments as a type that derives serde's `Deserialize`, as [`Message::deserialize`] does. Needs the
    /// cargo feature `serde`.
    ///
    /// # Errors
    /// Names the argument and what is wrong with it, the first one found.
    #[cfg(feature = "serde")]
    pub fn deserialize<'a, T: serde_core::Deserialize<'a>>(&'a self) -> Result<T, ArgError> {
        self.message().deserialize()
    }

    /// Returns the whole request, with the other messages and the connection.
    pub fn request(&self) -> &Request {
        &self.request
    }
}
