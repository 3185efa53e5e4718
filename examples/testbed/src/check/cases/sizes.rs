//! How long frames may be: SPOE.txt 3.2.

use spop::Status;

use super::INVALID;
use crate::check::wire::{message, notify, value};
use crate::check::{Case, Hello, Probe};

const SPEC: &str = "SPOE.txt 3.2";
const TOO_BIG: &[Status] = &[Status::TOO_BIG];

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    let at = |offered: u32| p.connect().hello(&Hello::from_3_1().offering(offered));
    let longest = |offered: u32| at(offered).notify_of_max_frame_size(1, 1, 0).acks(&[(1, 1)]).ask(3, 1);
    let longer = |more: u32| at(16_380).notify_of_max_frame_size(1, 1, more).acks_or_refuses((1, 1), TOO_BIG);
    let too_long = |length: u32| p.connected().send(length.to_be_bytes()).refuses(TOO_BIG);
    // HAProxy 3.1 takes no notice of what was agreed on; an agent whose limit is higher can answer.
    let early_3_1 = notify((1, 1), &message(b"m", &[("x", value::binary([b'x'; 600]))]));
    let early_3_1 = at(256).send(early_3_1).acks_or_refuses((1, 1), TOO_BIG);
    let mut cases = vec![
        Case::must("exactly-256-of-256", SPEC, longest(256)),
        Case::must("exactly-16380-of-16380", SPEC, longest(16_380)),
        Case::must("whatever-was-agreed-on", SPEC, longest(65_532)),
        Case::must("answers-fit-into-256", "SPOE.txt 3.2.5", fits(p, 256)),
        Case::must("longer-than-256-agreed-on", "HAProxy 3.1, P14", early_3_1),
        Case::should("a-byte-longer-than-agreed-on", SPEC, longer(1)),
        Case::should("3620-bytes-longer-than-agreed-on", SPEC, longer(3_620)),
        Case::should("880000-bytes-longer-than-agreed-on", SPEC, longer(880_000)),
        Case::should("length-0x7fffffff", SPEC, too_long(0x7fff_ffff)),
        Case::should("length-0xffffffff", SPEC, too_long(u32::MAX)),
    ];
    for length in 0..7u32 {
        // Too short for type, flags and ids.
        let with_rest = [&length.to_be_bytes()[..], &vec![3; length as usize], &p.notify(1, 1)].concat();
        let script = p.connected().send(with_rest).may_be_acked(1, 1).refuses(INVALID);
        cases.push(Case::should(
            format!("length-{length}"),
            "SPOE.txt 3.2; HAProxy refuses it with 4",
            script,
        ));
    }
    cases
}

/// Every ACK is held against what was agreed on; here are some to many messages in one frame.
fn fits(p: &Probe, offered: u32) -> crate::check::Script {
    let mut payload = p.message_with(&[]);
    while payload.len() + p.message_with(&[]).len() + 7 <= offered as usize {
        payload.extend(p.message_with(&[]));
    }
    let connected = p.connect().hello(&Hello::from_3_1().offering(offered));
    connected.send(notify((1, 1), &payload)).acks(&[(1, 1)]).ask(3, 1)
}
