use core::time::Duration;

use crate::Capabilities;
use crate::connection::MIN_FRAME_SIZE;
use crate::connection::fragments::Limits;
use crate::frame::NameRule;

/// What an agent offers and bounds, per connection.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) max_frame_size: u32,
    pub(super) capabilities: Capabilities,
    pub(super) max_in_flight: usize,
    pub(super) fragments: Limits,
    pub(super) names: NameRule,
    pub(super) hello_timeout: Duration,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) write_timeout: Duration,
    pub(super) max_connection_age: Option<Duration>,
    pub(super) drain_timeout: Duration,
    pub(super) read_grace: Duration,
    pub(super) longest_ack: usize,
}

impl Config {
    /// Creates a configuration with the defaults stated at each setter.
    pub const fn new() -> Self {
        Self {
            max_frame_size: 16_380,
            capabilities: Capabilities::PIPELINING,
            max_in_flight: 64,
            fragments: Limits { bytes: 256 * 1024, frames: 4096 },
            names: NameRule::ANY_PREFIX,
            hello_timeout: Duration::from_secs(5),
            idle_timeout: None,
            write_timeout: Duration::from_secs(10),
            max_connection_age: None,
            drain_timeout: Duration::from_secs(10),
            read_grace: Duration::from_millis(10),
            longest_ack: 0,
        }
    }

    /// Sets the longest frame to take or send, in bytes, the length prefix not counted; default 16380, which is
    /// HAProxy's `tune.bufsize` - 4. The smaller one of both sides holds for what is sent.
    ///
    /// Raise it together with HAProxy's `tune.bufsize` (or the `max-frame-size` of its `spoe-agent`). It bounds the
    /// memory that a peer can claim with a length prefix. Below 256, the protocol's minimum, it counts as 256.
    #[must_use]
    pub const fn max_frame_size(mut self, bytes: u32) -> Self {
        self.max_frame_size = if bytes < MIN_FRAME_SIZE { MIN_FRAME_SIZE } else { bytes };
        self
    }

    /// Sets whether to take several NOTIFYs at a time on one connection; default true. HAProxy's `option pipelining`
    /// must be on too, as it is by default.
    ///
    /// Without it HAProxy opens a connection for every NOTIFY that finds no idle one. A connection switches it off by
    /// itself, for HAProxy from 3.1, at the first ACK of which HAProxy could not hold 20 in its buffer, of more than
    /// 819 bytes by default: see [`longest_ack`](Self::longest_ack).
    #[must_use]
    pub const fn pipelining(mut self, enabled: bool) -> Self {
        self.capabilities = if enabled { Capabilities::PIPELINING } else { Capabilities::NONE };
        self
    }

    /// Sets how many NOTIFYs may wait for their ACK on one connection; default 64, at least 1. HAProxy itself stops at
    /// 20 (`max-waiting-frames`, up to 3.0).
    ///
    /// At the cap [`Connection::handle_input`](super::Connection::handle_input) leaves the input alone. Each NOTIFY in
    /// flight holds its frame in memory.
    #[must_use]
    pub const fn max_in_flight(mut self, notifies: usize) -> Self {
        self.max_in_flight = if notifies == 0 { 1 } else { notifies };
        self
    }

    /// Sets how much of a NOTIFY that comes in fragments is kept: default 256 KiB and 4096 frames per connection. A
    /// longer one is an [`Event::Malformed`](super::Event::Malformed). Zero bytes: no fragment is taken, and
    /// `fragmentation` is not announced.
    ///
    /// Only HAProxy up to 3.0 fragments (`option send-frag-payload`, on by default there). Without this, a payload
    /// longer than its `max-frame-size` makes it drop and reopen connections without end until `timeout processing`.
    #[must_use]
    pub const fn fragments(mut self, bytes: usize, frames: u32) -> Self {
        self.fragments = Limits { bytes, frames };
        self
    }

    /// Sets the `option var-prefix` of the `spoe-agent` section (by default the agent's name), so that names too long
    /// for HAProxy are refused exactly; default unknown.
    #[must_use]
    pub const fn var_prefix(mut self, prefix: &str) -> Self {
        self.names = NameRule::new(prefix);
        self
    }

    /// Sets how long the peer may take from connecting to its whole HELLO; default 5 s, then the connection ends with a
    /// DISCONNECT of status 2. HAProxy sends its HELLO at once.
    #[must_use]
    pub const fn hello_timeout(mut self, timeout: Duration) -> Self {
        self.hello_timeout = timeout;
        self
    }

    /// Sets how long a connection may be without a NOTIFY in flight; default `None`, for ever. It counts from the last
    /// frame that came or the last bytes that were sent, whichever is later.
    ///
    /// Leave it to HAProxy to close idle connections (`timeout idle` up to 3.0, `pool-purge-delay` later): one that the
    /// agent closes may be carrying a NOTIFY already, which fails. If set, more than two minutes.
    #[must_use]
    pub const fn idle_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets how long the peer may leave bytes unread once its socket is full; default 10 s, then the connection is
    /// closed.
    #[must_use]
    pub const fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets how long a connection may live before it is drained, within [`drain_timeout`](Self::drain_timeout); default
    /// `None`, for ever.
    #[must_use]
    pub const fn max_connection_age(mut self, age: Option<Duration>) -> Self {
        self.max_connection_age = age;
        self
    }

    /// Sets how long the drain at the end of [`max_connection_age`](Self::max_connection_age) may take; default 10 s.
    #[must_use]
    pub const fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }

    /// Sets how long HAProxy may take, once it is seen running, until it has read a connection; default 10 ms. It
    /// matters for answers whose sum could fill HAProxy's buffer (`tune.bufsize`): those wait that long after the
    /// NOTIFY, or fifty times as long, half a second, if nothing shows that HAProxy is running, on this connection
    /// or [on others](super::Connection::ran_after).
    ///
    /// Longer costs long answers time: one of more than half a buffer leaves this time after its NOTIFY at the
    /// earliest, if the one before on the connection was long, too. Too short loses a connection of HAProxy from 3.1
    /// where it is held up in the middle of its work, just after it gave up a request whose answer was under way; and
    /// half of it must be more than bytes take from one to the other and back. HAProxy up to 3.0 needs none of this.
    #[must_use]
    pub const fn read_grace(mut self, grace: Duration) -> Self {
        self.read_grace = grace;
        self
    }

    /// Sets the longest ACK to expect, in bytes, the length prefix included; default 0, to find out. If the buffer of a
    /// HAProxy from 3.1 (`tune.bufsize`) could not hold one to each of the 20 NOTIFYs that it lets wait on a
    /// connection, the connection does without [`pipelining`](Self::pipelining) from its HELLO on.
    #[must_use]
    pub const fn longest_ack(mut self, bytes: usize) -> Self {
        self.longest_ack = bytes;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
