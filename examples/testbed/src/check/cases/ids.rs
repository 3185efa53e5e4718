//! STREAM-ID and FRAME-ID are HAProxy's, and come back as they were: SPOE.txt 3.2.6 and 3.2.7.

use crate::check::{Case, Need, Probe};

const SPEC: &str = "SPOE.txt 3.2.7";

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    let asked = |stream_id, frame_id| p.connected().ask(stream_id, frame_id);
    let max = u32::MAX.into();
    vec![
        Case::must("from-1-on", "HAProxy from 3.1", asked(1, 1).ask(3, 1).ask(5, 1).ask(7, 1)),
        Case::must("stream-id-0", "HAProxy up to 3.0", asked(0, 1)),
        Case::must("even-ids", "HAProxy up to 3.0", asked(2, 1).ask(4, 2)),
        Case::must("two-frames-of-a-stream", "HAProxy up to 3.0", asked(9, 1).ask(9, 2).ask(9, 3)),
        Case::must("of-32-bits", "HAProxy up to 3.0", asked(max, 1).ask(1, max).ask(max, max)),
        Case::should("of-62-bits", SPEC, asked(1 << 62, 1).ask(1, 1 << 62)),
        Case::should("of-64-bits", SPEC, asked(u64::MAX, 1).ask(1, u64::MAX)),
        Case::must("used-again-after-the-ack", SPEC, asked(1, 1).ask(1, 1).ask(1, 1)),
        Case::must("frame-id-used-again-unanswered", "HAProxy up to 3.0, P8", superseded(p)),
        Case::must("the-same-on-two-connections", "HAProxy from 3.1, P3", on_two_connections(p)),
    ]
}

/// HAProxy that did not wait for the answer uses the ids again.
fn superseded(p: &Probe) -> crate::check::Script {
    let twice = [p.notify(1, 1), p.notify(1, 1)].concat();
    p.connected().need(Need::Pipelining).send(twice).acks(&[(1, 1)]).may_be_acked(1, 1).ask(1, 2)
}

fn on_two_connections(p: &Probe) -> crate::check::Script {
    let both = p.connected().on(1).hello(&crate::check::Hello::from_3_1());
    both.on(0).notify(1, 1).on(1).notify(1, 1).acks(&[(1, 1)]).on(0).acks(&[(1, 1)])
}
