//! Decides over HTTP requests for HAProxy: serve the real thing, garbage, or a challenge; and generates what a rejected
//! client gets.
//!
//! ```text
//!            check-request over SPOP                              +-- rules.rs      which rule holds
//! HAProxy -------------------------------> agent.rs  request.rs --+-- challenge.rs  has the client a valid cookie?
//!    |   <-------------------------------
//!    |     txn.<prefix>.response = default | garbage | challenge
//!    |
//!    |   rejected requests, over HTTP                             +-- page.rs       garbage
//!    +-----------------------------------> web.rs    output.rs  --+-- challenge.rs  the challenge's page
//! ```
//!
//! `main.rs` wires that; `reload.rs` reads the rules again, `metrics.rs` counts.

pub mod agent;
pub mod challenge;
pub mod config;
pub mod metrics;
pub mod options;
pub mod output;
pub mod page;
pub mod paths;
pub mod reload;
pub mod request;
pub mod rules;
pub mod tokens;
pub mod web;
