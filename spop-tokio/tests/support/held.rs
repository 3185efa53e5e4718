use std::future::Future;

use spop_tokio::{Actions, BoxError, Request, Server, Service};
use tokio::sync::{mpsc, oneshot};

use super::{answer, soon};

/// A service whose handlers wait until the test says what to answer.
pub(crate) struct Held(mpsc::UnboundedSender<Call>);

/// The handlers of a [`Held`], in the order in which they started.
pub(crate) struct Calls(mpsc::UnboundedReceiver<Call>);

/// A handler that waits.
pub(crate) struct Call {
    /// The name of the request's first message.
    pub(crate) name: String,
    pub(crate) request: Request,
    answer: oneshot::Sender<Result<Actions, BoxError>>,
}

/// A server of a [`Held`], without a request timeout, and its handlers.
pub(crate) fn held() -> (Server<Held>, Calls) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Server::new(Held(sender)).request_timeout(None), Calls(receiver))
}

impl Service for Held {
    type Error = BoxError;

    async fn call(&self, request: Request) -> Result<Actions, BoxError> {
        let name = request.messages().next().map(|message| message.name().to_string()).unwrap_or_default();
        let (answer, answered) = oneshot::channel();
        self.0.send(Call { name, request, answer }).map_err(|_| "the test is over")?;
        answered.await?
    }
}

impl Calls {
    /// The next handler that starts.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Call> {
        let next = soon(self.0.recv());
        async { next.await.expect("the server is there") }
    }

    /// The next `count` handlers that start.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Call> {
        let mut calls = Vec::with_capacity(count);
        for _ in 0..count {
            calls.push(self.next().await);
        }
        calls
    }

    /// Whether no other handler has started.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Call {
    /// Lets the handler answer with the name of the request's first message.
    pub(crate) fn echo(self) {
        let actions = answer(&self.name);
        self.answer(actions);
    }

    /// Lets the handler answer.
    pub(crate) fn answer(self, actions: Actions) {
        let _ = self.answer.send(Ok(actions));
    }

    /// Lets the handler fail.
    pub(crate) fn fail(self, error: &str) {
        let _ = self.answer.send(Err(error.into()));
    }

    /// The handler's future is dropped before it has answered.
    #[track_caller]
    pub(crate) fn dropped(&mut self) -> impl Future<Output = ()> {
        soon(self.answer.closed())
    }

    /// Whether the handler's future has been dropped.
    pub(crate) fn is_dropped(&self) -> bool {
        self.answer.is_closed()
    }
}
