//! Frames that are cut right and wrong inside. One bad request must not take the others of its connection with it.

use spop::{FrameType, Status};

use super::INVALID;
use crate::check::wire::{FIN, Id, frame, message, notify, number, prefixed, text};
use crate::check::{Case, Probe};

const SPEC: &str = "SPOE.txt 3.2.6";
const ID: Id = (1, 1);

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    [payloads(p), headers(p), types(p)].concat()
}

/// The ids can be read, the messages cannot.
fn payloads(p: &Probe) -> Vec<Case> {
    let case = |name: &str, payload: &[u8]| {
        let script = p.connected().send(notify(ID, payload)).survives(ID, INVALID);
        Case::must(name, "SPOE.txt 3.2.6, 3.2.9", script)
    };
    let value = |value: &[u8]| [p.head(1), text(b"x"), value.to_vec()].concat();
    let overflow = [0xff; 40];
    let mut cases = vec![
        case("name-past-the-end", &[&[200][..], b"short"].concat()),
        case("no-nb-args", &text(b"name")),
        case("more-nb-args-than-arguments", &p.head(9)),
        case("fewer-nb-args-than-arguments", &[p.head(0), text(b"x"), vec![0x11]].concat()),
        case("argument-without-value", &[p.head(1), text(b"x")].concat()),
        case("string-past-the-end", &value(&[8, 100, b'a'])),
        case("string-of-2-to-the-62", &value(&[&[8][..], &number(1 << 62)].concat())),
        case("string-of-2-to-the-64-minus-1", &value(&[&[8][..], &number(u64::MAX)].concat())),
        case("varint-of-40-bytes", &value(&[&[4][..], &overflow].concat())),
        case("varint-of-11-bytes", &value(&[&[4][..], &[0xff; 10], &[0]].concat())),
        case("varint-cut-off", &value(&[4, 0xff, 0x80])),
        case("name-length-of-40-bytes", &overflow),
        case("ipv4-of-2-bytes", &value(&[6, 127, 0])),
        case("ipv6-of-15-bytes", &value(&[&[7][..], &[0; 15]].concat())),
    ];
    for data_type in 10..=15 {
        cases.push(case(&format!("type-{data_type}"), &value(&[data_type, 0, 0])));
    }
    for seed in 1..=5 {
        cases.push(case(&format!("random-payload-{seed}"), &random(seed, 100)));
    }
    cases
}

/// What comes before the messages is wrong, so there is nobody to answer.
fn headers(p: &Probe) -> Vec<Case> {
    let refused = |body: &[u8]| p.connected().send(prefixed(body)).refuses(INVALID);
    let start = [3, 0, 0, 0, 1];
    let endless_id = [&start[..], &[0xff; 12]].concat();
    let second_id = [&start[..], &[1], &[0xff; 12]].concat();
    let in_id = [&start[..], &[0xff, 0x80]].concat();
    let flags = |flags: u32| p.connected().send(frame(FrameType::NOTIFY, flags, ID, &p.message_with(&[])));
    vec![
        Case::should("stream-id-of-12-bytes", "SPOE.txt 3.2.9", refused(&endless_id)),
        Case::should("frame-id-of-12-bytes", "SPOE.txt 3.2.9", refused(&second_id)),
        Case::should("end-within-an-id", "SPOE.txt 3.2.9", refused(&in_id)),
        Case::should("reserved-flags", "SPOE.txt 3.2", flags(0xffff_fffd).survives(ID, INVALID)),
        Case::should("abort-flag", "SPOE.txt 3.2", flags(3).may_be_acked(1, 1).ignores(INVALID)),
    ]
}

/// "Unknown frames may be silently skipped."
fn types(p: &Probe) -> Vec<Case> {
    let basis = "SPOE.txt 3.2.2";
    let sent = |frame_type: u8, id, payload: &[u8]| {
        let frame = frame(FrameType(frame_type), FIN, id, payload);
        p.connected().send(frame).ignores(&[Status::INVALID, Status::UNKNOWN, Status::NORMAL])
    };
    let payload = message(b"m", &[]);
    vec![
        Case::should("frame-type-4", basis, sent(4, ID, &payload)),
        Case::should("frame-type-77", basis, sent(77, (0, 0), b"")),
        Case::should("frame-type-255", basis, sent(255, ID, &random(9, 200))),
        Case::should("ack-from-haproxy", SPEC, sent(103, ID, b"")),
        Case::should("agent-hello-from-haproxy", SPEC, sent(101, (0, 0), b"")),
        Case::should("agent-disconnect-from-haproxy", SPEC, sent(102, (0, 0), b"")),
    ]
}

/// The same bytes every time.
fn random(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}
