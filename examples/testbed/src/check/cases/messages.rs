//! What HAProxy puts into a NOTIFY: SPOE.txt 3.2.6. Whatever it is, "NOTIFY frames must be acknowledged".

use spop::Status;

use super::INVALID;
use crate::check::wire::{message, notify, value};
use crate::check::{Case, Probe};

const SPEC: &str = "SPOE.txt 3.2.6";

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    let acked = |payload: &[u8]| p.connected().send(notify((1, 1), payload)).acks(&[(1, 1)]).ask(3, 1);
    let must = |name: &str, basis, payload: &[u8]| Case::must(name, basis, acked(payload));
    let mine = p.message_with(&[]);
    let many = |count: usize| p.with_only(&vec![("a", value::int64(1)); count]);
    let mut cases = vec![
        must("none", "HAProxy 3.1 and 3.2, P15", b""),
        must("two", SPEC, &[mine.clone(), mine.clone()].concat()),
        must("two-of-different-names", SPEC, &[message(b"nobody-knows-me", &[]), mine].concat()),
        must("unknown-name", SPEC, &message(b"nobody-knows-me", &[("a", value::int64(1))])),
        must("no-arguments", SPEC, &p.with_only(&[])),
        must("unnamed-arguments", SPEC, &p.with_only(&[("", value::string("a")), ("", value::string("b"))])),
        must("an-argument-twice", SPEC, &p.message_with(&[("x", value::int64(1)), ("x", value::int64(2))])),
        must("255-arguments", SPEC, &many(255)),
        Case::should("name-is-not-utf-8", SPEC, acked(&message(b"m\xff\xfe", &[]))),
        Case::should("name-is-empty", SPEC, acked(&message(b"", &[]))),
    ];
    // NB-ARGS wraps: 258 arguments follow, and 2 are announced.
    let wrapped = p.connected().send(notify((1, 1), &many(258)));
    cases.push(Case::must("258-arguments-wrap", "HAProxy, P5", wrapped.survives((1, 1), INVALID)));
    cases.extend(values(p));
    cases
}

/// One case for each value that HAProxy sends, as every argument that the message has.
fn values(p: &Probe) -> Vec<Case> {
    let acked = |value: Vec<u8>| {
        let named = p.message_with(&[("value", value.clone())]);
        let only = p.with_only(&[("ip", value.clone()), ("", value)]);
        let script = p.connected().send(notify((1, 1), &named)).acks(&[(1, 1)]);
        script.send(notify((3, 1), &only)).acks(&[(3, 1)]).ask(5, 1)
    };
    let sent = [
        ("null", value::null()),
        ("true", value::boolean(true)),
        ("false", value::boolean(false)),
        ("int64", value::int64(1 << 40)),
        ("int64-negative", value::int64(-5)),
        ("ipv4", value::ip([192, 0, 2, 1].into())),
        ("ipv6", value::ip([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into())),
        ("string", value::string("text")),
        ("string-empty", value::string("")),
        ("string-not-utf-8", value::string(b"\xff\xfe\x80")),
        ("string-control-bytes", value::string(b"\0\x01\x7f\r\n")),
        ("string-5000-bytes", value::string([b'x'; 5_000])),
        ("binary", value::binary(b"\0\xff\x01")),
        ("binary-empty", value::binary("")),
    ];
    let odd = [
        ("int32", value::integer(2, -1)),
        ("uint32", value::integer(3, u32::MAX.into())),
        ("uint64", value::integer(5, -1)),
        ("int32-of-40-bits", value::integer(2, 1 << 40)),
        ("string-with-flags", [vec![0xf8], value::string("text").split_off(1)].concat()),
        ("null-with-flags", vec![0xf0]),
    ];
    let sent =
        sent.map(|(name, value)| Case::must(format!("value-{name}"), "HAProxy; SPOE.txt 3.1", acked(value)));
    let odd = odd.map(|(name, value)| Case::should(format!("value-{name}"), "SPOE.txt 3.1", acked(value)));
    let too_long = p.connected().send(notify((1, 1), &p.message_with(&[("x", vec![4; 1 + 8])])));
    let too_long = too_long.acks_or_refuses((1, 1), &[Status::INVALID, Status::UNKNOWN]);
    [sent.to_vec(), odd.to_vec(), vec![Case::should("trailing-bytes", SPEC, too_long)]].concat()
}
