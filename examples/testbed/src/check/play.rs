//! Plays a script against an agent.

use std::time::Duration;

use spop::{FrameType, LENGTH_PREFIX, NotifyId, RawFrame, Status, varint};

use super::judge::{self, Agreed, Finding, FromAgent};
use super::link::{Incoming, Link};
use super::script::{Probe, Refusal, Script, Step, Want};
use super::wire::{FIN, Id, frame, items, notify, value};
use super::{Level, Outcome, Target};

/// How long an agent that does not have to send a DISCONNECT is waited for.
const BRIEFLY: Duration = Duration::from_millis(500);

/// Plays `script` with everything that belongs to it; a fault of the script's own steps counts as `level` at most.
pub(super) fn run(script: &Script, level: Level, target: &Target) -> Outcome {
    let mut player = Player::new(script, target);
    let mut end = player.steps().and_then(|()| player.wind_up());
    if let Err(Stop::Fault((found, text))) = end {
        end = Err(Stop::Fault((found.min(level), text)));
    }
    let mut notes: Vec<Finding> =
        player.notes.drain(..).map(|(found, text)| (found.min(level), text)).collect();
    match end {
        Err(Stop::NotApplicable(reason)) => return Outcome::NotApplicable(reason),
        Err(Stop::Fault(finding)) => notes.push(finding),
        Ok(()) | Err(Stop::Refused) => {}
    }
    drop(player);
    // Whatever happened: the next connection must work.
    let next = script.probe.connected().ask(1, 1);
    let mut player = Player::new(&next, target);
    if let Err(Stop::Fault((_, text))) = player.steps() {
        notes.push((Level::Must, format!("a new connection afterwards: {text}")));
    }
    // The gravest, and of those the first.
    match notes.into_iter().rev().max_by_key(|finding| finding.0) {
        Some((level, text)) => Outcome::Failed(level, text),
        None => Outcome::Passed,
    }
}

/// Why a script is not played on.
enum Stop {
    Fault(Finding),
    NotApplicable(&'static str),
    /// The agent refused to go on, as it may.
    Refused,
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Self {
        Self::Fault(finding)
    }
}

fn fault(text: impl Into<String>) -> Stop {
    Stop::Fault((Level::Must, text.into()))
}

type Played<T = ()> = Result<T, Stop>;

struct Player<'a> {
    script: &'a Script,
    target: &'a Target,
    connections: Vec<Option<Connection>>,
    current: usize,
    /// What was sent last, for the report.
    sent: String,
    /// Faults after which the script goes on.
    notes: Vec<Finding>,
}

struct Connection {
    link: Link,
    agreed: Option<Agreed>,
    /// ACKs that may come at any time.
    may_come: Vec<NotifyId>,
}

impl<'a> Player<'a> {
    fn new(script: &'a Script, target: &'a Target) -> Self {
        let sent = "connecting".to_owned();
        Self { script, target, connections: Vec::new(), current: 0, sent, notes: Vec::new() }
    }

    fn steps(&mut self) -> Played {
        self.script.steps.iter().try_for_each(|step| self.step(step))
    }

    /// The current connection, opened if need be.
    fn connection(&mut self) -> Played<&mut Connection> {
        if self.connections.len() <= self.current {
            self.connections.resize_with(self.current + 1, || None);
        }
        let place = &mut self.connections[self.current];
        match place {
            Some(connection) => Ok(connection),
            None => {
                let Target { address, timeout } = self.target;
                let link = Link::connect(address, *timeout)
                    .map_err(|error| fault(format!("cannot connect to {address}: {error}")))?;
                Ok(place.insert(Connection { link, agreed: None, may_come: Vec::new() }))
            }
        }
    }

    fn step(&mut self, step: &Step) -> Played {
        match step {
            Step::On(connection) => self.current = *connection,
            Step::Send(bytes) => self.send(bytes, bytes.len().max(1))?,
            Step::SendByteByByte(bytes) => self.send(bytes, 1)?,
            Step::SendSized { id, more } => {
                let size = self.agreed()?.max_frame_size + more;
                let bytes = notify_of_size(&self.script.probe, *id, size as usize);
                let bytes = bytes.ok_or(Stop::NotApplicable("the message does not fit"))?;
                self.send(&bytes, bytes.len())?;
            }
            Step::HalfClose => self.connection()?.link.half_close(),
            Step::Reset => {
                self.connection()?;
                if let Some(connection) = self.connections[self.current].take() {
                    connection.link.reset();
                }
            }
            Step::Need(need) => {
                if !need.is_met_by(self.agreed()?.capabilities) {
                    return Err(Stop::NotApplicable(need.reason()));
                }
            }
            Step::MayAck(id) => self.connection()?.may_come.push(notify_id(*id)),
            Step::Expect(want) => self.expect(want)?,
        }
        Ok(())
    }

    fn agreed(&mut self) -> Played<Agreed> {
        self.connection()?.agreed.ok_or_else(|| fault("no AGENT-HELLO"))
    }

    fn send(&mut self, bytes: &[u8], chunk: usize) -> Played {
        self.sent = describe(bytes);
        let connection = self.connection()?;
        let mut chunks = bytes.chunks(chunk);
        let sent = chunks.try_for_each(|chunk| connection.link.send(chunk));
        sent.map_err(|_| fault(format!("the agent does not read {}", self.sent)))
    }

    fn expect(&mut self, want: &Want) -> Played {
        match want {
            Want::Hello { offered } => match self.next()? {
                Heard::Hello(frame) => self.take_hello(&frame, *offered, false),
                other => Err(self.unexpected("AGENT-HELLO", &other)),
            },
            Want::HelloOrRefusal { offered, statuses } => match self.next()? {
                Heard::Hello(frame) => self.take_hello(&frame, *offered, false),
                other => {
                    self.refusal(other, "AGENT-HELLO, or AGENT-DISCONNECT", statuses)?;
                    Err(Stop::Refused)
                }
            },
            Want::CheckAnswer { offered } => self.check_answer(*offered),
            Want::Acks(ids) => self.acks(ids, None),
            Want::AcksOrRefusal { ids, statuses, refusal } => self.acks(ids, Some((statuses, *refusal))),
            Want::Refusal(statuses) => {
                let heard = self.next()?;
                self.refusal(heard, "AGENT-DISCONNECT", statuses)
            }
            Want::Disconnect => self.disconnect(),
            Want::Close => self.close(),
        }
    }

    fn take_hello(&mut self, frame: &[u8], offered: u32, check: bool) -> Played {
        let (agreed, notes) = judge::hello(frame, offered, check)?;
        self.notes.extend(notes);
        self.connection()?.agreed = Some(agreed);
        Ok(())
    }

    fn check_answer(&mut self, offered: u32) -> Played {
        match self.next()? {
            Heard::Hello(frame) => self.take_hello(&frame, offered, true)?,
            other => return Err(self.unexpected("AGENT-HELLO", &other)),
        }
        // HAProxy from 3.1 takes whatever it reads for a part of the answer.
        match self.next()? {
            Heard::Closed(0) => {}
            Heard::Silence(_) => {
                self.notes.push((Level::Should, "the connection of a health check is not closed".into()));
            }
            other => return Err(self.unexpected("nothing behind the AGENT-HELLO", &other)),
        }
        self.connections[self.current] = None;
        Ok(())
    }

    /// Waits for ACKs in any order, or, if that is allowed, for a refusal.
    fn acks(&mut self, ids: &[Id], or_refusal: Option<(&[Status], Refusal)>) -> Played {
        let mut waiting: Vec<_> = ids.iter().copied().map(notify_id).collect();
        while let Some(first) = waiting.first() {
            let want = if waiting.len() == 1 {
                format!("ACK {first}")
            } else {
                format!("ACK {first} and {} more", waiting.len() - 1)
            };
            match self.next()? {
                Heard::Ack(id) => {
                    if let Some(at) = waiting.iter().position(|&waiting| waiting == id) {
                        waiting.remove(at);
                    } else if !self.connection()?.may_come.contains(&id) {
                        return Err(self.unexpected(&want, &Heard::Ack(id)));
                    }
                }
                other => {
                    let Some((statuses, refusal)) = or_refusal else {
                        return Err(self.unexpected(&want, &other));
                    };
                    if refusal == Refusal::Pity && !matches!(other, Heard::Silence(_)) {
                        let text =
                            format!("after {}: {other}, and other requests are lost with it", self.sent);
                        self.notes.push((Level::Should, text));
                    }
                    self.refusal(other, &format!("{want}, or AGENT-DISCONNECT"), statuses)?;
                    return Err(Stop::Refused);
                }
            }
        }
        Ok(())
    }

    /// Wants `heard` to be an AGENT-DISCONNECT with one of `statuses`, and a close.
    fn refusal(&mut self, mut heard: Heard, want: &str, statuses: &[Status]) -> Played {
        while let Heard::Ack(id) = heard {
            if !self.connection()?.may_come.contains(&id) {
                break;
            }
            heard = self.next()?;
        }
        match heard {
            Heard::Disconnect(status) => {
                if !statuses.contains(&status) {
                    let wanted: Vec<_> = statuses.iter().map(|status| status.0.to_string()).collect();
                    let text = format!(
                        "after {}: AGENT-DISCONNECT with status {}, want {}",
                        self.sent,
                        status.0,
                        wanted.join(" or ")
                    );
                    self.notes.push((Level::Should, text));
                }
                self.closed_after_disconnect()
            }
            Heard::Closed(_) => {
                // SPOE.txt 3.2.4 has a must for the HELLO.
                let level = if self.connection()?.agreed.is_some() { Level::Should } else { Level::Must };
                let text = format!("after {}: closed without an AGENT-DISCONNECT", self.sent);
                self.notes.push((level, text));
                self.connections[self.current] = None;
                Ok(())
            }
            other => Err(self.unexpected(want, &other)),
        }
    }

    fn closed_after_disconnect(&mut self) -> Played {
        match self.next()? {
            Heard::Closed(0) => {
                self.connections[self.current] = None;
                Ok(())
            }
            other => Err(self.unexpected("a close after AGENT-DISCONNECT", &other)),
        }
    }

    fn disconnect(&mut self) -> Played {
        loop {
            match self.next()? {
                Heard::Disconnect(_) => return self.closed_after_disconnect(),
                Heard::Ack(id) if self.connection()?.may_come.contains(&id) => {}
                other => return Err(self.unexpected("AGENT-DISCONNECT", &other)),
            }
        }
    }

    fn close(&mut self) -> Played {
        loop {
            match self.next()? {
                Heard::Closed(_) => break,
                Heard::Disconnect(_) => return self.closed_after_disconnect(),
                Heard::Ack(id) if self.connection()?.may_come.contains(&id) => {}
                other => return Err(self.unexpected("a close", &other)),
            }
        }
        self.connections[self.current] = None;
        Ok(())
    }

    /// Ends what is open, and looks for what should not have been sent. How the agent takes the DISCONNECT is a case of
    /// its own.
    fn wind_up(&mut self) -> Played {
        let payload = items(&[("status-code", value::uint32(0)), ("message", value::string("normal"))]);
        let disconnect = frame(FrameType::HAPROXY_DISCONNECT, FIN, (0, 0), &payload);
        for index in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[index] else { continue };
            if connection.link.send(&disconnect).is_err() {
                continue;
            }
            self.current = index;
            let patience = BRIEFLY.min(self.target.timeout);
            loop {
                match self.next_within(patience)? {
                    Heard::Disconnect(_) | Heard::Closed(_) | Heard::Silence(_) => break,
                    Heard::Ack(id) if self.connection()?.may_come.contains(&id) => {}
                    other => return Err(self.unexpected("nothing more", &other)),
                }
            }
            self.connections[index] = None;
        }
        Ok(())
    }

    fn next(&mut self) -> Played<Heard> {
        self.next_within(self.target.timeout)
    }

    fn next_within(&mut self, patience: Duration) -> Played<Heard> {
        let connection = self.connection()?;
        let frame = match connection.link.next(patience) {
            Incoming::Frame(frame) => frame,
            Incoming::BadLength(len) => return Err(fault(format!("a frame of {len} bytes"))),
            Incoming::Closed { rest } => return Ok(Heard::Closed(rest)),
            Incoming::Silence(patience) => return Ok(Heard::Silence(patience)),
        };
        let agreed = connection.agreed;
        Ok(match judge::kind(&frame)? {
            // HAProxy from 3.1 honours a second one, which can only ask for less; up to 3.0 it ignores it.
            FromAgent::Hello => match agreed {
                Some(agreed) => {
                    judge::hello(&frame, agreed.max_frame_size, false)?;
                    return self.next_within(patience);
                }
                None => Heard::Hello(frame),
            },
            FromAgent::Disconnect => {
                let (status, notes) = judge::disconnect(&frame)?;
                self.notes.extend(notes);
                Heard::Disconnect(status)
            }
            FromAgent::Ack(id) => {
                let max_frame_size = agreed.map_or(u32::MAX, |agreed| agreed.max_frame_size);
                self.notes.extend(judge::ack(&frame, max_frame_size)?);
                Heard::Ack(id)
            }
            FromAgent::Other(frame_type) => Heard::Other(frame_type),
        })
    }

    fn unexpected(&self, want: &str, got: &Heard) -> Stop {
        fault(format!("after {}: want {want}, got {got}", self.sent))
    }
}

/// What came.
enum Heard {
    Hello(Vec<u8>),
    Ack(NotifyId),
    Disconnect(Status),
    Other(FrameType),
    Closed(usize),
    Silence(Duration),
}

impl std::fmt::Display for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hello(_) => f.write_str("AGENT-HELLO"),
            Self::Ack(id) => write!(f, "ACK {id}"),
            Self::Disconnect(status) => {
                write!(f, "AGENT-DISCONNECT with status {} ({})", status.0, status.reason())
            }
            Self::Other(frame_type) => write!(f, "a frame of type {}", frame_type.0),
            Self::Closed(0) => f.write_str("a close"),
            Self::Closed(rest) => write!(f, "a close after {rest} bytes of a frame"),
            Self::Silence(patience) => write!(f, "nothing for {patience:?}"),
        }
    }
}

fn notify_id((stream_id, frame_id): Id) -> NotifyId {
    NotifyId { stream_id, frame_id }
}

/// A NOTIFY of `size` bytes, the length prefix not counted; `None` if the probe is longer.
fn notify_of_size(probe: &Probe, id: Id, size: usize) -> Option<Vec<u8>> {
    let padded = |name: &str, padding: usize| {
        notify(id, &probe.message_with(&[(name, value::binary(vec![b'x'; padding]))]))
    };
    let padding = (size + LENGTH_PREFIX).checked_sub(padded("", 0).len())?;
    // The length of the padding takes some bytes more; where it grows, a byte of the name makes up for it.
    let mut tries = (0..varint::MAX_LEN)
        .flat_map(|less| ["", "x"].map(|name| padded(name, padding.saturating_sub(less))));
    tries.find(|frame| frame.len() == size + LENGTH_PREFIX)
}

/// What bytes to be sent are, in a word or two.
fn describe(bytes: &[u8]) -> String {
    let body = bytes.get(4..).filter(|body| {
        bytes.first_chunk().is_some_and(|len| u32::from_be_bytes(*len) as usize == body.len())
    });
    match body.map(RawFrame::parse) {
        Some(Ok(raw)) => {
            let header = raw.header();
            match (header.frame_type, header.id) {
                (frame_type @ (FrameType::HAPROXY_HELLO | FrameType::HAPROXY_DISCONNECT), _) => {
                    frame_type.to_string()
                }
                (frame_type, id) => format!("{frame_type} {id}"),
            }
        }
        _ => format!("{} bytes", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notify_can_have_any_size_that_the_probe_fits_into() {
        for size in (60..700).chain(2200..2500).chain([16_379, 16_380, 16_381, 65_532, 900_000]) {
            let frame = notify_of_size(&Probe::default(), (1, 1), size).unwrap();
            assert_eq!(frame.len(), size + LENGTH_PREFIX);
            spop::Notify::parse(&frame[LENGTH_PREFIX..]).unwrap();
        }
        assert!(notify_of_size(&Probe::default(), (1, 1), 20).is_none());
    }
}
