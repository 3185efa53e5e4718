//! A stream may be cut anywhere, and may end anywhere.

use crate::check::wire::Id;
use crate::check::{Case, Hello, Need, Probe};

const TCP: &str = "TCP is a stream";

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    let hello = Hello::from_3_1();
    let hello_byte_by_byte = p.connect().send_byte_by_byte(hello.frame()).hello_comes(&hello).ask(1, 1);
    let ids: Vec<Id> = (0..20).map(|n| (2 * n + 1, 1)).collect();
    let burst: Vec<u8> = ids.iter().flat_map(|id| p.notify(id.0, id.1)).collect();
    let cut_at = |at: usize| {
        let (first, rest) = burst.split_at(at);
        p.connected().need(Need::Pipelining).send(first).send(rest).acks(&ids)
    };
    let notify = p.notify(1, 1);
    let in_two = |at: usize| {
        let (first, rest) = notify.split_at(at);
        p.connected().send(first).send(rest).acks(&[(1, 1)]).ask(3, 1)
    };
    let cut_off = p.connected().send(&notify[..notify.len() - 1]).half_close().closes();
    vec![
        Case::must("hello-byte-by-byte", TCP, hello_byte_by_byte),
        Case::must(
            "notify-byte-by-byte",
            TCP,
            p.connected().send_byte_by_byte(notify.clone()).acks(&[(1, 1)]),
        ),
        Case::must("cut-within-the-length", TCP, in_two(2)),
        Case::must("cut-behind-the-length", TCP, in_two(4)),
        Case::must("cut-within-the-header", TCP, in_two(9)),
        Case::must("cut-before-the-last-byte", TCP, in_two(notify.len() - 1)),
        Case::must("20-frames-cut-in-the-middle", TCP, cut_at(burst.len() / 2)),
        Case::must(
            "end-before-hello",
            "HAProxy, check without option spop-check",
            p.connect().half_close().closes(),
        ),
        Case::must("end-after-hello", "HAProxy from 3.1", p.connected().half_close().closes()),
        Case::must("end-after-the-ack", "HAProxy from 3.1", p.connected().ask(1, 1).half_close().closes()),
        Case::must("reset-after-hello", "HAProxy from 3.1", p.connected().reset()),
        Case::must("reset-with-a-request-in-flight", "HAProxy from 3.1", p.connected().notify(1, 1).reset()),
        Case::should("end-within-the-length", TCP, p.connected().send(&notify[..2]).half_close().closes()),
        Case::should("end-within-a-notify", TCP, cut_off),
        Case::should(
            "end-behind-a-notify",
            TCP,
            p.connected().notify(1, 1).half_close().acks(&[(1, 1)]).closes(),
        ),
        Case::should(
            "end-within-the-hello",
            TCP,
            p.connect().send(&hello.frame()[..20]).half_close().closes(),
        ),
    ]
}
