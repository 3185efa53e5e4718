//! What HAProxy keeps of a connection and of a request.

use bytes::BytesMut;
use spop::{Capabilities, HaproxyHello, LENGTH_PREFIX, NotifyId, Version};

use super::pipe::Pipe;
use super::schedule::{Schedule, Time};

/// A request of a client, which waits for its ACK.
pub(crate) struct Request {
    pub(crate) client: usize,
    /// When its NOTIFY was sent; it has the next stream-id of the connection.
    pub(crate) sent: Option<Time>,
    /// When its client leaves, or `timeout processing` ends.
    pub(crate) gives_up: Time,
    /// The time of its handler, and the size of its ACK.
    pub(crate) handler: Time,
    pub(crate) answer: usize,
    pub(crate) acked: bool,
}

/// One connection, as HAProxy sees it.
#[derive(Default)]
pub(crate) struct Conn {
    pub(crate) to_agent: Pipe,
    pub(crate) from_agent: Pipe,
    /// What was read and not processed.
    pub(crate) buffer: Vec<u8>,
    /// How many requests may wait; 0 before the AGENT-HELLO.
    pub(crate) slots: usize,
    /// It was never without a request yet: it takes no second one.
    pub(crate) fresh: bool,
    /// Those that wait.
    pub(crate) waiting: Vec<usize>,
    /// The request of each stream-id, the first is 1, the next 3.
    pub(crate) streams: Vec<usize>,
    pub(crate) last_used: Time,
    /// The last NOTIFY was sent when an answer was due to a request that was given up.
    pub(crate) overtakes: bool,
    /// A NOTIFY may cross an answer: it was sent while one was unread, under way, or still due although it was given
    /// up. That is so until the agent has the NOTIFY, and HAProxy has read all that was sent before.
    pub(crate) crossing: bool,
    /// How many bytes those are.
    pub(crate) owed: usize,
    /// No answer waits for evidence for long.
    pub(crate) prompt: bool,
    pub(crate) closed: bool,
}

impl Conn {
    /// The request whose NOTIFY has this id.
    pub(crate) fn request(&self, id: NotifyId) -> Option<usize> {
        let odd = id.frame_id == 1 && id.stream_id % 2 == 1;
        odd.then(|| self.streams.get(id.stream_id as usize / 2).copied()).flatten()
    }

    /// A request waits for the AGENT-HELLO, and that has come.
    pub(crate) fn is_due(&self) -> bool {
        self.fresh && !self.closed && self.slots > 0 && self.streams.is_empty() && !self.waiting.is_empty()
    }

    pub(crate) fn is_crossing(&self) -> bool {
        self.crossing && !self.closed && (self.owed > 0 || self.to_agent.queued() > 0)
    }

    pub(crate) fn can_take(&self) -> bool {
        !self.closed && !self.fresh && self.waiting.len() < self.slots
    }

    pub(crate) fn end(&mut self, request: usize) {
        self.waiting.retain(|&waiting| waiting != request);
        self.fresh &= !(self.waiting.is_empty() && self.slots > 0);
    }
}

/// The HAPROXY-HELLO; with `offers_async` it looks like that of HAProxy up to 3.0.
pub(crate) fn hello(schedule: &Schedule, offers_async: bool) -> Vec<u8> {
    let mut capabilities = Capabilities::NONE;
    if schedule.pipelining {
        capabilities = capabilities | Capabilities::PIPELINING;
    }
    if offers_async {
        capabilities = capabilities | Capabilities::ASYNC;
    }
    let mut hello = BytesMut::new();
    HaproxyHello {
        supported_versions: [Version::V2_0].into(),
        max_frame_size: (schedule.bufsize - LENGTH_PREFIX) as u32,
        capabilities,
        engine_id: Some(vec![b'e'; 36]),
        healthcheck: false,
    }
    .encode(&mut hello)
    .unwrap();
    hello.to_vec()
}
