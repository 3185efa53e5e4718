//! A file of any kind, as events of connections.

use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read};
use std::time::Duration;

use bytes::Bytes;

use crate::capture::{Capture, is_capture};
use crate::frames::{Event, Frames};
use crate::packet;
use crate::tcp::{Connections, Told};

/// Hex on one line.
const MAX_LINE: u64 = 4 << 20;

/// Where the events of a file go: when, of which connection, and what.
pub(crate) trait Sink {
    fn take(&mut self, at: Option<Duration>, connection: u32, event: Event) -> io::Result<()>;
}

/// Reads `input` to its end: a capture, a stream of frames, or hex.
pub(crate) fn read(mut input: impl Read, port: Option<u16>, sink: &mut impl Sink) -> io::Result<()> {
    let mut magic = [0; 4];
    input.read_exact(&mut magic).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "too short for a frame"),
        _ => error,
    })?;
    if is_capture(magic) {
        return capture(Capture::open(magic, BufReader::new(input))?, port, sink);
    }
    let input = BufReader::new(Cursor::new(magic).chain(input));
    // A frame's length is below 2^24, and no text has a zero byte.
    if magic[0] == 0 { stream(input, sink) } else { hex(input, sink) }
}

fn capture<R: Read>(mut capture: Capture<R>, port: Option<u16>, sink: &mut impl Sink) -> io::Result<()> {
    let (mut connections, mut told) = (Connections::default(), Told::new());
    let (mut start, mut others) = (None, 0u64);
    let outcome = loop {
        let packet = match capture.next() {
            Ok(Some(packet)) => packet,
            Ok(None) => break Ok(()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                break Err(io::Error::new(error.kind(), "the capture ends within a packet"));
            }
            Err(error) => break Err(error),
        };
        let at = packet.at.saturating_sub(*start.get_or_insert(packet.at));
        match packet::parse(packet.link, &packet.data) {
            Some(segment)
                if port.is_none_or(|port| [segment.from.port(), segment.to.port()].contains(&port)) =>
            {
                connections.segment(&segment, &mut told);
                told.drain(..).try_for_each(|(connection, event)| sink.take(Some(at), connection, event))?;
            }
            Some(_) => {}
            None => others += 1,
        }
    };
    connections.finish(&mut told);
    told.drain(..).try_for_each(|(connection, event)| sink.take(None, connection, event))?;
    for (count, what) in
        [(others, "are not TCP, or fragments"), (connections.ignored, "are of too many connections")]
    {
        if count > 0 {
            eprintln!("spop-dump: {count} packets {what}");
        }
    }
    outcome
}

/// The bytes of one direction, or of both one after the other.
fn stream(mut input: impl Read, sink: &mut impl Sink) -> io::Result<()> {
    let (mut frames, mut chunk) = (Frames::default(), vec![0; 64 * 1024]);
    loop {
        let len = input.read(&mut chunk)?;
        frames.feed(&chunk[..len]);
        while let Some(event) = frames.next() {
            sink.take(None, 1, event)?;
        }
        if len == 0 || frames.is_lost() {
            return finish(frames, sink);
        }
    }
}

fn finish(mut frames: Frames, sink: &mut impl Sink) -> io::Result<()> {
    frames.finish().map_or(Ok(()), |event| sink.take(None, 1, event))?;
    sink.take(None, 1, Event::End)
}

/// Lines of hex: a stream that is cut anywhere, or on each line one frame without its length.
fn hex(mut input: impl BufRead, sink: &mut impl Sink) -> io::Result<()> {
    let (mut frames, mut line, mut number) = (Frames::default(), String::new(), 0u64);
    loop {
        line.clear();
        number += 1;
        let invalid = |what: &str| io::Error::new(ErrorKind::InvalidData, format!("line {number}: {what}"));
        let read = input.by_ref().take(MAX_LINE).read_line(&mut line);
        if read.map_err(|_| invalid("neither hex, nor a capture, nor frames"))? == 0 {
            return finish(frames, sink);
        }
        let bytes = from_hex(&line).ok_or_else(|| invalid("neither hex, nor a capture, nor frames"))?;
        match bytes.first() {
            // A length starts with a zero, a type does not.
            Some(1..) if frames.len() == 0 && !frames.is_lost() => {
                sink.take(None, 1, Event::Frame(Bytes::from(bytes)))?;
            }
            _ => frames.feed(&bytes),
        }
        while let Some(event) = frames.next() {
            sink.take(None, 1, event)?;
        }
    }
}

/// Digits with spaces, colons or commas, and `0x` or `\x`.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: String = text
        .replace("0x", " ")
        .replace("\\x", " ")
        .chars()
        .filter(|digit| !digit.is_whitespace() && !matches!(digit, ':' | ','))
        .collect();
    let digits: Vec<_> = digits.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| u8::try_from(high << 4 | low).ok()).collect();
    if rest.is_empty() { bytes } else { None }
}
