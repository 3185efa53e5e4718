//! A connection: what may come when, for both roles. Knows frames and time; owns no socket and no clock.

pub mod agent;
mod decoder;
mod error;
mod fragments;
pub mod haproxy;
mod time;

use alloc::vec::Vec;

pub use decoder::FrameDecoder;
pub use error::{ProtocolError, UsageError};
pub use time::Instant;

use crate::{Capabilities, Version};

/// The smallest `max-frame-size` the protocol allows, in bytes (SPOE.txt 3.2.4).
pub const MIN_FRAME_SIZE: u32 = 256;

/// What both sides of a connection agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The version: 2.0.
    pub version: Version,
    /// The longest frame that may be sent, in bytes, the length prefix not counted: the smaller wish of both.
    pub max_frame_size: u32,
    /// What both sides can do. Fragments are not in it: HAProxy sends them without saying so.
    pub capabilities: Capabilities,
    /// The engine that this connection belongs to: opaque bytes, new at every reload of HAProxy, which sends 36. Of a
    /// longer one the first 64 are kept.
    pub engine_id: Option<Vec<u8>>,
}

/// Where a connection stands; [`agent::Connection`] has the table of what is legal when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The HELLOs are not exchanged yet.
    Hello,
    /// NOTIFYs and ACKs flow.
    Running,
    /// They still flow, and HAProxy is given time to read that it is to send one NOTIFY at a time (agent only).
    Settling,
    /// They still flow, and the next ACK after which none is due takes the DISCONNECT with it (agent only).
    Draining,
    /// It has ended: what is left is to be sent.
    Closing,
    /// All is sent: shut the sending side down, and wait for the peer to close (agent only).
    Lingering,
    /// Close the socket.
    Closed,
}
