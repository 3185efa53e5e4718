use alloc::vec::Vec;

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
    /// The engine that this connection belongs to: opaque bytes, new at every reload of HAProxy.
    pub engine_id: Option<Vec<u8>>,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The HELLOs are not exchanged yet.
    Hello,
    /// NOTIFYs and ACKs flow.
    Running,
    /// They still flow, and the connection ends once every NOTIFY has its ACK.
    Draining,
    /// It has ended: send what is left, and close.
    Closed,
}
