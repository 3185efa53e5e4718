use crate::fragments::Limits;
use crate::frame::NameRule;
use crate::{Capabilities, MIN_FRAME_SIZE};

/// What an agent offers and bounds, per connection.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) max_frame_size: u32,
    pub(super) capabilities: Capabilities,
    pub(super) max_in_flight: usize,
    pub(super) fragments: Limits,
    pub(super) names: NameRule,
}

impl Config {
    /// The defaults stated at each setter.
    pub const fn new() -> Self {
        Self {
            max_frame_size: 16_380,
            capabilities: Capabilities::PIPELINING,
            max_in_flight: 64,
            fragments: Limits { bytes: 256 * 1024, frames: 4096 },
            names: NameRule::ANY_PREFIX,
        }
    }

    /// The longest frame to take or send, in bytes, the length prefix not counted; default 16380, which is HAProxy's
    /// `tune.bufsize` - 4. The smaller one of both sides holds for what is sent.
    ///
    /// Raise it together with HAProxy's `tune.bufsize` (or the `max-frame-size` of its `spoe-agent`). It bounds the
    /// memory that a peer can claim with a length prefix. Below 256, the protocol's minimum, it counts as 256.
    #[must_use]
    pub const fn max_frame_size(mut self, bytes: u32) -> Self {
        self.max_frame_size = if bytes < MIN_FRAME_SIZE { MIN_FRAME_SIZE } else { bytes };
        self
    }

    /// Whether to take several NOTIFYs at a time on one connection; default true. HAProxy's `option pipelining` must
    /// be on too, as it is by default.
    ///
    /// Without it HAProxy opens a connection for every NOTIFY that finds no idle one.
    #[must_use]
    pub const fn pipelining(mut self, enabled: bool) -> Self {
        self.capabilities = if enabled { Capabilities::PIPELINING } else { Capabilities::NONE };
        self
    }

    /// How many NOTIFYs may wait for their ACK on one connection; default 64, at least 1. HAProxy itself stops at 20
    /// (`max-waiting-frames`, up to 3.0).
    ///
    /// At the cap [`Connection::handle_input`](super::Connection::handle_input) leaves the input alone. Each NOTIFY in flight holds its frame in memory.
    #[must_use]
    pub const fn max_in_flight(mut self, notifies: usize) -> Self {
        self.max_in_flight = if notifies == 0 { 1 } else { notifies };
        self
    }

    /// How much of a NOTIFY that comes in fragments is kept: default 256 KiB and 4096 frames per connection. A longer one
    /// is an [`Event::Malformed`](super::Event::Malformed). Zero bytes: no fragment is taken, and `fragmentation` is not announced.
    ///
    /// Only HAProxy up to 3.0 fragments (`option send-frag-payload`, on by default there). Without this, a payload longer
    /// than its `max-frame-size` makes it drop and reopen connections without end until `timeout processing`.
    #[must_use]
    pub const fn fragments(mut self, bytes: usize, frames: u32) -> Self {
        self.fragments = Limits { bytes, frames };
        self
    }

    /// The `option var-prefix` of the `spoe-agent` section (by default the agent's name), so that names too long for
    /// HAProxy are refused exactly; default unknown.
    #[must_use]
    pub const fn var_prefix(mut self, prefix: &str) -> Self {
        self.names = NameRule::new(prefix);
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
