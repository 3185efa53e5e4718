use core::fmt;

use bytes::Bytes;

use crate::frame::{Disconnect, EncodeError, Notify};
use crate::wire::{DecodeError, NotifyId};
use crate::{Negotiated, ProtocolError, Status};

/// What happened on a connection.
#[non_exhaustive]
#[derive(Debug)]
pub enum Event {
    /// The HELLOs are exchanged: NOTIFYs may come.
    Connected(Negotiated),
    /// This is an `option spop-check`, and it is answered: HAProxy takes the agent for healthy if it is `passed`.
    HealthCheck {
        /// False after [`Connection::fail_health_checks`](super::Connection::fail_health_checks).
        passed: bool,
    },
    /// HAProxy asks. Its ticket is for [`Connection::ack`](super::Connection::ack).
    Notify(Notify<Bytes>, Ticket),
    /// HAProxy asks, in a frame whose ids can be read and whose messages cannot, or in fragments that pass the limits
    /// of [`Config::fragments`](super::Config::fragments). It needs an ACK all the same.
    Malformed(DecodeError, Ticket),
    /// HAProxy wants no answer to this NOTIFY any more: drop the work on it, and its ticket. Its id may come again at
    /// once.
    GivenUp(NotifyId),
    /// HAProxy ends the connection.
    Disconnected(Disconnect),
    /// HAProxy broke the protocol. The DISCONNECT with the error's status is queued: go on sending, until the
    /// connection has ended.
    Failed(ProtocolError),
}

/// The right and the duty to answer one NOTIFY, with [`Connection::ack`](super::Connection::ack) of the connection that
/// it came on.
///
/// There is one for each NOTIFY, it is used up by the ACK, and only an [`Event::GivenUp`] ends the duty: **a NOTIFY
/// without an ACK makes HAProxy wait for its `timeout processing`.**
#[derive(Debug, PartialEq, Eq)]
#[must_use = "HAProxy waits for the ACK"]
pub struct Ticket {
    pub(super) id: NotifyId,
    pub(super) serial: u32,
}

impl Ticket {
    /// Returns the ids of the NOTIFY.
    #[inline]
    pub fn id(&self) -> NotifyId {
        self.id
    }
}

/// An ACK that cannot be written. Nothing of it was, and its NOTIFY still waits: answer it with something shorter.
#[derive(Debug, PartialEq, Eq)]
pub struct AckError {
    pub(super) ticket: Ticket,
    pub(super) error: EncodeError,
}

impl AckError {
    /// Returns what is wrong.
    pub fn encode_error(&self) -> EncodeError {
        self.error
    }

    /// Returns the ticket, for the next attempt.
    pub fn into_ticket(self) -> Ticket {
        self.ticket
    }
}

impl fmt::Display for AckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ACK to {}: {}", self.ticket.id, self.error)
    }
}

impl core::error::Error for AckError {}

/// A time that is over: see [`Connection::handle_timeout`](super::Connection::handle_timeout).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timeout {
    /// [`Config::hello_timeout`](super::Config::hello_timeout): the connection ends, with a DISCONNECT of status 2.
    Hello,
    /// [`Config::write_timeout`](super::Config::write_timeout): the connection has ended; nothing more can be sent.
    Write,
    /// [`Config::idle_timeout`](super::Config::idle_timeout): the connection ends, with a DISCONNECT of status 0.
    Idle,
    /// The deadline of a drain: what is in flight must be answered now, with anything, within a second. Then call
    /// [`Connection::disconnect`](super::Connection::disconnect).
    Drain,
    /// The peer did not close in time after the DISCONNECT, or did not take it: the connection has ended.
    Linger,
    /// Nothing has come for a second: memory that bursts took can be given back.
    Quiet,
}

impl Timeout {
    /// Returns the status of the DISCONNECT for an end that is the peer's fault.
    pub fn status(self) -> Option<Status> {
        matches!(self, Self::Hello | Self::Write).then_some(Status::TIMEOUT)
    }
}
