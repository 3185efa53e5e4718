//! The future of a request.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use spop::Actions;

use super::Router;
use super::gather::{Gather, a_little_less};
use super::route::{Fault, Route, Started};
use crate::extract::MessageRef;
use crate::handler::Answer;
use crate::{Request, Unanswered};

type Answered = Result<Actions, Unanswered>;

/// Answers a request. One message whose handler is ready at once, which is what most requests are, needs no state but
/// the request.
pub(super) struct Answering<'r> {
    router: &'r Router,
    state: State<'r>,
}

enum State<'r> {
    New(Request),
    Waits(Pin<Box<dyn Future<Output = Answered> + Send + 'r>>),
    Done,
}

impl<'r> Answering<'r> {
    #[inline]
    pub(super) fn new(router: &'r Router, request: Request) -> Self {
        Self { router, state: State::New(request) }
    }

    /// Puts a future in the place of the request, which it is made of.
    #[inline(never)]
    fn wait_for<F>(&mut self, make: impl FnOnce(&'r Router, Request) -> F)
    where
        F: Future<Output = Answered> + Send + 'r,
    {
        if let State::New(request) = std::mem::replace(&mut self.state, State::Done) {
            self.state = State::Waits(Box::pin(make(self.router, request)));
        }
    }
}

impl Future for Answering<'_> {
    type Output = Answered;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let router = self.router;
        match &mut self.state {
            State::New(request) => match router.begin(request, cx) {
                Begun::Done(answered) => Poll::Ready(answered),
                Begun::One(route, answer) => {
                    self.wait_for(|_, request| one(route, answer, request));
                    // Its time runs from now on.
                    self.poll(cx)
                }
                Begun::Many => {
                    self.wait_for(many);
                    self.poll(cx)
                }
            },
            State::Waits(future) => future.as_mut().poll(cx),
            // Polled again after it was ready: against the rules, and never ready again.
            State::Done => Poll::Pending,
        }
    }
}

/// What a request has come to at once.
enum Begun<'r> {
    Done(Answered),
    /// There is one message, and its handler has been polled, and waits.
    One(&'r Route, Answer),
    /// There are several; nothing has been done.
    Many,
}

impl Router {
    #[inline]
    fn begin(&self, request: &Request, task: &mut Context<'_>) -> Begun<'_> {
        let mut messages = request.messages();
        let message = match (messages.len(), messages.next()) {
            (1, Some(message)) => message,
            (0, _) | (_, None) => return Begun::Done(Ok(Actions::new())),
            (count, _) if count > self.max_messages => return Begun::Done(Err(self.too_many(count))),
            _ => return Begun::Many,
        };
        let Some(route) = self.route_for(&message) else { return Begun::Done(Ok(Actions::new())) };
        let mut done = Actions::new();
        match route.start(&MessageRef::new(request, message), &mut done, task) {
            Started::Done => Begun::Done(Ok(done)),
            Started::Failed(fault) => Begun::Done(Err(failed(route, fault, request))),
            Started::Waits(answer) => Begun::One(route, answer),
        }
    }
}

/// Waits for the only message of a request.
async fn one(route: &Route, answer: Answer, request: Request) -> Answered {
    // Without a fallback of its own the server looks after the time: nothing but the one answer could be lost.
    let limit = request.time_limit().filter(|_| route.has_fallback()).map(a_little_less);
    route.outcome(answer, limit).await.map_err(|fault| failed(route, fault, &request))
}

/// Answers several messages.
async fn many(router: &Router, request: Request) -> Answered {
    let (mut gather, mut done) = (Gather::new(&request), Actions::new());
    let start = |cx: &mut Context<'_>| {
        for message in request.messages() {
            if let Some(route) = router.route_for(&message) {
                gather.start(route, message, &mut done, cx);
            }
        }
    };
    start_once(start).await;
    gather.finish(done).await
}

/// Calls `start` with the task.
async fn start_once(start: impl FnOnce(&mut Context<'_>)) {
    let mut start = Some(start);
    poll_fn(|cx| {
        if let Some(start) = start.take() {
            start(cx);
        }
        Poll::Ready(())
    })
    .await;
}

/// The only message of a request has failed.
#[cold]
fn failed(route: &Route, fault: Fault, request: &Request) -> Unanswered {
    let mut done = Actions::new();
    let message = MessageRef::new(request, request.messages().next().unwrap_or_default());
    let failure = route.fail(fault, &message, &mut done);
    Unanswered::new(done, vec![failure])
}
