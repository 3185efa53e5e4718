//! Any bytes as one frame: what parses can be read to its end, and comes out as it went in.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use spop::{Disconnect, Frame, LENGTH_PREFIX};
use spop_fuzz::{show, walk};

fuzz_target!(|data: &[u8]| {
    let frame = match Frame::parse(data) {
        Ok(frame) => frame,
        Err(error) => {
            assert!(error.offset() <= data.len(), "{error}: past the end");
            return show(format_args!("{error} {error:?} {}", error.status()));
        }
    };
    walk(&frame);
    let mut written = BytesMut::new();
    if frame.encode(&mut written).is_err() {
        assert!(matches!(frame, Frame::HaproxyHello(_)), "longer than its own max-frame-size");
        return assert!(written.is_empty(), "nothing of a frame that failed");
    }
    assert_eq!(written[..LENGTH_PREFIX], ((written.len() - LENGTH_PREFIX) as u32).to_be_bytes());
    let again = Frame::parse(&written[LENGTH_PREFIX..]).expect("what was written can be read");
    assert_same(&frame, &again, data, &written[LENGTH_PREFIX..]);
    let mut rewritten = BytesMut::new();
    again.encode(&mut rewritten).expect("what was read can be written");
    assert_eq!(rewritten, written);
});

fn assert_same(frame: &Frame<&[u8]>, again: &Frame<&[u8]>, read: &[u8], written: &[u8]) {
    match (frame, again) {
        (Frame::HaproxyHello(hello), Frame::HaproxyHello(again)) => assert_eq!(hello, again),
        (Frame::AgentHello(hello), Frame::AgentHello(again)) => assert_eq!(hello, again),
        (Frame::HaproxyDisconnect(frame), Frame::HaproxyDisconnect(again))
        | (Frame::AgentDisconnect(frame), Frame::AgentDisconnect(again)) => {
            // What HAProxy cannot stand is not written as it was.
            let message = frame.message[..frame.message.len().min(255)].to_vec();
            assert_eq!(&Disconnect { status: frame.status.sendable(), message }, again);
        }
        _ => {
            assert_eq!(frame.frame_type(), again.frame_type());
            // The type; FIN and ABORT without the reserved flags; ids and payload.
            assert_eq!(written[0], read[0]);
            assert_eq!(written[1..5], [0, 0, 0, read[4] & 3]);
            assert_eq!(written[5..], read[5..]);
        }
    }
}
