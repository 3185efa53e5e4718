//! NOTIFYs in fragments, which HAProxy up to 3.0 sends to agents that announce `fragmentation`: SPOE.txt 3.2.

use spop::{FrameType, Status};

use crate::check::wire::{FIN, Id, frame, value};
use crate::check::{Case, Hello, Need, Probe, Script};

const SPEC: &str = "SPOE.txt 3.2; HAProxy up to 3.0";
const ABORT: u32 = 2;

fn first(id: Id, payload: &[u8]) -> Vec<u8> {
    frame(FrameType::NOTIFY, 0, id, payload)
}

fn next(flags: u32, id: Id, payload: &[u8]) -> Vec<u8> {
    frame(FrameType::UNSET, flags, id, payload)
}

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    [taken(p), odd(p)].concat()
}

fn fragmented(p: &Probe) -> Script {
    p.connect().hello(&Hello::up_to_3_0()).need(Need::Fragmentation)
}

/// What HAProxy does.
fn taken(p: &Probe) -> Vec<Case> {
    let id = (1, 1);
    let message = p.message_with(&[("body", value::binary([b'x'; 1_000]))]);
    let (a, b) = message.split_at(message.len() / 2);
    let two = fragmented(p).send(first(id, a)).send(next(FIN, id, b)).acks(&[id]).ask(2, 1);
    let byte_by_byte = fragmented(p).send_byte_by_byte([first(id, a), next(FIN, id, b)].concat()).acks(&[id]);
    let parts: Vec<_> = message.chunks(7).collect();
    let (start, end) = (parts[0], parts[parts.len() - 1]);
    let middle = parts[1..parts.len() - 1].iter().flat_map(|part| next(0, id, part));
    let many: Vec<_> = first(id, start).into_iter().chain(middle).chain(next(FIN, id, end)).collect();
    let empty_end = fragmented(p).send(first(id, &message)).send(next(FIN, id, b"")).acks(&[id]).ask(2, 1);
    let given_up = fragmented(p).send(first(id, a)).send(next(FIN | ABORT, id, b"")).ask(2, 1);
    let during = fragmented(p).need(Need::Pipelining).notify(9, 1).send(first(id, a)).acks(&[(9, 1)]);
    let during = during.send(next(FIN, id, b)).acks(&[id]);
    vec![
        Case::must("two", SPEC, two),
        Case::must("two-byte-by-byte", SPEC, byte_by_byte),
        Case::must("150-of-7-bytes", SPEC, fragmented(p).send(many).acks(&[id]).ask(2, 1)),
        Case::must("the-last-one-empty", SPEC, empty_end),
        Case::must("given-up-by-haproxy", SPEC, given_up),
        Case::must("answers-leave-meanwhile", SPEC, during),
    ]
}

/// What HAProxy does not, or not to this agent.
fn odd(p: &Probe) -> Vec<Case> {
    let id = (1, 1);
    let message = p.message_with(&[]);
    let (a, b) = message.split_at(message.len() / 2);
    let interlaced = [Status::INTERLACED_FRAMES, Status::INVALID];
    let invalid = [Status::INVALID, Status::INTERLACED_FRAMES, Status::FRAGMENTATION_NOT_SUPPORTED];
    // 1 MiB in frames of 16 kB: what is kept of it must be bounded, what is answered is up to the agent.
    let part = [b'x'; 16_000];
    let huge: Vec<_> = (0..64).flat_map(|_| next(0, id, &part)).collect();
    let huge = fragmented(p).send(first(id, a)).send(huge).send(next(FIN, id, b"")).may_be_acked(1, 1);
    let too_big = [Status::TOO_BIG, Status::RESOURCE, Status::INVALID];
    let not_taken = p.connect().hello(&Hello::up_to_3_0()).need(Need::NoFragmentation).send(first(id, a));
    let stray = p.connected().send(next(FIN, id, b)).may_be_acked(1, 1);
    vec![
        Case::should("one-mebibyte", SPEC, huge.acks_or_refuses(id, &too_big)),
        Case::should(
            "of-two-requests-mixed",
            SPEC,
            fragmented(p).send(first(id, a)).send(next(FIN, (2, 1), b)).refuses(&interlaced),
        ),
        Case::should(
            "a-notify-in-between",
            SPEC,
            fragmented(p).send(first(id, a)).notify(2, 1).refuses(&interlaced),
        ),
        Case::should("without-a-first-one", SPEC, stray.notify(2, 1).acks_or_refuses((2, 1), &invalid)),
        Case::should(
            "not-announced",
            "SPOE.txt 3.2",
            not_taken.refuses(&[Status::FRAGMENTATION_NOT_SUPPORTED, Status::INVALID]),
        ),
    ]
}
