//! `option spop-check`, and checks that only connect.

use crate::check::{Case, Hello, Probe};

const SPEC: &str = "SPOE.txt 3.2.5";

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    let check = Hello::health_check();
    let passes = |hello: &Hello| p.connect().send(hello.frame()).check_passes(hello);
    let byte_by_byte = p.connect().send_byte_by_byte(check.frame()).check_passes(&check);
    // HAProxy's way: a reset, as soon as the answer is there.
    let mut resets = p.connect();
    for _ in 0..50 {
        resets = resets.hello(&check).reset();
    }
    let mut connects = p.connect();
    for _ in 0..50 {
        connects = connects.send("").reset();
    }
    vec![
        Case::must("one-agent-hello-and-close", "SPOE.txt 3.2.5; HAProxy from 3.1, P6", passes(&check)),
        Case::must("max-frame-size-8188", SPEC, passes(&check.clone().offering(8188))),
        Case::must("max-frame-size-256", SPEC, passes(&check.clone().offering(256))),
        Case::should("byte-by-byte", SPEC, byte_by_byte),
        Case::must("50-that-end-with-a-reset", "HAProxy", resets),
        Case::must("50-that-only-connect", "HAProxy, check without option spop-check", connects),
    ]
}
