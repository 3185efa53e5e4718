//! Every captured frame cut at every byte, and with every bit flipped: nothing panics, nothing goes on for ever.

mod agent;
mod frames;
mod haproxy;

use std::fmt;
use std::thread;

use bytes::BytesMut;
use spop::{Frame, FrameDecoder, LENGTH_PREFIX, ProtocolError};

use crate::corpus::{Captured, distinct_frames};

/// What was done to a frame; told if the test panics while it exists.
pub(crate) struct Doing<'a, T: fmt::Display>(&'a str, T);

impl<T: fmt::Display> Drop for Doing<'_, T> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("while sweeping {}, {}", self.0, self.1);
        }
    }
}

/// Calls `take` with every truncation of every distinct frame that `wanted` picks: the bytes on the wire, with a length
/// prefix that fits what is left. Returns how many there were.
fn truncations(wanted: impl Fn(&Captured) -> bool, mut take: impl FnMut(&Captured, &[u8])) -> usize {
    let mut count = 0;
    for captured in distinct_frames().filter(|captured| wanted(captured)) {
        let mut wire = captured.wire.clone();
        for len in 0..captured.frame().len() {
            let _doing = Doing(&captured.at, format_args!("cut to {len} bytes"));
            wire[..LENGTH_PREFIX].copy_from_slice(&(len as u32).to_be_bytes());
            take(captured, &wire[..LENGTH_PREFIX + len]);
            count += 1;
        }
    }
    count
}

/// Calls `take` with every flip of one bit, that of the length prefix included, of every distinct frame that `wanted`
/// picks. Returns how many there were.
fn flips(wanted: impl Fn(&Captured) -> bool, mut take: impl FnMut(&Captured, &[u8])) -> usize {
    let mut count = 0;
    for captured in distinct_frames().filter(|captured| wanted(captured)) {
        let mut wire = captured.wire.clone();
        for (at, bit) in (0..wire.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let _doing = Doing(&captured.at, format_args!("bit {bit} of byte {at} flipped"));
            wire[at] ^= 1 << bit;
            take(captured, &wire);
            wire[at] ^= 1 << bit;
            count += 1;
        }
    }
    count
}

/// What a connection wrote must be whole frames, each in one part, from the right side; and after an error of the
/// peer's, the last one must be a DISCONNECT with its status.
fn assert_good_frames(out: &mut BytesMut, from_haproxy: bool, error: Option<ProtocolError>) {
    let decoder = FrameDecoder::new(16_380);
    let mut status = None;
    while let Some(frame) = decoder.decode(out).expect("a length that can be") {
        assert_eq!(frame[4] & 1, 1, "FIN");
        let frame = Frame::parse(frame).expect("a valid frame");
        assert_eq!(frame.frame_type().0 < 100, from_haproxy, "a {} frame", frame.frame_type());
        status = match frame {
            Frame::HaproxyDisconnect(disconnect) | Frame::AgentDisconnect(disconnect) => {
                Some(disconnect.status)
            }
            _ => None,
        };
    }
    assert!(out.is_empty(), "a frame that is not whole");
    if let Some(error) = error {
        assert_eq!(status, Some(error.status()), "{error}");
    }
}
