//! A case's transcript: what is sent, and what must come back.

use std::net::IpAddr;

use spop::{Capabilities, FrameType, Status};

use super::hello::Hello;
use super::wire::{FIN, Id, frame, items, message, notify, text, value};

/// The message that is sent to find out whether the agent answers.
#[derive(Clone, Debug)]
pub struct Probe {
    name: String,
    args: Vec<(String, Vec<u8>)>,
}

impl Probe {
    /// A message of this name, without arguments.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), args: Vec::new() }
    }

    /// Adds an argument that a user wrote: `NAME=VALUE`, or without `NAME=` one that has none.
    ///
    /// The value is an address, a number, `true`, `false` or `null` if it looks like one, and else a string; `str:` in
    /// front makes it a string in any case.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        let (name, text) = arg.split_once('=').unwrap_or(("", arg));
        self.args.push((name.to_owned(), argument(text)));
        self
    }

    /// The message's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The message, with more arguments behind its own.
    pub fn message_with(&self, more: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let args: Vec<_> = self.args.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        message(self.name.as_bytes(), &[&args, more].concat())
    }

    /// A NOTIFY of the message.
    pub fn notify(&self, stream_id: u64, frame_id: u64) -> Vec<u8> {
        notify((stream_id, frame_id), &self.message_with(&[]))
    }

    /// A message of the same name with no argument but these.
    pub fn with_only(&self, args: &[(&str, Vec<u8>)]) -> Vec<u8> {
        message(self.name.as_bytes(), args)
    }

    /// The name and an NB-ARGS: the start of a message.
    pub fn head(&self, args: u8) -> Vec<u8> {
        [text(self.name.as_bytes()), vec![args]].concat()
    }

    /// A connection on which nothing was sent yet.
    pub fn connect(&self) -> Script {
        Script { probe: self.clone(), steps: Vec::new() }
    }

    /// A connection with the HELLOs of HAProxy from 3.1 exchanged.
    pub fn connected(&self) -> Script {
        self.connect().hello(&Hello::from_3_1())
    }
}

/// The agent of HAProxy's sources, and the example of this repository.
impl Default for Probe {
    fn default() -> Self {
        Self::new("check-client-ip").arg("ip=127.0.0.1")
    }
}

fn argument(text: &str) -> Vec<u8> {
    match text {
        "null" => value::null(),
        "true" | "false" => value::boolean(text == "true"),
        _ => match (text.strip_prefix("str:"), text.parse::<IpAddr>(), text.parse::<i64>()) {
            (Some(text), ..) => value::string(text),
            (None, Ok(address), _) => value::ip(address),
            (None, _, Ok(number)) => value::int64(number),
            _ => value::string(text),
        },
    }
}

/// What is sent, and what must come back. The end of every script is the same: whatever connection is still open is
/// ended with a HAPROXY-DISCONNECT, and nothing may have been sent that was not asked for; then a new one must work.
#[derive(Clone, Debug)]
pub struct Script {
    pub(super) probe: Probe,
    pub(super) steps: Vec<Step>,
}

/// One line of a transcript.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Goes on with this connection, the first one being 0.
    On(usize),
    Send(Vec<u8>),
    SendByteByByte(Vec<u8>),
    /// A NOTIFY of as many bytes as were agreed on, and some more.
    SendSized {
        id: Id,
        more: u32,
    },
    HalfClose,
    Reset,
    /// The rest only makes sense if the agent can do this.
    Need(Need),
    /// An ACK to these may come from now on, and need not.
    MayAck(Id),
    Expect(Want),
}

/// What an agent may lack.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// The capability `pipelining`.
    Pipelining,
    /// The capability `fragmentation`.
    Fragmentation,
    /// No capability `fragmentation`.
    NoFragmentation,
}

impl Need {
    pub(super) fn is_met_by(self, capabilities: Capabilities) -> bool {
        match self {
            Self::Pipelining => capabilities.contains(Capabilities::PIPELINING),
            Self::Fragmentation => capabilities.contains(Capabilities::FRAGMENTATION),
            Self::NoFragmentation => !capabilities.contains(Capabilities::FRAGMENTATION),
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Pipelining => "the agent does not pipeline",
            Self::Fragmentation => "the agent takes no fragments",
            Self::NoFragmentation => "the agent takes fragments",
        }
    }
}

/// What must come.
#[derive(Clone, Debug)]
pub(super) enum Want {
    /// An AGENT-HELLO that HAProxy takes.
    Hello { offered: u32 },
    /// The same, or a refusal.
    HelloOrRefusal { offered: u32, statuses: Vec<Status> },
    /// The answer to a health check: one AGENT-HELLO and no more, and a close.
    CheckAnswer { offered: u32 },
    /// An ACK to each, in any order.
    Acks(Vec<Id>),
    /// An ACK to each, or a refusal.
    AcksOrRefusal { ids: Vec<Id>, statuses: Vec<Status>, refusal: Refusal },
    /// An AGENT-DISCONNECT of one of these statuses, and a close.
    Refusal(Vec<Status>),
    /// The answer to a HAPROXY-DISCONNECT.
    Disconnect,
    /// A close.
    Close,
}

/// What a refusal is, where an answer is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// As good.
    Fine,
    /// A pity: one bad request takes others with it.
    Pity,
}

impl Script {
    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn expect(self, want: Want) -> Self {
        self.step(Step::Expect(want))
    }

    /// Goes on with another connection, the first one being 0.
    #[must_use]
    pub fn on(self, connection: usize) -> Self {
        self.step(Step::On(connection))
    }

    /// Sends bytes, in one write.
    #[must_use]
    pub fn send(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Send(bytes.into()))
    }

    /// Sends bytes, each in a write of its own.
    #[must_use]
    pub fn send_byte_by_byte(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::SendByteByByte(bytes.into()))
    }

    /// Sends a NOTIFY of as many bytes as were agreed on, and `more`.
    #[must_use]
    pub fn notify_of_max_frame_size(self, stream_id: u64, frame_id: u64, more: u32) -> Self {
        self.step(Step::SendSized { id: (stream_id, frame_id), more })
    }

    /// Closes our direction.
    #[must_use]
    pub fn half_close(self) -> Self {
        self.step(Step::HalfClose)
    }

    /// Closes with a reset; what is next goes over a new connection.
    #[must_use]
    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    /// Goes on only if the agent has announced this.
    #[must_use]
    pub fn need(self, need: Need) -> Self {
        self.step(Step::Need(need))
    }

    /// Sends a HELLO, and wants an AGENT-HELLO that HAProxy takes.
    #[must_use]
    pub fn hello(self, hello: &Hello) -> Self {
        self.send(hello.frame()).hello_comes(hello)
    }

    /// Wants the AGENT-HELLO to a HELLO that was sent.
    #[must_use]
    pub fn hello_comes(self, hello: &Hello) -> Self {
        self.expect(Want::Hello { offered: hello.offered })
    }

    /// Wants the AGENT-HELLO to a HELLO that was sent, or a refusal.
    #[must_use]
    pub fn hello_comes_or_refusal(self, hello: &Hello, statuses: &[Status]) -> Self {
        self.expect(Want::HelloOrRefusal { offered: hello.offered, statuses: statuses.to_vec() })
    }

    /// Wants one AGENT-HELLO and no more to a health check that was sent.
    #[must_use]
    pub fn check_passes(self, hello: &Hello) -> Self {
        self.expect(Want::CheckAnswer { offered: hello.offered })
    }

    /// Sends the probe, and wants its ACK.
    #[must_use]
    pub fn ask(self, stream_id: u64, frame_id: u64) -> Self {
        self.notify(stream_id, frame_id).acks(&[(stream_id, frame_id)])
    }

    /// Sends the probe.
    #[must_use]
    pub fn notify(self, stream_id: u64, frame_id: u64) -> Self {
        let notify = self.probe.notify(stream_id, frame_id);
        self.send(notify)
    }

    /// Wants an ACK to each of these, in any order.
    #[must_use]
    pub fn acks(self, ids: &[Id]) -> Self {
        self.expect(Want::Acks(ids.to_vec()))
    }

    /// An ACK to this may come at any time from now on.
    #[must_use]
    pub fn may_be_acked(self, stream_id: u64, frame_id: u64) -> Self {
        self.step(Step::MayAck((stream_id, frame_id)))
    }

    /// Wants an ACK to the bad frame that was sent, and then one to a good one; a refusal is a fault that others have
    /// to bear.
    #[must_use]
    pub fn survives(self, id: Id, statuses: &[Status]) -> Self {
        let pity = (Refusal::Pity, statuses);
        self.acks_or_refusal(&[id], pity).ask(0xbad, 1)
    }

    /// Wants the frame that was sent to be ignored, and a good one to be answered; a refusal is a fault that others
    /// have to bear.
    #[must_use]
    pub fn ignores(self, statuses: &[Status]) -> Self {
        self.notify(0xbad, 1).acks_or_refusal(&[(0xbad, 1)], (Refusal::Pity, statuses))
    }

    /// Wants an ACK to the frame that was sent, or a refusal.
    #[must_use]
    pub fn acks_or_refuses(self, id: Id, statuses: &[Status]) -> Self {
        self.acks_or_refusal(&[id], (Refusal::Fine, statuses))
    }

    fn acks_or_refusal(self, ids: &[Id], (refusal, statuses): (Refusal, &[Status])) -> Self {
        self.expect(Want::AcksOrRefusal { ids: ids.to_vec(), statuses: statuses.to_vec(), refusal })
    }

    /// Wants an AGENT-DISCONNECT with one of these statuses, and a close.
    #[must_use]
    pub fn refuses(self, statuses: &[Status]) -> Self {
        self.expect(Want::Refusal(statuses.to_vec()))
    }

    /// Sends a HAPROXY-DISCONNECT with this status.
    #[must_use]
    pub fn disconnect(self, status: u32) -> Self {
        let payload = items(&[
            ("status-code", value::uint32(status)),
            ("message", value::string("spop-check is done")),
        ]);
        self.send(frame(FrameType::HAPROXY_DISCONNECT, FIN, (0, 0), &payload))
    }

    /// Wants an AGENT-DISCONNECT in answer to ours, and a close.
    #[must_use]
    pub fn disconnects(self) -> Self {
        self.expect(Want::Disconnect)
    }

    /// Wants a close, with or without a word.
    #[must_use]
    pub fn closes(self) -> Self {
        self.expect(Want::Close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_of_the_type_that_they_look_like() {
        for (text, value) in [
            ("127.0.0.1", &b"\x06\x7f\0\0\x01"[..]),
            ("::1", b"\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
            ("42", b"\x04\x2a"),
            ("true", b"\x11"),
            ("null", b"\0"),
            ("/path", b"\x08\x05/path"),
            ("str:42", b"\x08\x0242"),
            ("", b"\x08\0"),
        ] {
            assert_eq!(argument(text), value, "{text}");
        }
    }

    #[test]
    fn an_argument_may_have_no_name() {
        assert_eq!(
            Probe::new("m").arg("a=1").arg("7").message_with(&[]),
            b"\x01m\x02\x01a\x04\x01\0\x04\x07"
        );
    }
}
