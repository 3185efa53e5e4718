//! Peers that are no HAProxy. The first four bytes of what they say are a length that no frame has: there is no reason
//! to wait for the rest, and none to keep it.

use spop::Status;

use crate::check::{Case, Probe};

const BASIS: &str = "SPOE.txt 3.2: too long";

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    let statuses = [Status::TOO_BIG, Status::INVALID, Status::UNKNOWN];
    let tls = b"\x16\x03\x01\x00\xf1\x01\x00\x00\xed\x03\x03";
    let cases = [
        ("http-request", &b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n"[..]),
        ("http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("tls-client-hello", tls),
        ("ssh-banner", b"SSH-2.0-OpenSSH_9.9\r\n"),
        ("proxy-header-v1", b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n"),
        ("proxy-header-v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x05\0\x06"),
        ("random-bytes", b"\x9a\x1f\x07\xe3\x55\x80\xc1\x22\x0d\xfe"),
        ("line-breaks", b"\r\n\r\n\r\n\r\n"),
    ];
    let case = |(name, bytes): (&str, &[u8])| {
        let bytes = bytes.to_vec();
        [
            Case::should(name, BASIS, p.connect().send(bytes.clone()).refuses(&statuses)),
            Case::should(format!("{name}-after-hello"), BASIS, p.connected().send(bytes).refuses(&statuses)),
        ]
    };
    cases.into_iter().flat_map(case).collect()
}
