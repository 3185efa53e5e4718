//! The end: SPOE.txt 3.2.8 and 3.2.9.

use spop::FrameType;

use super::INVALID;
use crate::check::wire::{FIN, frame};
use crate::check::{Case, Need, Probe};

const SPEC: &str = "SPOE.txt 3.2.9";

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    let raw = |flags, payload: &[u8]| frame(FrameType::HAPROXY_DISCONNECT, flags, (0, 0), payload);
    let at_work = p.connected().need(Need::Pipelining).notify(1, 1).notify(3, 1);
    let at_work = at_work.may_be_acked(1, 1).may_be_acked(3, 1).disconnect(0).goodbye();
    vec![
        Case::must("normal", "SPOE.txt 3.2.9; HAProxy up to 3.0", p.connected().disconnect(0).goodbye()),
        Case::must("after-a-request", SPEC, p.connected().ask(1, 1).disconnect(0).goodbye()),
        Case::must(
            "idle-timeout",
            "SPOE.txt 3.2.9; HAProxy up to 3.0",
            p.connected().ask(1, 1).disconnect(2).goodbye(),
        ),
        Case::must("with-an-error", SPEC, p.connected().disconnect(4).goodbye()),
        Case::must("with-requests-at-work", SPEC, at_work),
        Case::should("with-an-unknown-status", "SPOE.txt 3.5", p.connected().disconnect(4242).goodbye()),
        Case::should("before-the-hello", SPEC, p.connect().disconnect(1).goodbye()),
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
