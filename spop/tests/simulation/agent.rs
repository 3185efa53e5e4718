//! An agent: the steps that `spop::agent::Connection` documents, for one connection.

use std::time::Duration;

use bytes::BytesMut;
use spop::agent::{Config, Connection, Event, Ticket, Timeout};
use spop::{Actions, Instant, NotifyId, Scope, State, TypedData, varint};

use super::conn::Conn;
use super::haproxy::HaProxy;
use super::properties::{self, Failure};
use super::rules::Rule;
use super::schedule::{Rng, Schedule, Time};
use super::trace;

struct Handler {
    ticket: Ticket,
    id: NotifyId,
    ready: Time,
    answer: usize,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Answered,
    /// By [`Connection::start_drain`] at once, or after a second without a frame.
    Quiet,
    Deadline,
    Timeout(Timeout),
}

/// What drives one connection of the agent.
pub(crate) struct Driver {
    index: usize,
    pub(crate) connection: Connection,
    rule: Rule,
    input: BytesMut,
    handlers: Vec<Handler>,
    /// Everything is received, and still to be sent.
    half: bool,
    shut: bool,
    /// The socket did not take the last bytes in one go.
    pub(crate) split: bool,
    /// How many bytes were sent.
    sent: usize,
    /// When it goes on.
    pub(crate) wake: Option<Time>,
    pub(crate) end: End,
}

pub(crate) fn instant(time: Time) -> Instant {
    Instant::from_origin(Duration::from_micros(time))
}

impl Driver {
    pub(crate) fn new(index: usize, config: Config, rule: Rule, now: Time) -> Self {
        Self {
            index,
            connection: Connection::new(config, instant(now)),
            rule,
            input: BytesMut::new(),
            handlers: Vec::new(),
            half: false,
            shut: false,
            split: false,
            sent: 0,
            wake: Some(now),
            end: End::Answered,
        }
    }

    /// One turn. With `stop` it is interrupted between receiving and sending, and goes on after that time.
    pub(crate) fn turn(
        &mut self,
        haproxy: &mut HaProxy,
        schedule: &Schedule,
        stop: Option<Time>,
        now: Time,
        rng: &mut Rng,
    ) -> Result<(), Failure> {
        if !self.half {
            self.timeouts(now);
            self.receive(haproxy, schedule, now, rng)?;
            if let Some(stop) = stop {
                self.half = true;
                self.wake = Some(now + stop);
                return Ok(());
            }
        }
        self.half = false;
        self.answer(now);
        let conn = &mut haproxy.conns[self.index];
        let blocked = self.send(conn, schedule, now, rng);
        // The bytes that came since, or that nothing came.
        self.receive(haproxy, schedule, now, rng)?;
        self.timeouts(now);
        self.answer(now);
        let conn = &mut haproxy.conns[self.index];
        let blocked = self.send(conn, schedule, now, rng) || blocked;
        let next = self.connection.poll_timeout();
        properties::no_busy_loop(next, instant(now), self.index)?;
        let (in_flight, unsent) = (self.connection.in_flight(), self.connection.unsent());
        properties::bounded(in_flight, unsent, self.input.len(), self.index)?;
        self.wake = self.next(conn, blocked, next, now, rng);
        Ok(())
    }

    fn next(
        &self,
        conn: &Conn,
        blocked: bool,
        timeout: Option<Instant>,
        now: Time,
        rng: &mut Rng,
    ) -> Option<Time> {
        if self.connection.state() == State::Closed {
            return None;
        }
        let readable = conn.to_agent.readable_at().filter(|_| !self.connection.is_full());
        let ready = self.handlers.iter().map(|handler| handler.ready).min();
        let timeout = timeout.map(|at| at.since_origin().as_nanos().div_ceil(1000) as Time);
        let writable = blocked.then(|| now + 200);
        let wake = [readable, ready, timeout, writable, self.rule.retry_at()].into_iter().flatten().min();
        wake.map(|at| at.max(now) + rng.range(1, 30))
    }

    fn timeouts(&mut self, now: Time) {
        while let Some(timeout) = self.connection.handle_timeout(instant(now)) {
            match timeout {
                Timeout::Drain => {
                    for handler in std::mem::take(&mut self.handlers) {
                        self.connection.ack(handler.ticket, &Actions::new()).unwrap();
                    }
                    self.end = End::Deadline;
                    self.connection.disconnect(spop::Status::NORMAL, "");
                }
                Timeout::Quiet if self.connection.state() == State::Closing => self.end = End::Quiet,
                Timeout::Quiet | Timeout::Linger => {}
                other => self.end = End::Timeout(other),
            }
        }
    }

    fn receive(
        &mut self,
        haproxy: &mut HaProxy,
        schedule: &Schedule,
        now: Time,
        rng: &mut Rng,
    ) -> Result<(), Failure> {
        let mut cut = false;
        // Bounded, so that the timers get their turn.
        for _ in 0..8 {
            if self.connection.is_full() {
                break;
            }
            let conn = &mut haproxy.conns[self.index];
            let max = if rng.chance(schedule.cuts) { rng.range(1, 300) as usize } else { 8192 };
            let read = conn.to_agent.receive(|bytes| self.input.extend_from_slice(bytes), max, now);
            if read > 0 {
                conn.owed = conn.from_agent.queued();
            }
            let eof = conn.to_agent.is_eof(now);
            while let Some(event) = self.handle_input(now)? {
                self.on_event(event, haproxy, now)?;
            }
            if eof {
                let _ = self.connection.handle_eof(&self.input);
                self.handlers.clear();
            }
            cut = read == max;
            if !cut {
                break;
            }
        }
        if self.connection.is_full() {
            // What waits in the socket waits for a handler.
            haproxy.conns[self.index].prompt = false;
        } else if !cut {
            self.connection.input_drained();
        }
        Ok(())
    }

    fn handle_input(&mut self, now: Time) -> Result<Option<Event>, Failure> {
        match self.connection.handle_input(&mut self.input, instant(now)) {
            Some(Event::Failed(error)) => Err(Failure::new(format!("connection {}: {error}", self.index))),
            event => Ok(event),
        }
    }

    fn on_event(&mut self, event: Event, haproxy: &HaProxy, now: Time) -> Result<(), Failure> {
        match event {
            Event::Notify(notify, ticket) => {
                let id = notify.id();
                let request = haproxy.conns[self.index].request(id);
                let request = &haproxy.requests[properties::asked_for(request, id, self.index)?];
                let time = request.handler;
                trace(self.index, now, || {
                    format!("the agent gets NOTIFY {}, its handler takes {time}", id.stream_id)
                });
                self.handlers.push(Handler {
                    ticket,
                    id,
                    ready: now + request.handler,
                    answer: request.answer,
                });
            }
            Event::GivenUp(id) => self.handlers.retain(|handler| handler.id != id),
            _ => {}
        }
        Ok(())
    }

    fn answer(&mut self, now: Time) {
        let Self { connection, handlers, rule: _, .. } = self;
        for Handler { ticket, answer, .. } in handlers.extract_if(.., |handler| handler.ready <= now) {
            let written = connection.ack_with(ticket, |ack| {
                // The prefix, type, flags, and ids; then the action around the value.
                let budget = answer.saturating_sub(14).min(ack.remaining());
                let len = budget - 6 - varint::encoded_len(budget as u64);
                ack.set_var(Scope::Session, "v", TypedData::Binary(&VALUE[..len])).map(drop)
            });
            written.unwrap();
        }
    }

    /// Sends what may be sent; returns whether the socket took no more.
    fn send(&mut self, conn: &mut Conn, schedule: &Schedule, now: Time, rng: &mut Rng) -> bool {
        loop {
            let bytes = match &mut self.rule {
                Rule::Core | Rule::NoGrace => self.connection.poll_transmit(instant(now)),
                rule => rule.filter(&mut self.connection, self.handlers.len(), now),
            };
            if bytes.is_empty() {
                break;
            }
            let free = schedule.socket.saturating_sub(conn.from_agent.queued());
            let cut = self.sent > 0 && schedule.has_small_sockets() && rng.chance(schedule.cuts);
            let cut = if cut { rng.range(1, 9_999) as usize } else { usize::MAX };
            let len = bytes.len().min(free).min(cut);
            let pieces = if self.sent > 0 && rng.chance(schedule.cuts) { 4 } else { 1 };
            let blocked = len < bytes.len();
            conn.from_agent.send(&bytes[..len], pieces, schedule.latency, now, rng);
            self.sent += len;
            trace(self.index, now, || format!("the agent sends {len} of {}", bytes.len()));
            match &mut self.rule {
                Rule::Core | Rule::NoGrace => self.connection.transmitted(len),
                rule => rule.transmitted(len),
            }
            if blocked {
                self.split |= self.connection.state() == State::Closing;
                return true;
            }
        }
        match self.connection.state() {
            State::Lingering if !self.shut => {
                self.shut = true;
                conn.from_agent.close(now);
            }
            State::Closed => conn.from_agent.close(now),
            _ => {}
        }
        false
    }
}

/// What answers are made of.
static VALUE: [u8; 65_536] = [b'v'; 65_536];
