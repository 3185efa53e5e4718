//! Errors that say which messages a service left unanswered, below middleware and without a router.

mod support;

use std::error::Error;

use spop_tokio::{
    Actions, FailureKind, MessageFailure, Request, Route, Router, Server, Service, Unanswered, service_fn,
};
use support::{Haproxy, Held, answer, serve, texts};

/// Middleware that says which service failed.
struct Layer(Router);

#[derive(Debug)]
struct Wrapped(Unanswered);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the wrapped service failed")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl Service for Layer {
    type Error = Wrapped;

    async fn call(&self, request: Request) -> Result<Actions, Wrapped> {
        self.0.call(request).await.map_err(Wrapped)
    }
}

#[tokio::test]
async fn middleware_that_wraps_the_error_of_a_router_takes_no_answer_away() {
    let (held, mut calls) = Held::new();
    let slow = Route::new(held.handler()).concurrency(1);
    let (io, _serving) = serve(
        Server::new(Layer(Router::new().message("slow", slow).message("a", || answer("by a")))),
        1 << 16,
    );
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("slow").await;
    let _in_flight = calls.next().await;
    haproxy.ask_together(&["slow", "a"]).await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=by a", "txn.failure=overload"]);
}

#[tokio::test]
async fn any_service_can_say_what_kind_of_failure_it_is() {
    let service = service_fn(|_: Request| async {
        let failure = MessageFailure::new(FailureKind::Overload).of_message("m").with_error("all busy");
        Err::<Actions, _>(Unanswered::from(failure).with_actions(answer("done")))
    });
    let (io, _serving) = serve(Server::new(service), 1 << 16);
    let mut haproxy = Haproxy::connect(io).await;
    haproxy.ask("m").await;
    assert_eq!(texts(&haproxy.ack().await), ["txn.name=done", "txn.failure=overload"]);
}
