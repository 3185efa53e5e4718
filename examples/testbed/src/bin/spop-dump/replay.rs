//! Sends HAProxy's frames of a file to an agent, and holds its answers against those in the file.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use bytes::Bytes;
use spop::{FrameHeader, FrameType, NotifyId};
use testbed::check::Hello;

use crate::frames::{Event, Frames};
use crate::output::Output;
use crate::socket::Stream;
use crate::source::Sink;

/// Answers of a connection that wait for what the file has.
const MAX_ANSWERS: usize = 1024;

pub(crate) struct Replay<'a> {
    target: &'a str,
    timeout: Duration,
    output: &'a Output,
    /// By the file's number; `None` once the agent has left or failed.
    peers: HashMap<u32, Option<Peer>>,
    same: u64,
    other: u64,
    alone: u64,
    failed: u64,
}

struct Peer {
    stream: Stream,
    frames: Frames,
    answers: BTreeMap<NotifyId, Bytes>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(target: &'a str, timeout: Duration, output: &'a Output) -> Self {
        Self { target, timeout, output, peers: HashMap::new(), same: 0, other: 0, alone: 0, failed: 0 }
    }

    /// Tells how it went; true if the agent answered all, and as in the file.
    pub(crate) fn finish(&self) -> io::Result<bool> {
        let Self { same, other, alone, failed, .. } = self;
        self.output.line(&format!(
            "\n{same} answers as in the file, {other} not as in the file, \
             {alone} that the file lacks, {failed} failures"
        ))?;
        Ok(*other == 0 && *failed == 0)
    }

    fn note(&self, connection: u32, text: String) -> io::Result<()> {
        self.output.event(None, connection, &Event::Note(text))
    }

    /// A frame of the file.
    fn frame(&mut self, connection: u32, frame: Bytes) -> io::Result<()> {
        let Ok((header, _)) = FrameHeader::parse(&frame) else {
            return self.note(connection, "a frame without a whole header is not sent".to_owned());
        };
        match header.frame_type {
            FrameType::ACK => self.compare(connection, header.id, &frame),
            FrameType::AGENT_HELLO | FrameType::AGENT_DISCONNECT => Ok(()),
            _ => {
                if let Err(error) = self.send(connection, header, &frame)? {
                    self.failed += 1;
                    self.peers.insert(connection, None);
                    self.note(connection, format!("{error}; the rest of this connection is not sent"))?;
                }
                Ok(())
            }
        }
    }

    /// Sends a frame of HAProxy's, and waits for what must come back. The outer error is the output's.
    fn send(&mut self, connection: u32, header: FrameHeader, frame: &Bytes) -> io::Result<io::Result<()>> {
        if header.frame_type == FrameType::HAPROXY_HELLO {
            // A file of plain frames may have several connections, one after the other.
            self.leave(connection);
            match Peer::connect(self.target, self.timeout) {
                Ok(peer) => self.peers.insert(connection, Some(peer)),
                Err(error) => return Ok(Err(error)),
            };
        } else if !self.peers.contains_key(&connection) {
            self.note(connection, "the file has no HAPROXY-HELLO of it: sending one".to_owned())?;
            let hello = Hello::from_3_1().frame().split_off(spop::LENGTH_PREFIX);
            let (header, _) = FrameHeader::parse(&hello).map_err(io::Error::other)?;
            if let Err(error) = self.send(connection, header, &hello.into())? {
                return Ok(Err(error));
            }
        }
        // Without one the failure was told before.
        let Some(Some(peer)) = self.peers.get_mut(&connection) else { return Ok(Ok(())) };
        self.output.event(None, connection, &Event::Frame(frame.clone()))?;
        let len = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes();
        if let Err(error) = peer.stream.write_all(&[&len, &frame[..]].concat()) {
            return Ok(Err(io::Error::new(error.kind(), format!("cannot send: {error}"))));
        }
        let awaited = match header.frame_type {
            FrameType::HAPROXY_HELLO => FrameType::AGENT_HELLO,
            FrameType::HAPROXY_DISCONNECT => FrameType::AGENT_DISCONNECT,
            // The last fragment, or the only one.
            _ if header.flags.is_fin() && !header.flags.is_abort() => FrameType::ACK,
            _ => return Ok(Ok(())),
        };
        self.wait(connection, awaited, header.id)
    }

    /// Ends the agent's connection, if there is one.
    fn leave(&mut self, connection: u32) {
        if let Some(Some(peer)) = self.peers.remove(&connection) {
            self.alone += peer.answers.len() as u64;
            peer.stream.shutdown(Shutdown::Both);
        }
    }

    /// Shows what the agent sends until the frame is there.
    fn wait(&mut self, connection: u32, awaited: FrameType, id: NotifyId) -> io::Result<io::Result<()>> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let Some(Some(peer)) = self.peers.get_mut(&connection) else { return Ok(Ok(())) };
            let answer = match peer.next(deadline) {
                Ok(answer) => answer,
                // HAProxy does not mind.
                Err(_) if awaited == FrameType::AGENT_DISCONNECT => return Ok(Ok(())),
                Err(error) => {
                    return Ok(Err(io::Error::new(error.kind(), format!("want {awaited}: {error}"))));
                }
            };
            self.output.event(None, connection, &Event::Frame(answer.clone()))?;
            let Ok((header, _)) = FrameHeader::parse(&answer) else {
                return Ok(Err(io::Error::other("the agent sent a frame without a whole header")));
            };
            if header.frame_type == FrameType::ACK {
                peer.answers.insert(header.id, answer);
                if peer.answers.len() > MAX_ANSWERS {
                    peer.answers.pop_first();
                    self.alone += 1;
                }
            }
            if header.frame_type == awaited && (awaited != FrameType::ACK || header.id == id) {
                return Ok(Ok(()));
            }
            if header.frame_type == FrameType::AGENT_DISCONNECT {
                return Ok(Err(io::Error::other(format!("want {awaited}, got AGENT-DISCONNECT"))));
            }
        }
    }

    /// Holds the agent's answer against the file's, which comes behind the request.
    fn compare(&mut self, connection: u32, id: NotifyId, expected: &Bytes) -> io::Result<()> {
        let Some(Some(peer)) = self.peers.get_mut(&connection) else { return Ok(()) };
        match peer.answers.remove(&id) {
            Some(answer) if answer == *expected => self.same += 1,
            Some(_) => {
                self.other += 1;
                let expected = crate::text::describe(expected, self.output.full);
                self.note(connection, format!("the file has another answer: {expected}"))?;
            }
            // The request came before the capture began.
            None => {}
        }
        Ok(())
    }
}

impl Sink for Replay<'_> {
    fn take(&mut self, _: Option<Duration>, connection: u32, event: Event) -> io::Result<()> {
        match event {
            Event::Frame(frame) => self.frame(connection, frame),
            Event::Note(text) => self.note(connection, text),
            Event::End => {
                self.leave(connection);
                Ok(())
            }
        }
    }
}

impl Peer {
    fn connect(target: &str, timeout: Duration) -> io::Result<Self> {
        let failed =
            |error: io::Error| io::Error::new(error.kind(), format!("cannot connect to {target}: {error}"));
        let stream = Stream::connect(target, timeout).map_err(failed)?;
        stream.set_timeout(timeout)?;
        Ok(Self { stream, frames: Frames::default(), answers: BTreeMap::new() })
    }

    /// The agent's next frame.
    fn next(&mut self, deadline: Instant) -> io::Result<Bytes> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.frames.next() {
                Some(Event::Frame(frame)) => return Ok(frame),
                Some(Event::Note(text)) => return Err(io::Error::other(text)),
                Some(Event::End) | None => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, "nothing came in time"));
            }
            self.stream.set_timeout(left)?;
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, "the agent closed the connection"));
                }
                Ok(len) => self.frames.feed(&chunk[..len]),
                Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
