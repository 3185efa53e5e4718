//! One direction of a socket.

use std::collections::VecDeque;

use super::schedule::{Rng, Time};

/// Bytes on their way and in the receiver's socket: they arrive late, in order, in pieces.
#[derive(Default)]
pub(crate) struct Pipe {
    chunks: VecDeque<(Time, Vec<u8>)>,
    queued: usize,
    last_arrival: Time,
    /// When the end of the stream arrives.
    eof: Option<Time>,
}

impl Pipe {
    /// The end of what is sent in one go stays in one piece: no packet is smaller, unless it must be.
    const END: usize = 128;

    /// Sends `bytes`, in `pieces`, each of which takes `latency` at most.
    pub(crate) fn send(&mut self, bytes: &[u8], pieces: usize, latency: Time, now: Time, rng: &mut Rng) {
        self.queued += bytes.len();
        let piece = (bytes.len() / pieces).max(Self::END);
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = if rest.len() < piece + Self::END { rest.len() } else { piece };
            self.last_arrival = self.last_arrival.max(now + rng.range(0, latency));
            self.chunks.push_back((self.last_arrival, rest[..len].to_vec()));
            rest = &rest[len..];
        }
    }

    pub(crate) fn close(&mut self, now: Time) {
        self.eof.get_or_insert(now.max(self.last_arrival));
    }

    /// How many bytes are in it.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// When something is there to receive, the end included.
    pub(crate) fn readable_at(&self) -> Option<Time> {
        self.chunks.front().map(|&(at, _)| at).or(self.eof)
    }

    pub(crate) fn is_readable(&self, now: Time) -> bool {
        self.readable_at().is_some_and(|at| at <= now)
    }

    /// Whether the end is there, and nothing before it.
    pub(crate) fn is_eof(&self, now: Time) -> bool {
        self.chunks.is_empty() && self.eof.is_some_and(|at| at <= now)
    }

    /// Hands what has arrived to `take`, `max` bytes at most; returns how much that is.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(&[u8]), max: usize, now: Time) -> usize {
        let mut received = 0;
        while received < max
            && let Some((at, bytes)) = self.chunks.front_mut()
            && *at <= now
        {
            let len = bytes.len().min(max - received);
            take(&bytes[..len]);
            received += len;
            bytes.drain(..len);
            if bytes.is_empty() {
                self.chunks.pop_front();
            }
        }
        self.queued -= received;
        received
    }
}
