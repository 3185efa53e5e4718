//! What the tests share: a scripted HAProxy, a service whose handlers wait for the test, a stream that remembers its
//! writes.
#![allow(dead_code, unused_imports, reason = "every test binary uses its own part")]

pub(crate) mod haproxy;
mod held;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
mod recorder;
mod running;
pub(crate) mod tables;

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
pub(crate) use haproxy::{Haproxy, MAX_FRAME, frame, frames};
pub(crate) use held::{Call, Calls, Held, held};
pub(crate) use recorder::{Recorder, Writes};
pub(crate) use running::Running;
use spop_tokio::spop::{Ack, Action, FrameType};
use spop_tokio::{Actions, BoxError, Error, Request, Scope, Server, Service, TypedData, service_fn};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

/// Longer than anything here takes, and than any timeout that is tested with paused time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Awaits `future`, but not for ever: what never comes is a failure, not a hang.
#[track_caller]
pub(crate) fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("still waiting after {PATIENCE:?} at {caller}"),
        }
    }
}

/// A connection that a server serves.
pub(crate) type Serving = JoinHandle<Result<usize, Error>>;

/// Serves one connection; returns HAProxy's end of it, with buffers of `capacity` bytes each way.
pub(crate) fn serve<S: Service>(server: Server<S>, capacity: usize) -> (DuplexStream, Serving) {
    serve_one_more(&Arc::new(server), capacity)
}

/// As [`serve`], for one of several connections.
pub(crate) fn serve_one_more<S: Service>(
    server: &Arc<Server<S>>,
    capacity: usize,
) -> (DuplexStream, Serving) {
    let (haproxy, agent) = tokio::io::duplex(capacity);
    let server = Arc::clone(server);
    (haproxy, tokio::spawn(async move { server.serve_connection(agent).await }))
}

/// As [`serve`], with what the server writes on record.
pub(crate) fn serve_recorded<S: Service>(server: Server<S>) -> (DuplexStream, Writes, Serving) {
    let (haproxy, agent) = tokio::io::duplex(1 << 20);
    let (agent, writes) = Recorder::new(agent);
    (haproxy, writes, tokio::spawn(async move { server.serve_connection(agent).await }))
}

/// How the connection ended.
#[track_caller]
pub(crate) fn ended(serving: Serving) -> impl Future<Output = Result<usize, Error>> {
    let end = soon(serving);
    async move { end.await.expect("the server does not panic") }
}

/// Answers every request at once, with the name of its first message in `txn.<prefix>.name`.
pub(crate) fn echo() -> impl Service {
    service_fn(|request: Request| async move {
        let name = request.messages().next().map(|message| message.name().to_string());
        Ok::<_, BoxError>(answer(&name.unwrap_or_default()))
    })
}

/// What [`echo`] answers.
pub(crate) fn answer(name: &str) -> Actions {
    let mut actions = Actions::new();
    actions.set_var(Scope::Transaction, "name", name).expect("a plain name");
    actions
}

/// The one variable an ACK sets: its full name and its text.
#[track_caller]
pub(crate) fn variable(ack: &Ack<Bytes>) -> (String, String) {
    match <[_; 1]>::try_from(variables(ack)) {
        Ok([variable]) => variable,
        Err(variables) => panic!("want one variable, got {variables:?}"),
    }
}

/// The variables an ACK sets, in order: their full names and their texts.
#[track_caller]
pub(crate) fn variables(ack: &Ack<Bytes>) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for action in ack.actions() {
        match action {
            Action::SetVar { scope, name, value: TypedData::String(text) } => {
                variables.push((format!("{}.{name}", scope.keyword()), text.to_string()));
            }
            _ => panic!("want variables of text, got {action:?}"),
        }
    }
    variables
}

/// The variables of an ACK as `name=text`.
#[track_caller]
pub(crate) fn texts(ack: &Ack<Bytes>) -> Vec<String> {
    variables(ack).into_iter().map(|(name, text)| format!("{name}={text}")).collect()
}

/// The name in an answer of [`echo`]'s.
#[track_caller]
pub(crate) fn name_of(ack: &Ack<Bytes>) -> String {
    let (variable, name) = variable(ack);
    assert_eq!(variable, "txn.name");
    name
}

/// The word in the default fallback answer.
#[track_caller]
pub(crate) fn failure_of(ack: &Ack<Bytes>) -> String {
    let (variable, word) = variable(ack);
    assert_eq!(variable, "txn.failure");
    word
}

/// The types of the frames in one write, which must be whole.
#[track_caller]
pub(crate) fn types(write: &[u8]) -> Vec<FrameType> {
    let mut input = BytesMut::from(write);
    frames(&mut input).iter().map(|frame| frame.frame_type()).collect()
}
