//! `Frame::parse` and all that can be read out of a frame.

use spop::LENGTH_PREFIX;

use super::{flips, truncations};
use crate::corpus::Captured;
use crate::walk;

#[test]
fn frames_cut_at_every_byte() {
    let count = truncations(|_| true, |_, wire| _ = walk::frame(&wire[LENGTH_PREFIX..]));
    assert_eq!(count, 74_235);
}

#[test]
fn frames_with_every_bit_flipped() {
    let count = flips(|_| true, |_, wire| _ = walk::frame(&wire[LENGTH_PREFIX..]));
    assert_eq!(count, 608_216);
}

/// How many messages or actions there are in a frame that is taken.
fn entries(captured: &Captured) -> Option<usize> {
    let entries = captured.messages().map(<[_]>::len).or(captured.actions().map(<[_]>::len));
    entries.filter(|_| captured.refused.is_none())
}

#[test]
fn a_notify_or_ack_cut_within_a_message_or_action_is_an_error() {
    let (mut taken, mut between) = (0, 0);
    truncations(
        |captured| entries(captured).is_some(),
        |captured, wire| {
            let frame = &wire[LENGTH_PREFIX..];
            taken += usize::from(walk::frame(frame));
            // One cut is before the first entry, one before the second, and so on.
            between += if frame.is_empty() { entries(captured).unwrap_or_default() } else { 0 };
        },
    );
    assert_eq!(taken, between);
    assert_eq!(taken, 185);
}
