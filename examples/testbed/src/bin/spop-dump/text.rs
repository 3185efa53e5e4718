//! Frames as lines to read.

use std::fmt::{self, Display, Write};

use spop::{Action, Capabilities, Frame, FrameHeader, TypedData};

/// How much of a value is shown, in bytes.
const SHOWN: usize = 200;

/// A frame as text: one line with its type, and one indented line for each message or action.
pub(crate) fn describe(frame: &[u8], full: bool) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_frame(&mut text, frame, if full { usize::MAX } else { SHOWN });
    text
}

fn write_frame(text: &mut String, frame: &[u8], limit: usize) -> fmt::Result {
    match FrameHeader::parse(frame) {
        Ok((FrameHeader { frame_type, flags, id }, _)) => {
            write!(text, "{frame_type}")?;
            // HELLO and DISCONNECT have none.
            if (id.stream_id, id.frame_id) != (0, 0) {
                write!(text, " {id}")?;
            }
            for (is_set, name) in [(!flags.is_fin(), "not FIN"), (flags.is_abort(), "ABORT")] {
                if is_set {
                    write!(text, " {name}")?;
                }
            }
        }
        Err(_) => write!(text, "frame")?,
    }
    write!(text, ", {} bytes", frame.len())?;
    match Frame::parse(frame) {
        Ok(parsed) => write_content(text, &parsed, limit),
        Err(error) => write!(text, "\n    cannot be read: {error}\n    {}", Hex(frame, limit)),
    }
}

fn write_content(text: &mut String, frame: &Frame<&[u8]>, limit: usize) -> fmt::Result {
    match frame {
        Frame::HaproxyHello(hello) => {
            let versions: Vec<_> = hello.supported_versions.iter().map(ToString::to_string).collect();
            write!(text, "\n    supported-versions={}", versions.join(","))?;
            write!(text, " max-frame-size={}", hello.max_frame_size)?;
            write!(text, " capabilities={}", Names(hello.capabilities))?;
            if let Some(engine) = &hello.engine_id {
                write!(text, " engine-id={}", Quoted(engine, limit))?;
            }
            if hello.healthcheck { write!(text, " healthcheck") } else { Ok(()) }
        }
        Frame::AgentHello(hello) => {
            write!(text, "\n    version={}", hello.version)?;
            if let Some(size) = hello.max_frame_size {
                write!(text, " max-frame-size={size}")?;
            }
            hello.capabilities.map_or(Ok(()), |names| write!(text, " capabilities={}", Names(names)))
        }
        Frame::HaproxyDisconnect(end) | Frame::AgentDisconnect(end) => {
            write!(text, "\n    status {}, message {}", end.status, Quoted(&end.message, limit))
        }
        Frame::Notify(notify) => notify.messages().try_for_each(|message| {
            write!(text, "\n    {}", message.name().as_bytes().escape_ascii())?;
            message.args().try_for_each(|arg| {
                let name = arg.name.as_bytes().escape_ascii();
                write!(text, " {name}={}", Value(arg.value, limit))
            })
        }),
        Frame::Ack(ack) => ack.actions().try_for_each(|action| match action {
            Action::SetVar { scope, name, value } => {
                let name = name.as_bytes().escape_ascii();
                write!(text, "\n    set-var {}.{name} = {}", scope.keyword(), Value(value, limit))
            }
            Action::UnsetVar { scope, name } => {
                write!(text, "\n    unset-var {}.{}", scope.keyword(), name.as_bytes().escape_ascii())
            }
        }),
        Frame::Unset(raw) | Frame::NotifyFragment(raw) | Frame::Unknown(raw) => {
            let payload = raw.payload();
            if payload.is_empty() { Ok(()) } else { write!(text, "\n    {}", Hex(payload, limit)) }
        }
    }
}

struct Names(Capabilities);

impl Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.to_string();
        f.write_str(if names.is_empty() { "none" } else { &names })
    }
}

/// A value: quotes, digits or a word tell its type; only integers need it said.
struct Value<'a>(TypedData<'a>, usize);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, limit) = *self;
        let kind = value.data_type();
        match value {
            TypedData::Null => f.write_str("null"),
            TypedData::Bool(value) => write!(f, "{value}"),
            TypedData::Int32(value) => write!(f, "{value} ({kind})"),
            TypedData::Uint32(value) => write!(f, "{value} ({kind})"),
            TypedData::Int64(value) => write!(f, "{value} ({kind})"),
            TypedData::Uint64(value) => write!(f, "{value} ({kind})"),
            TypedData::Ipv4(value) => write!(f, "{value}"),
            TypedData::Ipv6(value) => write!(f, "{value}"),
            TypedData::String(value) => Quoted(value.as_bytes(), limit).fmt(f),
            TypedData::Binary(value) => Hex(value, limit).fmt(f),
            _ => write!(f, "{value:?}"),
        }
    }
}

/// Text in quotes, at most so much of it.
struct Quoted<'a>(&'a [u8], usize);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = cut(self.0, self.1);
        write!(f, "\"{}\"", shown.escape_ascii())?;
        rest.fmt(f)
    }
}

/// Bytes in hex, at most so many.
struct Hex<'a>(&'a [u8], usize);

impl Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = cut(self.0, self.1);
        f.write_str("0x")?;
        shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        rest.fmt(f)
    }
}

fn cut(bytes: &[u8], limit: usize) -> (&[u8], Rest) {
    let shown = bytes.len().min(limit);
    (&bytes[..shown], Rest(bytes.len() - shown))
}

struct Rest(usize);

impl Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " and {} bytes more", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notify_shows_messages_and_arguments() {
        let frame = b"\x03\0\0\0\x01\x05\x01\x01m\x04\
            \x02ip\x06\x7f\0\0\x01\x01s\x08\x02a\n\x01n\x02\x07\x01b\x09\x01\xff";
        let expected = "NOTIFY 5/1, 33 bytes\n    m ip=127.0.0.1 s=\"a\\n\" n=7 (INT32) b=0xff";
        assert_eq!(describe(frame, false), expected);
    }

    #[test]
    fn an_ack_shows_its_actions() {
        let frame = b"\x67\0\0\0\x01\x05\x01\x01\x03\x01\x01x\x11\x02\x02\x02\x01y";
        assert_eq!(
            describe(frame, false),
            "ACK 5/1, 18 bytes\n    set-var sess.x = true\n    unset-var txn.y"
        );
    }

    #[test]
    fn a_long_value_is_cut_unless_all_is_wanted() {
        let body = [&b"\x03\0\0\0\x01\x05\x01\x01m\x01\x01s\x08\xfc\x03"[..], &[b'x'; 300]].concat();
        assert!(describe(&body, false).ends_with("xx\" and 100 bytes more"));
        assert!(describe(&body, true).ends_with("xx\""));
    }

    #[test]
    fn a_frame_that_cannot_be_read_is_shown_as_it_is() {
        let text = describe(b"\x03\0\0\0\x01\x05\x01\x01m\x01\x01", false);
        assert!(text.starts_with("NOTIFY 5/1, 11 bytes\n    cannot be read: "), "{text}");
        assert!(text.ends_with("0x0300000001050101 6d0101".replace(' ', "").as_str()), "{text}");
    }
}
