//! Time, and the end of a connection.

use bytes::BytesMut;

use super::clock::{LINGER, QUIET, SETTLE};
use super::flow::FlowControl;
use super::input::agent_hello;
use super::{Connection, Timeout};
use crate::frame::Disconnect;
use crate::wire::FrameType;
use crate::{Capabilities, Instant, State, Status};

impl Connection {
    /// Returns when to call [`handle_timeout`](Self::handle_timeout), if no other call on the connection comes before;
    /// it may turn out that nothing is due yet.
    #[inline]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let transmit = self.flow.as_ref().and_then(FlowControl::retry_at);
        let write = self.clock.stalled.map(|since| since + self.config.write_timeout);
        let next = [transmit, write].into_iter().flatten().fold(self.clock.bound, Instant::min);
        (next < Instant::FAR_FUTURE).then_some(next)
    }

    /// Handles the time that has passed: call it until it returns `None`.
    #[inline]
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Timeout> {
        self.clock.now = now;
        if now < self.clock.bound && self.clock.stalled.is_none() {
            return None;
        }
        self.handle_due(now)
    }

    #[cold]
    fn handle_due(&mut self, now: Instant) -> Option<Timeout> {
        let timeout = loop {
            let due = self.timeouts().filter(|&(at, _)| at <= now).min_by_key(|&(at, _)| at);
            let Some((_, due)) = due else { break None };
            if let Some(timeout) = self.on_due(due, now) {
                break Some(timeout);
            }
        };
        self.set_bound();
        timeout
    }

    /// Computes when to look next: after each change of state, which may bring a moment near.
    pub(super) fn set_bound(&mut self) {
        let next = self.timeouts().map(|(at, _)| at).min();
        // Starts with an ACK that is still to come.
        let idle = self.config.idle_timeout.filter(|_| !self.in_flight.is_empty());
        let idle = idle.map(|idle| self.clock.now + idle);
        self.clock.bound = next.into_iter().chain(idle).min().unwrap_or(Instant::FAR_FUTURE);
    }

    /// Returns the moments that count in this state, and what each means.
    fn timeouts(&self) -> impl Iterator<Item = (Instant, Due)> {
        let clock = &self.clock;
        let open = matches!(self.state, State::Hello | State::Running | State::Settling | State::Draining);
        let running = self.state == State::Running;
        let idle = self.config.idle_timeout.filter(|_| running && self.in_flight.is_empty());
        [
            (self.state == State::Hello).then_some((clock.hello, Due::Timeout(Timeout::Hello))),
            clock.stalled.map(|since| (since + self.config.write_timeout, Due::Timeout(Timeout::Write))),
            idle.map(|idle| (clock.active + idle, Due::Timeout(Timeout::Idle))),
            clock.age.filter(|_| open && clock.deadline.is_none()).map(|at| (at, Due::Age)),
            (open && !clock.quiet).then(|| (clock.active + QUIET, Due::Timeout(Timeout::Quiet))),
            clock.settled.filter(|_| self.state == State::Settling).map(|at| (at, Due::Settled)),
            clock.deadline.filter(|_| open).map(|at| (at, Due::Timeout(Timeout::Drain))),
            matches!(self.state, State::Closing | State::Lingering)
                .then_some((clock.linger, Due::Timeout(Timeout::Linger))),
        ]
        .into_iter()
        .flatten()
    }

    fn on_due(&mut self, due: Due, now: Instant) -> Option<Timeout> {
        match due {
            Due::Age => self.start_drain(now, now + self.config.drain_timeout),
            Due::Settled => self.drain(),
            Due::Timeout(timeout) => return Some(self.on_timeout(timeout, now)),
        }
        None
    }

    fn on_timeout(&mut self, timeout: Timeout, now: Instant) -> Timeout {
        match timeout {
            Timeout::Hello => self.disconnect(Status::TIMEOUT, ""),
            Timeout::Write | Timeout::Linger => self.close(),
            Timeout::Idle => self.disconnect(Status::NORMAL, ""),
            Timeout::Quiet => self.on_quiet(),
            Timeout::Drain if self.clock.cut => {
                self.close();
                return Timeout::Linger;
            }
            Timeout::Drain => {
                self.clock.cut = true;
                self.clock.deadline = Some(now + LINGER);
            }
        }
        timeout
    }

    fn on_quiet(&mut self) {
        self.clock.quiet = true;
        if self.out.is_empty() {
            self.out = BytesMut::new();
        }
        let draining = self.clock.deadline.is_some() && self.state != State::Settling;
        if draining && self.in_flight.is_empty() && self.out.is_empty() && !self.fragments.is_partial() {
            self.disconnect(Status::NORMAL, "");
        }
    }

    /// Has this connection fail if it turns out to be a health check: it is answered with an AGENT-DISCONNECT, so that
    /// HAProxy takes the server out of use. For an agent that is about to stop; call it before the HELLO is handled.
    pub fn fail_health_checks(&mut self) {
        self.fails_health_checks = true;
    }

    /// Lets HAProxy have one NOTIFY at most waiting on this connection from now on, if it is one from 3.1 and had more;
    /// does nothing else. Before the HELLO it switches pipelining off.
    ///
    /// HAProxy from 3.1 honours a second AGENT-HELLO, which is what this sends. HAProxy up to 3.0 ignores it.
    pub fn stop_pipelining(&mut self) {
        self.config.capabilities = self.config.capabilities.without(Capabilities::PIPELINING);
        // Kept for exactly those whom it is for.
        let fragmentation = self.fragmentation();
        let (State::Running | State::Settling | State::Draining, Some(flow), Some(negotiated)) =
            (self.state, &mut self.flow, &mut self.negotiated)
        else {
            return;
        };
        if !flow.is_wide() {
            return;
        }
        negotiated.capabilities = negotiated.capabilities.without(Capabilities::PIPELINING);
        agent_hello(negotiated, negotiated.max_frame_size, negotiated.capabilities | fragmentation)
            .encode(&mut self.out);
        flow.narrow(self.out.len());
    }

    /// Ends the connection once every NOTIFY that was received has its ACK: the AGENT-DISCONNECT follows the last one
    /// in the same write. It takes at most until `deadline`; see [`Timeout::Drain`]. If a drain has started before, the
    /// earlier deadline counts.
    ///
    /// A DISCONNECT that HAProxy's next NOTIFY crosses on its way fails that one. It crosses none if it follows the ACK
    /// to the only NOTIFY that HAProxy has waiting, in the same write: HAProxy handles both at once. So HAProxy from
    /// 3.1 is asked to send one at a time first, and given 100 ms to read that; a connection without NOTIFYs ends after
    /// a second of quiet, at once if it has had that. HAProxy up to 3.0 with pipelining cannot be asked, and may be
    /// sending another NOTIFY at the very moment, which fails.
    pub fn start_drain(&mut self, now: Instant, deadline: Instant) {
        self.clock.now = now;
        let before = self.clock.deadline;
        self.clock.deadline = Some(before.map_or(deadline, |before| before.min(deadline)));
        if before.is_some() || !matches!(self.state, State::Hello | State::Running) {
            return;
        }
        let idle = self.in_flight.is_empty() && self.out.is_empty() && !self.more_input;
        let quiet = self.clock.quiet || self.clock.active + QUIET <= now;
        let pipelining = self.flow.as_ref().is_some_and(|flow| !flow.is_one_at_a_time());
        match self.state {
            State::Hello => {
                self.stop_pipelining();
                self.clock.touch();
            }
            _ if idle && quiet => self.disconnect(Status::NORMAL, ""),
            _ if pipelining => {
                self.stop_pipelining();
                self.state = State::Settling;
            }
            _ => self.drain(),
        }
        self.set_bound();
    }

    /// Lets the next ACK after which none is due take the DISCONNECT with it.
    pub(super) fn drain(&mut self) {
        self.state = State::Draining;
        // It is quiet a second from now at the earliest.
        self.clock.touch();
    }

    /// Goes on to the state after that in which all was to be sent.
    #[inline]
    pub(super) fn all_sent(&mut self) {
        match self.state {
            State::Settling if self.clock.settled.is_none() => {
                self.clock.settled = Some(self.clock.now + SETTLE);
                self.set_bound();
            }
            State::Closing => {
                self.state = State::Lingering;
                self.clock.linger = self.clock.now + LINGER;
                self.set_bound();
            }
            _ => {}
        }
    }

    /// Queues the DISCONNECT if a drain waits for nothing any more.
    #[inline]
    pub(super) fn end_drain(&mut self) {
        if self.drained && self.in_flight.is_empty() && !self.more_input {
            self.disconnect(Status::NORMAL, "");
        }
    }

    /// Queues an AGENT-DISCONNECT and ends the connection; does nothing if it has ended. HAProxy fails the requests in
    /// flight at once, with 256 plus `status`, or with 257 for [`Status::NORMAL`]. An empty `why` stands for HAProxy's
    /// own text.
    pub fn disconnect(&mut self, status: Status, why: &str) {
        if self.has_ended() {
            return;
        }
        let mut disconnect = Disconnect::new(status);
        if !why.is_empty() {
            disconnect.message = why.into();
        }
        disconnect.encode(FrameType::AGENT_DISCONNECT, &mut self.out);
        self.start_closing();
    }

    /// Sends what is left, and nothing more.
    pub(super) fn start_closing(&mut self) {
        self.state = State::Closing;
        // A peer that reads slowly has as long as a drain may take.
        self.clock.linger = match self.clock.deadline {
            Some(end) if self.clock.cut => end,
            deadline => deadline.unwrap_or_default().max(self.clock.now) + LINGER,
        };
        self.set_bound();
    }

    /// Ends the connection here and now.
    pub(super) fn close(&mut self) {
        self.state = State::Closed;
        self.clock.stalled = None;
        self.flow = None;
        self.out = BytesMut::new();
        self.part = 0;
        self.set_bound();
    }
}

/// What is to be done at a moment.
#[derive(Clone, Copy)]
enum Due {
    /// What the caller is told.
    Timeout(Timeout),
    /// The connection is old.
    Age,
    /// HAProxy has read that it is to send one NOTIFY at a time.
    Settled,
}
