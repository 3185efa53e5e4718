//! Several NOTIFYs at a time: SPOE.txt 3.2.1, `pipelining`.

use crate::check::wire::Id;
use crate::check::{Case, Hello, Need, Probe};

const SPEC: &str = "SPOE.txt 3.2.1";

/// What HAProxy lets wait on one connection.
const WINDOW: u64 = 20;

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    let ids: Vec<Id> = (0..WINDOW).map(|n| (2 * n + 1, 1)).collect();
    let burst = ids.iter().flat_map(|id| p.notify(id.0, id.1)).collect::<Vec<_>>();
    let pipelined = || p.connected().need(Need::Pipelining);
    let up_to_3_0 = p.connect().hello(&Hello::up_to_3_0()).need(Need::Pipelining);
    let one_by_one = ids.iter().fold(pipelined(), |script, id| script.notify(id.0, id.1));
    let again = (0..10).fold(pipelined(), |script, _| script.send(burst.clone()).acks(&ids));
    let with_odd_ones = {
        let unknown =
            crate::check::wire::notify((99, 1), &crate::check::wire::message(b"nobody-knows-me", &[]));
        pipelined().send([burst.clone(), unknown].concat()).acks(&[&ids[..], &[(99, 1)]].concat())
    };
    vec![
        Case::must("20-in-flight-in-one-write", SPEC, pipelined().send(burst.clone()).acks(&ids)),
        Case::must("20-in-flight-in-20-writes", SPEC, one_by_one.acks(&ids)),
        Case::must("20-in-flight-ten-times", SPEC, again),
        Case::must("20-in-flight-haproxy-up-to-3.0", SPEC, up_to_3_0.send(burst).acks(&ids)),
        Case::must("one-of-another-message", "SPOE.txt 3.2.6", with_odd_ones),
        Case::must(
            "20-one-after-another",
            "SPOE.txt 3.2.6",
            ids.iter().fold(p.connected(), |s, id| s.ask(id.0, id.1)),
        ),
    ]
}
