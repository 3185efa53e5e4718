//! Starts a real HAProxy, an agent and a web server behind it: for tests, and for a person who wants to see them.
//!
//! ```text
//! client ──HTTP──▶ HaproxyProcess ──HTTP──▶ Backend
//!  (http)                │
//!                        └──────────SPOP──▶ AgentProcess
//! ```
//!
//! ```no_run
//! use std::process::Command;
//! use std::time::Duration;
//!
//! use testbed::{AgentProcess, Backend, Config, HaproxyProcess, Spoe, build_example, haproxies, http};
//!
//! # async fn run() -> Result<(), testbed::Error> {
//! let deadline = Duration::from_secs(10);
//! let backend = Backend::start().await?;
//! let mut agent = Command::new(build_example("ip-reputation")?);
//! agent.args(["--listen", "127.0.0.1:0"]);
//! let agent = AgentProcess::start(agent, deadline).await?;
//!
//! let spoe = Spoe::new("iprep").message("check-client-ip", &["args ip=src", "event on-client-session"]);
//! let config = Config::http(&spoe)
//!     .frontend("http-after-response set-header x-score %[var(sess.iprep.ip_score)]")
//!     .agent(agent.address()?)
//!     .backend(backend.addr());
//!
//! for version in haproxies()? {
//!     let haproxy = HaproxyProcess::start(&version, &config).await?;
//!     haproxy.wait_server_status("agents", "agent1", "UP", deadline).await?;
//!     let response = http::get(haproxy.http(), "/", &[]).await?;
//!     assert_eq!(response.status, 200);
//!     println!("{version}: score {:?}", response.header("x-score"));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Which HAProxys there are, and how the environment picks them, is written at [`haproxies`]. Whatever the testbed
//! starts ends when its value is dropped, and also when the test run is killed. Every wait has a deadline, and its
//! error says what was awaited and what the process has printed instead.
//!
//! Linux only: it uses pidfds and `/proc`.

#![forbid(unsafe_code)]

mod agent;
mod backend;
mod browser;
mod cargo;
pub mod check;
mod command;
mod config;
mod debian;
mod error;
mod haproxy;
pub mod http;
mod lines;
mod message;
mod port;
mod proc;
mod process;
mod provision;
mod random;
mod redis;
mod runtime_api;
mod spoe;

pub use agent::AgentProcess;
pub use backend::Backend;
pub use browser::chromium;
pub use cargo::build_example;
pub use config::Config;
pub use error::Error;
pub use haproxy::HaproxyProcess;
pub use lines::Lines;
pub use port::ReservedPort;
pub use proc::cpu_wait;
pub use provision::{Haproxy, Version, haproxies};
pub use random::Random;
pub use redis::RedisProcess;
pub use runtime_api::ServerStatus;
/// Names of signals, for [`HaproxyProcess::signal`] and [`AgentProcess::signal`].
pub use rustix::process::Signal;
pub use spoe::Spoe;
