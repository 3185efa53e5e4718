use std::future::Future;

use futures_util::future::BoxFuture;
use spop_tokio::{Actions, BoxError, MessageRequest, Request, Server, Service};
use tokio::sync::{mpsc, oneshot};

use super::{answer, soon};

/// A service whose handlers wait until the test says what to answer.
#[derive(Clone)]
pub(crate) struct Held(mpsc::UnboundedSender<Call>);

/// The handlers of a [`Held`], in the order in which they started.
pub(crate) struct Calls(mpsc::UnboundedReceiver<Call>);

/// A handler that waits.
pub(crate) struct Call {
    /// The name of the request's first message, or of the one that a router gave the handler.
    pub(crate) name: String,
    pub(crate) request: Request,
    answer: oneshot::Sender<Result<Actions, BoxError>>,
}

/// A server of a [`Held`], without a request timeout, and its handlers.
pub(crate) fn held() -> (Server<Held>, Calls) {
    let (held, calls) = Held::new();
    (Server::new(held).request_timeout(None), calls)
}

impl Held {
    pub(crate) fn new() -> (Self, Calls) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), Calls(receiver))
    }

    /// A handler for a router.
    pub(crate) fn handler(
        &self,
    ) -> impl Fn(MessageRequest) -> BoxFuture<'static, Result<Actions, BoxError>> + use<> {
        let held = self.clone();
        move |request| {
            let held = held.clone();
            Box::pin(async move {
                held.hold(request.message().name().to_string(), request.request().clone()).await
            })
        }
    }

    async fn hold(&self, name: String, request: Request) -> Result<Actions, BoxError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Call { name, request, answer }).map_err(|_| "the test is over")?;
        answered.await?
    }
}

impl Service for Held {
    type Error = BoxError;

    async fn call(&self, request: Request) -> Result<Actions, BoxError> {
        let name = request.messages().next().map(|message| message.name().to_string()).unwrap_or_default();
        self.hold(name, request).await
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
    /// Lets the handler answer with its `name`.
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
