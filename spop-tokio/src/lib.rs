//! SPOP agents on tokio: HAProxy hands you messages, you answer with variables.
//!
//! ```text
//!            NOTIFY                  Request                     your code
//! HAProxy ------------> Server ------------------> Service::call ----------+
//!         <------------        <------------------                         |
//!              ACK                  Actions        <-----------------------+
//! ```
//!
//! - [`Server`] accepts connections, runs the requests of each at the same time, and answers them as they finish. A request
//!   that fails, panics or takes too long is answered with a fallback, so HAProxy never waits in vain.
//! - [`Service`] is your agent; [`service_fn`] makes one of a closure, [`Router`] one of handlers by message name.
//! - [`Client`] plays HAProxy, for tests without one; [`health_check`] is its `option spop-check`.
//! - [`SpopCodec`] gives the bare frames, for tools.
//!
//! The protocol itself, without IO, is the crate [`spop`], re-exported here.
//!
//! # An agent
//!
//! ```no_run
//! use std::net::IpAddr;
//!
//! use spop_tokio::{Actions, BoxError, Request, Scope, Server, SocketListener, service_fn};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let service = service_fn(|request: Request| async move {
//!         let mut actions = Actions::new();
//!         if let Some(message) = request.message("check-client-ip") {
//!             let ip: IpAddr = message.get("ip")?;
//!             actions.set_var(Scope::Session, "ip_score", if ip.is_loopback() { 100 } else { 50 })?;
//!         }
//!         Ok::<_, BoxError>(actions)
//!     });
//!     Server::new(service).serve(SocketListener::bind("127.0.0.1:12345").await?).await?;
//!     Ok(())
//! }
//! ```
//!
//! # A test of it, without HAProxy
//!
//! ```
//! use spop_tokio::spop::haproxy::{Config, Engine};
//! use spop_tokio::spop::{Action, Scope, TypedData};
//! use spop_tokio::{Actions, Client, EncodeError, Request, Server, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), spop_tokio::Error> {
//! let service = service_fn(|_: Request| async {
//!     let mut actions = Actions::new();
//!     actions.set_var(Scope::Session, "ip_score", 50)?;
//!     Ok::<_, EncodeError>(actions)
//! });
//! let (haproxy, agent) = tokio::io::duplex(4096);
//! tokio::spawn(async move { Server::new(service).serve_connection(agent).await });
//!
//! let (client, driver) = Client::connect(haproxy, Config::new(Engine::Mux)).await?;
//! tokio::spawn(driver.run());
//! let ack = client.notify(|notify| notify.message("check-client-ip").map(drop)).await?;
//! let Some(Action::SetVar { value, .. }) = ack.actions().next() else { panic!("no score") };
//! assert_eq!(value, TypedData::Int32(50));
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `signal`: `shutdown_signal`, for a graceful end at SIGTERM.
//! - `tracing` (default): log events, in a span for each connection and, at debug, one for each request around its handler, so
//!   that your own events have them, too. Nothing prints what a client sent. Without it the crate says nothing.
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
pub use server::{Drained, Failure, FailureKind, Listener, Serve, Server, SocketListener, VarPrefixError};
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
