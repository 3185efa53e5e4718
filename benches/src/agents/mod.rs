//! The agents that are compared. Each answers every NOTIFY with the same set-var of an integer.

mod canned;
mod ours;
mod peer;

pub use canned::{Canned, serve as serve_limit};
pub use ours::{Work, server};
pub use peer::{Mode, serve as serve_peer};
