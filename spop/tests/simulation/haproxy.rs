//! A model of HAProxy from 3.1: its slots, its buffer, its rounds.

use bytes::BytesMut;
use spop::{AgentHello, Capabilities, FrameType, LENGTH_PREFIX, NotifyId, NotifyWriter, RawFrame};

use super::conn::{Conn, Request, hello};
use super::properties::{self, Failure};
use super::schedule::{MS, Rng, Schedule, Time};
use super::{pauses, trace};

/// A part of a round.
#[derive(Clone, Copy)]
enum Step {
    Read(usize),
    GiveUp,
    Start,
}

pub(crate) struct HaProxy {
    schedule: Schedule,
    hello: Vec<u8>,
    pub(crate) conns: Vec<Conn>,
    pub(crate) requests: Vec<Request>,
    /// When each client asks next; `None` while it waits.
    clients: Vec<Option<Time>>,
    /// What is left of the round.
    steps: Vec<Step>,
    step_time: Time,
    /// When it goes on, and when it can at the earliest.
    pub(crate) at: Time,
    ready: Time,
    /// When it, or the agent, was stopped.
    pub(crate) pauses: Vec<(Time, Time)>,
    /// When it may be stopped again.
    rested: Time,
    /// New connections are refused.
    pub(crate) refused: bool,
    pub(crate) answered: usize,
    /// How many requests were given up although their answers were ready.
    pub(crate) late: usize,
    /// The connections on which requests were lost, and when.
    pub(crate) lost: Vec<(usize, Time)>,
}

impl HaProxy {
    /// With `offers_async` it looks like HAProxy up to 3.0.
    pub(crate) fn new(schedule: &Schedule, offers_async: bool, rng: &mut Rng) -> Self {
        Self {
            hello: hello(schedule, offers_async),
            conns: Vec::new(),
            requests: Vec::new(),
            clients: (0..schedule.clients).map(|_| Some(rng.range(0, schedule.think))).collect(),
            steps: Vec::new(),
            step_time: 0,
            at: 0,
            ready: 0,
            pauses: Vec::new(),
            rested: 0,
            refused: false,
            answered: 0,
            late: 0,
            lost: Vec::new(),
            schedule: schedule.clone(),
        }
    }

    /// Whether no client asks any more, and none waits.
    pub(crate) fn is_done(&self) -> bool {
        self.requests.len() >= self.schedule.requests && self.conns.iter().all(|conn| conn.waiting.is_empty())
    }

    /// Does the next step of the round; polls if there is none.
    pub(crate) fn step(&mut self, rng: &mut Rng) -> Result<(), Failure> {
        let now = self.at;
        match self.steps.pop() {
            None => self.poll(rng),
            Some(Step::Read(conn)) => self.read(conn, now, rng)?,
            Some(Step::GiveUp) => self.give_up(now, rng)?,
            Some(Step::Start) => self.start(now, rng),
        }
        self.at = now + self.step_time;
        if self.rested <= now && rng.chance(self.schedule.haproxy_stops) && !self.is_crossing() {
            let until = self.at + Schedule::stop(rng);
            self.pauses.push((self.at, until));
            self.rested = until + 50 * MS;
            trace(usize::MAX, now, || format!("HAProxy is stopped until {until}"));
            self.at = until;
        }
        self.ready = self.at;
        self.wait();
        Ok(())
    }

    /// Between two rounds, waits for something to do.
    pub(crate) fn wait(&mut self) {
        if self.steps.is_empty() {
            self.at = self.next_event().unwrap_or(Time::MAX).max(self.ready);
        }
    }

    fn poll(&mut self, rng: &mut Rng) {
        let now = self.at;
        let readable = |conn: &Conn| !conn.closed && conn.from_agent.is_readable(now);
        let conns = self.conns.iter().enumerate();
        self.steps = conns
            .filter_map(|(index, conn)| readable(conn).then_some(Step::Read(index)))
            .chain([Step::GiveUp, Step::Start])
            .collect();
        rng.shuffle(&mut self.steps);
        self.step_time = rng.magnitude(10, self.schedule.round) / (self.steps.len() as u64 + 1);
    }

    /// The one moment at which it must not be stopped: a NOTIFY and an answer cross.
    fn is_crossing(&self) -> bool {
        self.conns.iter().any(Conn::is_crossing)
    }

    fn next_event(&self) -> Option<Time> {
        let conns = self.conns.iter().filter(|conn| !conn.closed);
        let readable = conns.filter_map(|conn| conn.from_agent.readable_at());
        let waiting = self.conns.iter().flat_map(|conn| &conn.waiting);
        let given_up = waiting.map(|&request| self.requests[request].gives_up);
        let asked = self.clients.iter().filter(|_| self.requests.len() < self.schedule.requests);
        let unsent = self.conns.iter().filter(|conn| conn.is_due()).map(|_| 0);
        readable.chain(given_up).chain(asked.copied().flatten()).chain(unsent).min()
    }

    fn read(&mut self, index: usize, now: Time, rng: &mut Rng) -> Result<(), Failure> {
        let conn = &mut self.conns[index];
        let free = self.schedule.bufsize - conn.buffer.len();
        let read = conn.from_agent.receive(|bytes| conn.buffer.extend_from_slice(bytes), free, now);
        conn.owed = conn.owed.saturating_sub(read);
        conn.crossing = conn.is_crossing();
        trace(index, now, || format!("HAProxy reads {read}, has {}", conn.buffer.len()));
        properties::not_wedged(conn.buffer.len(), self.schedule.bufsize, index)?;
        let mut buffer = std::mem::take(&mut conn.buffer);
        let mut at = 0;
        while let Some(len) = buffer[at..].first_chunk() {
            let len = u32::from_be_bytes(*len) as usize;
            let Some(frame) = buffer[at + LENGTH_PREFIX..].get(..len) else { break };
            at += LENGTH_PREFIX + len;
            self.frame(index, frame, now, rng)?;
        }
        buffer.drain(..at);
        let conn = &mut self.conns[index];
        conn.buffer = buffer;
        if conn.from_agent.is_eof(now) {
            self.close(index, now, rng);
        }
        Ok(())
    }

    fn frame(&mut self, index: usize, frame: &[u8], now: Time, rng: &mut Rng) -> Result<(), Failure> {
        let header = RawFrame::parse(frame).unwrap().header();
        let conn = &mut self.conns[index];
        match header.frame_type {
            _ if conn.closed => {}
            FrameType::ACK => {
                let request = conn.request(header.id);
                let request = properties::asked_for(request, header.id, index)?;
                let Request { acked, client, sent, handler, .. } = &mut self.requests[request];
                properties::first_answer(std::mem::replace(acked, true), header.id, index)?;
                if conn.waiting.contains(&request) {
                    conn.end(request);
                    conn.last_used = now;
                    let sent = properties::was_sent(*sent, index)?;
                    if conn.prompt {
                        properties::in_time(*handler, pauses(&self.pauses, sent, now), now - sent, index)?;
                    }
                    self.answered += 1;
                    self.clients[*client] = Some(now + rng.range(0, self.schedule.think));
                }
            }
            FrameType::AGENT_HELLO => {
                let capabilities = AgentHello::parse(frame).unwrap().capabilities.unwrap_or_default();
                let wide = self.schedule.pipelining && capabilities.contains(Capabilities::PIPELINING);
                if conn.slots == 0 {
                    conn.slots = if wide { 20 } else { 1 };
                    conn.prompt = self.schedule.is_prompt(wide);
                    // Its request may have been given up.
                    conn.fresh &= !conn.waiting.is_empty();
                } else if self.schedule.narrows && !wide {
                    conn.slots = 1;
                }
            }
            FrameType::AGENT_DISCONNECT => self.close(index, now, rng),
            other => return Err(Failure::new(format!("connection {index}: HAProxy was sent a {other}"))),
        }
        Ok(())
    }

    /// The agent ended the connection: what waits on it is lost.
    fn close(&mut self, index: usize, now: Time, rng: &mut Rng) {
        let conn = &mut self.conns[index];
        conn.closed = true;
        conn.to_agent.close(now);
        for request in std::mem::take(&mut conn.waiting) {
            if self.requests[request].sent.is_some() {
                self.lost.push((index, now));
            }
            self.clients[self.requests[request].client] = Some(now + rng.range(0, self.schedule.think));
        }
    }

    fn give_up(&mut self, now: Time, rng: &mut Rng) -> Result<(), Failure> {
        for (index, conn) in self.conns.iter_mut().enumerate() {
            let over = |&request: &usize| self.requests[request].gives_up <= now;
            let over: Vec<usize> = conn.waiting.iter().copied().filter(over).collect();
            for request in over {
                let Request { sent, handler, client, .. } = self.requests[request];
                if let Some(sent) = sent {
                    let pauses = pauses(&self.pauses, sent, now);
                    self.late += usize::from(properties::is_late(handler, pauses, now - sent));
                    if conn.prompt && !self.refused {
                        properties::in_time(handler, pauses, now - sent, index)?;
                    }
                }
                conn.end(request);
                trace(index, now, || format!("HAProxy gives up, {} waiting", conn.waiting.len()));
                self.clients[client] = Some(now + rng.range(0, self.schedule.think));
            }
        }
        Ok(())
    }

    fn start(&mut self, now: Time, rng: &mut Rng) {
        for index in 0..self.conns.len() {
            if self.conns[index].is_due() {
                self.notify(self.conns[index].waiting[0], index, now, rng);
            }
        }
        for client in 0..self.clients.len() {
            if self.requests.len() >= self.schedule.requests || self.clients[client].is_none_or(|at| at > now)
            {
                continue;
            }
            let Some(conn) = self.connection(now, rng) else {
                self.clients[client] = Some(now + 1000);
                continue;
            };
            let leaves = rng.chance(self.schedule.leave).then(|| rng.range(0, self.schedule.leave_within));
            let request = self.requests.len();
            self.requests.push(Request {
                client,
                sent: None,
                gives_up: now + leaves.unwrap_or(self.schedule.timeout).min(self.schedule.timeout),
                handler: self.schedule.handler(rng),
                answer: self.schedule.answer(rng),
                acked: false,
            });
            self.clients[client] = None;
            self.conns[conn].waiting.push(request);
            if !self.conns[conn].fresh {
                self.notify(request, conn, now, rng);
            }
        }
    }

    /// The connection for a new request: one in use, or the idle one that was used last, or a new one.
    fn connection(&mut self, now: Time, rng: &mut Rng) -> Option<usize> {
        let able = self.conns.iter().enumerate().filter(|(_, conn)| conn.can_take());
        let best = able.max_by_key(|(_, conn)| (!conn.waiting.is_empty(), conn.last_used));
        if best.is_some() || self.refused {
            return best.map(|(index, _)| index);
        }
        let mut conn = Conn { fresh: true, ..Conn::default() };
        conn.to_agent.send(&self.hello, 1, self.schedule.latency, now, rng);
        self.conns.push(conn);
        Some(self.conns.len() - 1)
    }

    fn notify(&mut self, request: usize, index: usize, now: Time, rng: &mut Rng) {
        let conn = &mut self.conns[index];
        let id = NotifyId { stream_id: 2 * conn.streams.len() as u64 + 1, frame_id: 1 };
        let mut out = BytesMut::new();
        NotifyWriter::new(id, 256, &mut out).finish();
        let crossing = conn.is_crossing();
        let pieces = if rng.chance(self.schedule.cuts) { 3 } else { 1 };
        conn.to_agent.send(&out, pieces, self.schedule.latency, now, rng);
        conn.streams.push(request);
        conn.owed = conn.from_agent.queued();
        let given_up = |&stream: &usize| !self.requests[stream].acked && !conn.waiting.contains(&stream);
        conn.overtakes = conn.streams.iter().rev().take(20).any(given_up);
        conn.crossing = crossing || conn.owed > 0 || !conn.buffer.is_empty() || conn.overtakes;
        trace(index, now, || {
            format!("HAProxy sends NOTIFY {}, {} waiting", id.stream_id, conn.waiting.len())
        });
        self.requests[request].sent = Some(now);
    }
}
