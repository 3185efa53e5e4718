//! What HAProxy makes of an agent's frames.

use spop::{Ack, Action, Capabilities, Flags, FrameType, NotifyId, RawFrame, Status};

use super::Level::{self, Must, Should};
use super::wire::{Value, read_items};

/// The smallest `max-frame-size` there may be.
const MIN_FRAME_SIZE: u64 = 256;

/// What is wrong with a frame, and how much it matters.
pub(super) type Finding = (Level, String);

/// What the agent said in its HELLO.
#[derive(Clone, Copy, Debug)]
pub(super) struct Agreed {
    pub(super) max_frame_size: u32,
    pub(super) capabilities: Capabilities,
}

/// A frame of the agent's.
#[derive(Debug)]
pub(super) enum FromAgent {
    Hello,
    Disconnect,
    Ack(NotifyId),
    Other(FrameType),
}

/// Tells frames apart.
pub(super) fn kind(frame: &[u8]) -> Result<FromAgent, Finding> {
    let raw =
        RawFrame::parse(frame).map_err(|error| (Must, format!("a frame with a bad header: {error}")))?;
    Ok(match raw.header().frame_type {
        FrameType::AGENT_HELLO => FromAgent::Hello,
        FrameType::AGENT_DISCONNECT => FromAgent::Disconnect,
        FrameType::ACK => FromAgent::Ack(raw.header().id),
        other => FromAgent::Other(other),
    })
}

/// Reads an AGENT-HELLO by HAProxy's rules. `check`: by those of a health check, which are stricter.
pub(super) fn hello(frame: &[u8], offered: u32, check: bool) -> Result<(Agreed, Vec<Finding>), Finding> {
    let (raw, mut findings) = control(frame, "AGENT-HELLO")?;
    let must = |text: String| (Must, format!("AGENT-HELLO: {text}"));
    let items = read_items(raw.payload()).ok_or_else(|| must("its items cannot be read".into()))?;
    if check && raw.header().flags != Flags::FIN {
        findings.push(must("health checks of HAProxy from 3.1 want the flags 0x00000001".into()));
    }
    for (name, _) in &items {
        let known = ["version", "max-frame-size", "capabilities"];
        let prefix =
            known.iter().find(|known| name.starts_with(known.as_bytes()) && *name != known.as_bytes());
        if let Some(prefix) = prefix {
            let name = name.escape_ascii();
            return Err(must(format!("HAProxy takes the item {name} for {prefix}, as it starts like that")));
        }
    }
    // The last one counts.
    let item = |wanted: &str| items.iter().rev().find(|item| item.0 == wanted.as_bytes()).map(|item| &item.1);
    match item("version") {
        Some(Value::Text(text)) if is_2_0(text) => {}
        Some(Value::Text(text)) => {
            return Err(must(format!("version {}, and HAProxy takes 2.0 only", text.escape_ascii())));
        }
        Some(_) => return Err(must("version is no STRING".into())),
        None => return Err(must("no version".into())),
    }
    let max_frame_size = match item("max-frame-size") {
        Some(&Value::Integer(data_type, size)) => {
            if !(MIN_FRAME_SIZE..=offered.into()).contains(&size) {
                return Err(must(format!("max-frame-size {size}, want {MIN_FRAME_SIZE} to {offered}")));
            }
            if data_type != 3 {
                findings.push((Should, "AGENT-HELLO: max-frame-size is no UINT32".into()));
            }
            u32::try_from(size).unwrap_or(offered)
        }
        Some(_) => return Err(must("max-frame-size is no UINT32".into())),
        None => return Err(must("no max-frame-size, which HAProxy up to 3.0 refuses".into())),
    };
    let capabilities = match item("capabilities") {
        Some(Value::Text(list)) => Capabilities::parse(list),
        Some(_) => return Err(must("capabilities is no STRING".into())),
        None => return Err(must("no capabilities, which health checks of HAProxy from 3.1 refuse".into())),
    };
    Ok((Agreed { max_frame_size, capabilities }, findings))
}

/// What HAProxy takes for 2.0: blanks and zeros are allowed.
fn is_2_0(text: &[u8]) -> bool {
    spop::Version::parse(text) == Some(spop::Version::V2_0)
}

/// Reads an AGENT-DISCONNECT.
pub(super) fn disconnect(frame: &[u8]) -> Result<(Status, Vec<Finding>), Finding> {
    let (raw, mut findings) = control(frame, "AGENT-DISCONNECT")?;
    let must = |text: &str| (Must, format!("AGENT-DISCONNECT: {text}"));
    let items = read_items(raw.payload()).ok_or_else(|| must("its items cannot be read"))?;
    let item = |wanted: &str| items.iter().find(|item| item.0 == wanted.as_bytes()).map(|item| &item.1);
    let status = match item("status-code") {
        Some(&Value::Integer(_, code)) => {
            u32::try_from(code).map_err(|_| must("a status-code above 32 bits"))?
        }
        Some(_) => return Err(must("status-code is no UINT32")),
        None => return Err(must("no status-code")),
    };
    match item("message") {
        Some(Value::Text(text)) if text.len() > 255 => {
            findings.push(must("HAProxy up to 3.0 ignores one with a message of more than 255 bytes"));
        }
        Some(Value::Text(_)) => {}
        Some(_) => return Err(must("message is no STRING")),
        None => return Err(must("no message")),
    }
    if Status(status).sendable() != Status(status) {
        findings.push((Must, format!("status {status}: 14 to 98 crash health checks of HAProxy up to 3.0")));
    }
    Ok((Status(status), findings))
}

/// What holds for both: whole, and ids of 0.
fn control<'a>(frame: &'a [u8], name: &str) -> Result<(RawFrame<&'a [u8]>, Vec<Finding>), Finding> {
    let raw = RawFrame::parse(frame).map_err(|error| (Must, format!("{name}: {error}")))?;
    let header = raw.header();
    if !header.flags.is_fin() {
        return Err((Must, format!("{name}: its FIN flag is clear")));
    }
    if (header.id.stream_id, header.id.frame_id) != (0, 0) {
        return Err((Must, format!("{name}: ids {}, want 0/0", header.id)));
    }
    Ok((raw, flags(header.flags, name)))
}

/// Checks an ACK. Whether somebody waits for it is another question.
pub(super) fn ack(frame: &[u8], max_frame_size: u32) -> Result<Vec<Finding>, Finding> {
    if frame.len() > max_frame_size as usize {
        let len = frame.len();
        return Err((Must, format!("an ACK of {len} bytes, and max-frame-size is {max_frame_size}")));
    }
    let ack =
        Ack::parse(frame).map_err(|error| (Must, format!("an ACK that HAProxy cannot read: {error}")))?;
    let mut findings = flags(ack.flags(), "ACK");
    for action in ack.actions() {
        let (Action::SetVar { name, .. } | Action::UnsetVar { name, .. }) = action;
        let name = name.as_bytes();
        if name.len() > 63 || name.iter().any(|byte| !(byte.is_ascii_alphanumeric() || b"_.".contains(byte)))
        {
            let text = format!("HAProxy drops the variable {} without a word", name.escape_ascii());
            findings.push((Should, text));
        }
    }
    Ok(findings)
}

fn flags(flags: Flags, name: &str) -> Vec<Finding> {
    let reserved = (flags.0 & !0x3 != 0).then(|| (Should, format!("{name}: reserved flags {:#x}", flags.0)));
    reserved.into_iter().collect()
}
