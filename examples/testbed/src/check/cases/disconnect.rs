//! The end: SPOE.txt 3.2.8 and 3.2.9.

use spop::FrameType;

use super::INVALID;
use crate::check::wire::{FIN, frame};
use crate::check::{Case, Need, Probe};

const SPEC: &str = "SPOE.txt 3.2.9";

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    let raw = |flags, payload: &[u8]| frame(FrameType::HAPROXY_DISCONNECT, flags, (0, 0), payload);
    let in_flight = p.connected().need(Need::Pipelining).notify(1, 1).notify(3, 1);
    let in_flight = in_flight.may_be_acked(1, 1).may_be_acked(3, 1).disconnect(0).disconnects();
    vec![
        Case::must("normal", "SPOE.txt 3.2.9; HAProxy up to 3.0", p.connected().disconnect(0).disconnects()),
        Case::must("after-a-request", SPEC, p.connected().ask(1, 1).disconnect(0).disconnects()),
        Case::must(
            "idle-timeout",
            "SPOE.txt 3.2.9; HAProxy up to 3.0",
            p.connected().ask(1, 1).disconnect(2).disconnects(),
        ),
        Case::must("with-an-error", SPEC, p.connected().disconnect(4).disconnects()),
        Case::must("with-requests-in-flight", SPEC, in_flight),
        Case::should("with-an-unknown-status", "SPOE.txt 3.5", p.connected().disconnect(4242).disconnects()),
        Case::should("before-the-hello", SPEC, p.connect().disconnect(1).disconnects()),
        Case::should(
            "without-items",
            SPEC,
            p.connected().send(raw(FIN, b"")).refuses(&[INVALID, &[spop::Status::NORMAL]].concat()),
        ),
        Case::should(
            "cut-off",
            SPEC,
            p.connected().send(raw(FIN, b"\x0bstatus")).refuses(&[INVALID, &[spop::Status::NORMAL]].concat()),
        ),
    ]
}
