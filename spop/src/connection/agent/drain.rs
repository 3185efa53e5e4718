use bytes::BytesMut;

use super::{Connection, Disconnect, agent_hello};
use crate::{Capabilities, Phase, Status};

/// The end of a connection, from the agent's side.
impl Connection {
    /// Has this connection fail if it turns out to be a health check: it is answered with an AGENT-DISCONNECT, so that
    /// HAProxy takes the server out of use. For an agent that is about to stop; call it before the HELLO is handled.
    pub fn fail_health_check(&mut self) {
        self.fail_health_check = true;
    }

    /// Lets HAProxy have one NOTIFY at most waiting on this connection from now on: to prepare a [`drain`](Self::drain)
    /// under load, or as long answers then need not [wait for a proof](Self::sendable) of what was read. Gives whether it has to read that first: **then answer on until it has, 50 ms are plenty, and drain
    /// only while a NOTIFY waits.** The ACK to that one takes the goodbye with it, and no other one can be under way.
    ///
    /// HAProxy from 3.1 takes a second AGENT-HELLO to heart, which is what this sends. HAProxy up to 3.0 passes over it,
    /// so there it is not sent. Before the HELLO this switches `pipelining` off.
    pub fn stop_pipelining(&mut self, out: &mut BytesMut) -> bool {
        self.config.capabilities = self.config.capabilities.without(Capabilities::PIPELINING);
        // Kept for exactly those whom it is for.
        let fragmentation = self.fragmentation();
        let (Phase::Running, Some(unread), Some(negotiated)) =
            (self.phase(), &mut self.books.unread, &mut self.negotiated)
        else {
            return false;
        };
        if !negotiated.capabilities.contains(Capabilities::PIPELINING) {
            return !unread.is_narrow();
        }
        negotiated.capabilities = negotiated.capabilities.without(Capabilities::PIPELINING);
        let start = out.len();
        agent_hello(negotiated, negotiated.max_frame_size, negotiated.capabilities | fragmentation)
            .encode(out);
        unread.add_other(out.len() - start);
        unread.narrow();
        true
    }

    /// Lets the connection end once every NOTIFY that was received has its ACK, one that is received in part included: the
    /// AGENT-DISCONNECT follows the last one at once. NOTIFYs that come until then are taken as before. If HAProxy keeps them
    /// coming, or never sends the rest, that is never: give it a time, then [`disconnect`](Self::disconnect).
    ///
    /// With pipelining HAProxy may be sending another NOTIFY at the very moment, which fails:
    /// [`stop_pipelining`](Self::stop_pipelining) keeps HAProxy from 3.1 from that.
    pub fn drain(&mut self, out: &mut BytesMut) {
        match self.phase() {
            Phase::Running => {
                self.books.phase = Phase::Draining;
                self.books.end_drain(out);
            }
            Phase::Draining => {}
            Phase::Hello | Phase::Closed => self.disconnect(Status::NORMAL, "", out),
        }
    }

    /// Appends an AGENT-DISCONNECT and ends the connection; does nothing if it has ended. HAProxy fails the requests in
    /// flight at once, with 256 plus `status`, or with 257 for [`Status::NORMAL`]. An empty `why` stands for HAProxy's own
    /// text.
    ///
    /// Close right after sending it: HAProxy does not answer.
    pub fn disconnect(&mut self, status: Status, why: &str, out: &mut BytesMut) {
        let mut disconnect = Disconnect::new(status);
        if !why.is_empty() {
            disconnect.message = why.into();
        }
        self.books.disconnect(&disconnect, out);
    }
}
