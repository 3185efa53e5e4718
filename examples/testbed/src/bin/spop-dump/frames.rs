//! One direction of a connection: bytes in, frames out.

use bytes::{Bytes, BytesMut};
use spop::FrameDecoder;

/// The longest frame that is believed. HAProxy's are below `tune.bufsize`, by default 16 KiB.
pub(crate) const MAX_FRAME: u32 = 256 * 1024;

/// Something to tell of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A frame, from its type byte to its end.
    Frame(Bytes),
    /// What is wrong with the bytes.
    Note(String),
    /// No more bytes come from either side.
    End,
}

/// What was read of one direction and is no complete frame yet.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    input: BytesMut,
    /// No frame can be found any more.
    lost: bool,
}

impl Frames {
    /// Adds bytes; [`next`](Self::next) must have returned `None` before.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if !self.lost {
            self.input.extend_from_slice(bytes);
        }
    }

    pub(crate) fn next(&mut self) -> Option<Event> {
        match FrameDecoder::new(MAX_FRAME).decode(&mut self.input) {
            Ok(frame) => frame.map(Event::Frame),
            Err(error) => {
                let start = self.input[..self.input.len().min(16)].escape_ascii();
                Some(self.lose(&format!("no SPOP at \"{start}\": {error}")))
            }
        }
    }

    /// Gives up on the rest of this direction.
    pub(crate) fn lose(&mut self, why: &str) -> Event {
        self.lost = true;
        self.input = BytesMut::new();
        Event::Note(format!("{why}; the rest of this direction is left out"))
    }

    /// What is to be said at the end.
    pub(crate) fn finish(&mut self) -> Option<Event> {
        let rest = std::mem::take(&mut self.input).len();
        (rest > 0).then(|| Event::Note(format!("ends after {rest} bytes of an incomplete frame")))
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }

    /// The bytes that are kept.
    pub(crate) fn len(&self) -> usize {
        self.input.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = b"\x03\0\0\0\x01\x01\x01";

    #[test]
    fn frames_come_whole_and_a_cut_one_is_told_of() {
        let mut frames = Frames::default();
        for byte in [b"\0\0\0\x07", FRAME, b"\0\0"].concat() {
            frames.feed(&[byte]);
            if let Some(event) = frames.next() {
                assert_eq!(event, Event::Frame(Bytes::from_static(FRAME)));
            }
        }
        assert_eq!(frames.finish(), Some(Event::Note("ends after 2 bytes of an incomplete frame".into())));
    }

    #[test]
    fn what_is_no_spop_is_told_of_once() {
        let mut frames = Frames::default();
        frames.feed(b"GET / HTTP/1.1\r\n");
        let Some(Event::Note(text)) = frames.next() else { panic!("no note") };
        assert!(text.contains("GET / HTTP"), "{text}");
        frames.feed(b"Host: x\r\n\r\n");
        assert_eq!((frames.next(), frames.finish(), frames.len()), (None, None, 0));
    }
}
