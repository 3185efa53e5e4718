//! The HELLOs: SPOE.txt 3.2.4 and 3.2.5.

use spop::{FrameType, Status};

use super::INVALID;
use crate::check::wire::{FIN, frame, value};
use crate::check::{Case, Hello, Probe};

const SPEC: &str = "SPOE.txt 3.2.4";

pub(super) fn cases(p: &Probe) -> Vec<Case> {
    [accepted(p), negotiated(p), refused(p), odd(p), order(p)].concat()
}

/// HELLOs that lead to a connection.
fn accepted(p: &Probe) -> Vec<Case> {
    let works = |hello: &Hello| p.connect().hello(hello).ask(1, 1);
    let plain = Hello::from_3_1;
    let must = |name: &str, basis, hello: &Hello| Case::must(name, basis, works(hello));
    vec![
        must("haproxy-up-to-3.0", "HAProxy", &Hello::up_to_3_0()),
        must("haproxy-from-3.1", "HAProxy", &plain()),
        must(
            "no-pipelining",
            "HAProxy, no option pipelining",
            &plain().with("capabilities", value::string("")),
        ),
        must("version-with-spaces", SPEC, &plain().with("supported-versions", value::string(" 2.0 "))),
        must(
            "version-among-others",
            SPEC,
            &plain().with("supported-versions", value::string("3.0, 2.0,1.5")),
        ),
        must(
            "unknown-capability",
            "SPOE.txt 3.2.1",
            &plain().with("capabilities", value::string("shiny,pipelining")),
        ),
        must(
            "capabilities-with-spaces",
            SPEC,
            &plain().with("capabilities", value::string(" pipelining , async ")),
        ),
        must("no-engine-id", SPEC, &plain().without("engine-id")),
        must("engine-id-is-opaque", SPEC, &plain().with("engine-id", value::string([0xff; 200]))),
        must("healthcheck-false", SPEC, &plain().with("healthcheck", value::boolean(false))),
        must("items-in-another-order", SPEC, &plain().reversed()),
    ]
}

/// What comes of the sizes that are offered.
fn negotiated(p: &Probe) -> Vec<Case> {
    let offer = |size: u32| {
        let hello = Hello::from_3_1().offering(size);
        p.connect().hello(&hello).ask(1, 1)
    };
    let mut cases = Vec::new();
    for size in [256, 300, 8188, 65_532, u32::MAX] {
        cases.push(Case::must(format!("max-frame-size-{size}"), SPEC, offer(size)));
    }
    cases
}

/// HELLOs that are to be refused: "an AGENT-DISCONNECT frame must be returned".
fn refused(p: &Probe) -> Vec<Case> {
    let refused = |hello: &Hello, statuses: &[Status]| p.connect().send(hello.frame()).refuses(statuses);
    let plain = Hello::from_3_1;
    let version = |text: &str| plain().with("supported-versions", value::string(text));
    let bad_version = [Status::BAD_VERSION];
    let bad_size = [Status::BAD_FRAME_SIZE];
    let no_size = value::string("16380");
    vec![
        Case::must("no-common-version", SPEC, refused(&version("1.0,3.0"), &bad_version)),
        Case::must("max-frame-size-255", "SPOE.txt 3.2", refused(&plain().offering(255), &bad_size)),
        Case::must("max-frame-size-0", "SPOE.txt 3.2", refused(&plain().offering(0), &bad_size)),
        Case::should(
            "version-is-nonsense",
            SPEC,
            refused(&version("abc"), &[Status::BAD_VERSION, Status::INVALID]),
        ),
        Case::should(
            "no-versions",
            SPEC,
            refused(&plain().without("supported-versions"), &[Status::NO_VERSION]),
        ),
        Case::should(
            "no-max-frame-size",
            SPEC,
            refused(&plain().without("max-frame-size"), &[Status::NO_FRAME_SIZE]),
        ),
        Case::should(
            "no-capabilities",
            SPEC,
            refused(&plain().without("capabilities"), &[Status::NO_CAPABILITIES]),
        ),
        Case::should(
            "max-frame-size-is-text",
            SPEC,
            refused(&plain().with("max-frame-size", no_size), INVALID),
        ),
        Case::should(
            "versions-is-null",
            SPEC,
            refused(&plain().with("supported-versions", value::null()), INVALID),
        ),
    ]
}

/// HELLOs that no HAProxy sends: whatever is made of them, there must be an answer.
fn odd(p: &Probe) -> Vec<Case> {
    let plain = Hello::from_3_1;
    let either = |hello: &Hello, statuses: &[Status]| {
        p.connect().send(hello.frame()).hello_comes_or_refusal(hello, statuses).ask(1, 1)
    };
    let raw = |bytes: Vec<u8>, statuses: &[Status]| p.connect().send(bytes).refuses(statuses);
    let with_header = |flags, id| frame(FrameType::HAPROXY_HELLO, flags, id, &plain().payload());
    let cut = plain().payload();
    let cut = frame(FrameType::HAPROXY_HELLO, FIN, (0, 0), &cut[..cut.len() - 1]);
    let (too_big, fragmented) = ([Status::TOO_BIG, Status::INVALID], [Status::FRAGMENTATION_NOT_SUPPORTED]);
    let mut cases = vec![
        Case::should(
            "an-item-twice",
            SPEC,
            either(&plain().and("max-frame-size", value::uint32(16_380)), INVALID),
        ),
        Case::should(
            "max-frame-size-is-int64",
            SPEC,
            either(&plain().with("max-frame-size", value::int64(16_380)), INVALID),
        ),
        Case::should(
            "20000-bytes",
            SPEC,
            either(&plain().with("padding", value::binary([b'x'; 20_000])), &too_big),
        ),
        Case::should("fin-clear", SPEC, raw(with_header(0, (0, 0)), &[fragmented[0], Status::INVALID])),
        Case::should("stream-id-1", SPEC, raw(with_header(FIN, (1, 0)), INVALID)),
        Case::should("frame-id-1", SPEC, raw(with_header(FIN, (0, 1)), INVALID)),
        Case::should("cut-off", SPEC, raw(cut, INVALID)),
        Case::should(
            "empty",
            SPEC,
            raw(frame(FrameType::HAPROXY_HELLO, FIN, (0, 0), b""), &[Status::NO_VERSION]),
        ),
    ];
    let unknown = [value::null(), value::boolean(true), value::int64(-1), value::ip([10, 0, 0, 1].into())];
    let unknown =
        unknown.into_iter().chain([value::ip([0; 16].into()), value::string("x"), value::binary("x")]);
    let with_unknown = unknown.fold(plain(), |hello, value| hello.and("x-item", value));
    cases.push(Case::should("unknown-items", SPEC, p.connect().hello(&with_unknown).ask(1, 1)));
    cases
}

/// What comes first, and how often.
fn order(p: &Probe) -> Vec<Case> {
    let before = |bytes: Vec<u8>| p.connect().send(bytes).refuses(INVALID);
    vec![
        Case::should("notify-before-hello", SPEC, before(p.notify(1, 1))),
        Case::should("ack-before-hello", SPEC, before(frame(FrameType::ACK, FIN, (1, 1), b""))),
        Case::should("unknown-type-before-hello", SPEC, before(frame(FrameType(77), FIN, (1, 1), b""))),
        Case::should("hello-twice", SPEC, p.connected().send(Hello::from_3_1().frame()).refuses(INVALID)),
    ]
}
