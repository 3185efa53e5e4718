//! SPOP agents on tokio: HAProxy hands you messages, you answer with variables.
//!
//! ```text
//!            NOTIFY                  Request                     your code
//! HAProxy ------------> Server ------------------> Service::call ----------+
//!         <------------        <------------------                         |
//!              ACK                  Actions        <-----------------------+
//! ```
//!
//! - [`Server`] accepts connections, runs the requests of each at the same time, and answers them as they finish. A
//!   request that fails, panics or takes too long is answered with a fallback, so HAProxy never waits in vain.
//! - [`Router`] is your agent: a handler for each message name, which is a function; [`Service`] is what is behind it,
//!   for an agent that wants all of a request, and [`service_fn`] makes one of a closure.
//! - [`Var`] is a variable to set, [`Actions`] what a handler answers.
//! - [`Client`] plays HAProxy; [`health_check`] is its `option spop-check`.
//! - [`SpopCodec`] returns the bare frames, for tools.
//!
//! The protocol itself, without IO, is the crate [`spop`], re-exported here.
//!
//! # An agent
//!
//! ```no_run
//! use std::net::IpAddr;
//!
//! use spop_tokio::{ArgError, MessageRequest, Router, Server, SocketListener, Var};
//!
//! const SCORE: Var = Var::session("ip_score");
//!
//! // `args ip=src` in the spoe-message section
//! fn check(request: MessageRequest) -> Result<Option<(Var, u32)>, ArgError> {
//!     let ip: Option<IpAddr> = request.get("ip")?; // None for a client on a Unix socket
//!     Ok(ip.map(|ip| (SCORE, if ip.is_loopback() { 100 } else { 50 })))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), spop_tokio::Error> {
//!     let agent = Router::new().message("check-client-ip", check);
//!     Server::new(agent).serve(SocketListener::bind("127.0.0.1:12345").await?).await?;
//!     Ok(())
//! }
//! ```
//!
//! What a handler can ask for is at [`FromMessage`], what it can return at [`IntoActions`], limits of one message at
//! [`Route`], and how to test all that at the module `test` (feature `test-util`).
//!
//! # Features
//!
//! - `serde`: `Args` and `Fields`, for types that derive `Deserialize` and `Serialize`.
//! - `http`: `Headers::to_header_map`.
//! - `test-util`: `Request::builder` and `TestHaproxy`, for tests of agents without a HAProxy.
//! - `tower`: services of tower's from ours, and ours from tower's.
//! - `signal`: `shutdown_signal`, for a graceful end at SIGTERM.
//! - `systemd`: listening sockets that systemd opened (`fd:3` for [`SocketListener::bind`]), and
//!   `Server::notify_systemd`.
//! - `tracing` (default): log events, in a span for each connection and, at debug, one for each request around its
//!   handler, so that your own events have them, too. Nothing prints what a client sent. Without it the crate says
//!   nothing.
//! - `metrics`: counters and histograms for the recorder of the `metrics` crate: the module `metrics` has their table.

mod client;
mod codec;
mod error;
mod extract;
mod handler;
mod into_actions;
mod log;
#[cfg(feature = "metrics")]
pub mod metrics;
mod router;
mod server;
mod service;
#[cfg(feature = "signal")]
mod signal;
#[cfg(feature = "test-util")]
pub mod test;
#[cfg(feature = "tower")]
pub mod tower;
mod unanswered;

pub use client::{Client, Driver, health_check};
pub use codec::SpopCodec;
pub use error::{BoxError, Error};
#[cfg(feature = "serde")]
pub use extract::Args;
pub use extract::{EngineId, FromMessage, FromRef, MessageRef, State};
pub use handler::{BlockingHandler, Handler};
#[cfg(feature = "serde")]
pub use into_actions::Fields;
pub use into_actions::IntoActions;
pub use router::{MessageRequest, Route, Router};
pub use server::{
    Drained, Failure, FailureKind, ForceShutdown, Listener, Serve, Server, SocketListener, VarPrefixError,
};
pub use service::{BoxService, ConnectionInfo, MessageSpec, Peer, Request, Service, ServiceFn, service_fn};
#[cfg(feature = "signal")]
pub use signal::shutdown_signal;
pub use spop;
pub use spop::http::{Headers, OwnedHeaders};
pub use spop::{
    Actions, ArgError, EncodeError, FromTypedData, Message, Scope, Text, ToTypedData, TypedData, Var,
    VarError,
};
pub use unanswered::{MessageFailure, Unanswered};

/// The README's agent compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
