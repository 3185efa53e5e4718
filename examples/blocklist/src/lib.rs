//! Blocks requests by a list that changes while the agent runs. See the README.
//!
//! ```text
//! Source (file, Redis) ──next list──▶ Current ◀──look-up── agent ◀──check-request── HAProxy
//! ```

pub mod agent;
pub mod config;
pub mod current;
pub mod file;
pub mod list;
pub mod options;
pub mod redis;
pub mod rule;
pub mod source;
mod table;
