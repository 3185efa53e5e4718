use std::fmt;

use spop::Actions;

use crate::{BoxError, FailureKind};

/// Some messages of a request have no answer of their handlers: the error of a [`Router`](crate::Router), and of any
/// [`Service`] that wants to say more of a failure than that it is an error.
///
/// The [`Server`](crate::Server) answers with the actions there are, and with the fallback of
/// [`Server::on_failure`](crate::Server::on_failure) for the first failure that has no fallback of its own. It looks
/// for this type in the error that the service returns, and in the [sources](std::error::Error::source) of that:
/// middleware that wraps an error takes nothing away, one that turns it into text does.
///
/// ```
/// use spop_tokio::{Actions, FailureKind, MessageFailure, Request, Unanswered, service_fn};
///
/// let service = service_fn(|_: Request| async {
///     let busy = MessageFailure::new(FailureKind::Overload).with_error("32 look-ups are in flight");
///     Err::<Actions, _>(Unanswered::from(busy))
/// });
/// # spop_tokio::Server::new(service);
/// ```
///
/// [`Service`]: crate::Service
#[derive(Debug)]
pub struct Unanswered(Box<Parts>);

#[derive(Debug)]
struct Parts {
    done: Actions,
    failures: Vec<MessageFailure>,
}

/// One failure of an [`Unanswered`].
#[derive(Debug)]
pub struct MessageFailure {
    kind: FailureKind,
    message: Option<Box<str>>,
    error: Option<BoxError>,
    has_fallback: bool,
}

impl Unanswered {
    pub(crate) fn new(done: Actions, failures: Vec<MessageFailure>) -> Self {
        Self(Box::new(Parts { done, failures }))
    }

    /// Adds `actions`, those of the messages that were answered.
    #[must_use]
    pub fn with_actions(mut self, actions: Actions) -> Self {
        self.0.done = actions;
        self
    }

    /// Returns the actions of the messages that were answered, in the messages' order.
    pub fn actions(&self) -> &Actions {
        &self.0.done
    }

    /// Returns the failures, in the messages' order.
    pub fn failures(&self) -> &[MessageFailure] {
        &self.0.failures
    }

    pub(crate) fn into_parts(self) -> (Actions, Vec<MessageFailure>) {
        (self.0.done, self.0.failures)
    }

    /// What `error`, which a service returned, says of the request.
    pub(crate) fn of(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(unanswered) => *unanswered,
            Err(error) => {
                let sources = std::iter::successors(error.source(), |error| error.source());
                let found = sources.filter_map(|source| source.downcast_ref::<Self>()).next();
                let wrapped = found.map(|found| (found.0.done.clone(), found.again()));
                match wrapped {
                    Some((done, mut failures)) => {
                        if let Some(first) = failures.first_mut() {
                            first.error = Some(error);
                        }
                        Self::new(done, failures)
                    }
                    None => MessageFailure::new(FailureKind::Error).with_error(error).into(),
                }
            }
        }
    }

    /// The failures, with the texts of their errors.
    fn again(&self) -> Vec<MessageFailure> {
        let again = |failure: &MessageFailure| MessageFailure {
            kind: failure.kind,
            message: failure.message.clone(),
            error: failure.error.as_ref().map(|error| error.to_string().into()),
            has_fallback: failure.has_fallback,
        };
        self.0.failures.iter().map(again).collect()
    }
}

impl From<MessageFailure> for Unanswered {
    fn from(failure: MessageFailure) -> Self {
        Self::new(Actions::new(), vec![failure])
    }
}

impl MessageFailure {
    /// Creates a failure of this kind: of the request as a whole, unless [`of_message`](Self::of_message) says of which
    /// message.
    pub fn new(kind: FailureKind) -> Self {
        Self { kind, message: None, error: None, has_fallback: false }
    }

    /// Sets the name of the message.
    #[must_use]
    pub fn of_message(self, name: impl Into<String>) -> Self {
        Self { message: Some(name.into().into_boxed_str()), ..self }
    }

    /// Sets what went wrong.
    #[must_use]
    pub fn with_error(self, error: impl Into<BoxError>) -> Self {
        Self { error: Some(error.into()), ..self }
    }

    /// Returns what kind of failure it is.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Returns the name of the message.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Returns what went wrong: the handler's error, most often.
    pub fn error(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        self.error.as_deref()
    }

    /// Returns whether the actions have a fallback for it already, so that
    /// [`Server::on_failure`](crate::Server::on_failure) is not asked.
    pub fn has_fallback(&self) -> bool {
        self.has_fallback
    }

    pub(crate) fn set_has_fallback(&mut self) {
        self.has_fallback = true;
    }

    pub(crate) fn into_parts(self) -> (FailureKind, Option<Box<str>>, Option<BoxError>) {
        (self.kind, self.message, self.error)
    }
}

/// What is wrong with which message.
impl fmt::Display for MessageFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(message) = &self.message {
            write!(f, "message {message}: ")?;
        }
        match &self.error {
            Some(error) => error.fmt(f),
            None => self.kind.fmt(f),
        }
    }
}

impl std::error::Error for MessageFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.as_ref()?.source()
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, failure) in self.0.failures.iter().enumerate() {
            write!(f, "{}{failure}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Stands for its failures, so its source is that of the first one.
impl std::error::Error for Unanswered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.failures.first()?.error.as_ref()?.source()
    }
}
