//! Bad input on SPOP, row by row: what has been seen to hang, stall, bloat or break agents. Here, a frame that is cut
//! right is answered and its connection goes on; a stream that cannot be cut ends with the right status, at once.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use spop::{FrameType, Status};
use testbed::check::wire::{FIN, frame, message, notify, number, value};
use testbed::check::{self, Case, Hello, Outcome, Probe, Script, Target};
use testbed::{AgentProcess, build_example};

/// Enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const MIB: u64 = 1024 * 1024;

async fn agent() -> AgentProcess {
    let mut agent = Command::new(build_example("ip-reputation").unwrap());
    agent.args(["--listen", "127.0.0.1:0"]);
    AgentProcess::start(agent, PATIENCE).await.unwrap()
}

/// A connection with the HELLOs exchanged.
fn connected() -> Script {
    Probe::default().connected()
}

/// A stream that makes no sense from here on, and how it must end.
fn refused(bytes: &[u8], status: Status) -> Vec<Case> {
    let before = Probe::default().connect().send(bytes).refuses(&[status]);
    vec![row(before), row(connected().send(bytes).refuses(&[status]))]
}

/// A request that is answered, whatever it is; so is the next one.
fn answered(payload: &[u8]) -> Vec<Case> {
    vec![row(connected().send(notify((1, 1), payload)).acks(&[(1, 1)]).ask(3, 1))]
}

/// A frame of which no notice is taken; the next request is answered.
fn ignored(frame: Vec<u8>) -> Vec<Case> {
    vec![row(connected().send(frame).ask(3, 1))]
}

fn row(script: Script) -> Case {
    Case::must("", "", script)
}

/// The cases of `spop-check` whose names start like this.
fn named(prefix: &str) -> Vec<Case> {
    let mut cases = check::cases(&Probe::default());
    cases.retain(|case| case.name.starts_with(prefix));
    assert!(!cases.is_empty(), "no case has a name that starts with {prefix}");
    cases
}

/// An argument of the default message, in place of the one it has.
fn argument(value: Vec<u8>) -> Vec<u8> {
    Probe::default().with_only(&[("ip", value)])
}

/// A block of headers as an argument beside the good one.
fn headers(block: &[u8]) -> Vec<Case> {
    answered(&Probe::default().message_with(&[("req_hdrs", value::string(block))]))
}

fn rows() -> Vec<(&'static str, Vec<Case>)> {
    [streams(), frames(), headers_and_names(), payloads()].concat()
}

fn streams() -> Vec<(&'static str, Vec<Case>)> {
    let good = Probe::default().notify(1, 1);
    let truncated = &good[..good.len() - 1];
    let lengths = (0..7u32).flat_map(|length| refused(&length.to_be_bytes(), Status::INVALID));
    // Behind a length that no frame has there is nothing to be found again.
    let piled_up = connected().send([&[0, 0, 0, 2][..], &good.repeat(50)].concat());
    let sized = |size: u32| connected().notify_of_max_frame_size(1, 1, size - 16_380);
    let hello = Hello::from_3_1();
    vec![
        ("random bytes", refused(b"\x9a\x1f\x07\xe3\x55\x80\xc1\x22\x0d\xfe", Status::TOO_BIG)),
        ("an HTTP request", refused(b"GET / HTTP/1.1\r\nHost: agent\r\n\r\n", Status::TOO_BIG)),
        ("a TLS hello", refused(b"\x16\x03\x01\x00\xf1\x01\x00\x00\xed\x03\x03", Status::TOO_BIG)),
        ("length 0xffffffff", refused(&[0xff; 4], Status::TOO_BIG)),
        ("length 0 to 6", lengths.collect()),
        ("length 2, then 50 good frames", vec![row(piled_up.refuses(&[Status::INVALID]))]),
        ("a frame of 20,000 bytes", vec![row(sized(20_000).refuses(&[Status::TOO_BIG]))]),
        ("a frame of 900,000 bytes", vec![row(sized(900_000).refuses(&[Status::TOO_BIG]))]),
        ("a truncated NOTIFY and half-close", vec![row(connected().send(truncated).half_close().closes())]),
        (
            "a NOTIFY and half-close",
            vec![row(connected().send(&good[..]).half_close().acks(&[(1, 1)]).closes())],
        ),
        (
            "byte by byte",
            [named("delivery/hello-byte-by-byte"), named("delivery/notify-byte-by-byte")].concat(),
        ),
        ("two in one write", vec![row(connected().send(good.repeat(2)).acks(&[(1, 1)]).acks(&[(1, 1)]))]),
        (
            "offers of 100 bytes",
            vec![row(Probe::default()
                .connect()
                .send(hello.offering(100).frame())
                .refuses(&[Status::BAD_FRAME_SIZE]))],
        ),
        ("versions that are not 2.0", named("hello/no-common-version")),
        ("no HELLO first", vec![row(Probe::default().connect().send(good).refuses(&[Status::INVALID]))]),
        (
            "a second HELLO",
            vec![row(connected().send(Hello::from_3_1().frame()).refuses(&[Status::INVALID]))],
        ),
    ]
}

fn frames() -> Vec<(&'static str, Vec<Case>)> {
    let message = Probe::default().message_with(&[]);
    let ids = connected().ask(9, 1).ask(9, 2).ask(1 << 62, 1).ask(0, 1);
    let reserved = frame(FrameType::NOTIFY, 0xffff_fffd, (1, 1), &message);
    let no_fin = frame(FrameType::NOTIFY, 0, (1, 1), &message);
    let end = frame(FrameType::UNSET, FIN, (1, 1), b"");
    vec![
        ("a stream with two frame-ids, stream-id 2^62", vec![row(ids)]),
        (
            "no FIN, and then it comes",
            vec![row(connected().send(no_fin.clone()).send(end).acks(&[(1, 1)]).ask(3, 1))],
        ),
        (
            "no FIN, and another NOTIFY",
            vec![row(connected().send(no_fin).notify(3, 1).refuses(&[Status::INTERLACED_FRAMES]))],
        ),
        ("the ABORT flag", ignored(frame(FrameType::NOTIFY, 3, (1, 1), &message))),
        ("a reserved flag", vec![row(connected().send(reserved).acks(&[(1, 1)]).ask(3, 1))]),
        ("an unknown frame type", ignored(frame(FrameType(77), FIN, (1, 1), &message))),
        ("an ACK from the peer", ignored(frame(FrameType::ACK, FIN, (1, 1), b""))),
    ]
}

fn headers_and_names() -> Vec<(&'static str, Vec<Case>)> {
    let probe = Probe::default();
    let twice =
        probe.message_with(&[("ip", value::string("again")), ("x", value::null()), ("x", value::null())]);
    vec![
        ("a NULL argument", answered(&argument(value::null()))),
        ("a missing argument", answered(&probe.with_only(&[]))),
        ("an argument of another type", answered(&argument(value::binary(b"\0\xff")))),
        ("a header line without a colon", headers(b"no colon\r\n\r\n")),
        ("header lines that end with LF", headers(b"a: b\nc: d\n\n")),
        ("a header name that is empty or has a space", headers(b": b\r\na b: c\r\n\r\n")),
        ("control bytes and DEL in a header", headers(b"a: \x01\x7f\0\r\n\r\n")),
        ("a header that is not UTF-8", headers(b"a: \xff\xfe\r\n\r\n")),
        ("an argument name twice", answered(&twice)),
        (
            "two arguments without names",
            answered(&probe.with_only(&[("", value::null()), ("", value::null())])),
        ),
        ("a message name that is not UTF-8", answered(&message(b"\xff\xfe", &[]))),
        ("a message that nobody knows", answered(&message(b"nobody-knows-me", &[]))),
        ("no message", answered(b"")),
    ]
}

fn payloads() -> Vec<(&'static str, Vec<Case>)> {
    let wraps = Probe::default().with_only(&vec![("a", value::int64(1)); 258]);
    vec![
        ("a string longer than the frame", answered(&argument(vec![8, 200, b'x']))),
        ("a string of 2^62 bytes", answered(&argument([vec![8], number(1 << 62)].concat()))),
        ("a varint of 40 bytes", answered(&argument([vec![4], vec![0xff; 40]].concat()))),
        ("a value of type 15", answered(&argument(vec![15]))),
        ("NB-ARGS too big", answered(&Probe::default().head(200))),
        ("258 arguments, of which NB-ARGS says 2", answered(&wraps)),
        ("the other malformed ones of spop-check", named("malformed/")),
    ]
}

/// Runs every row, and tells of those that went wrong.
fn run_all(target: &Target) {
    let mut wrong = Vec::new();
    for (name, cases) in rows() {
        for case in cases {
            let outcome = case.run(target);
            if outcome != Outcome::Passed {
                wrong.push(format!("{name} {}: {outcome:?}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_row_is_answered_or_refused_and_the_next_request_is_served() {
    let agent = agent().await;
    run_all(&Target::new(agent.address().unwrap()).timeout(PATIENCE));
}

#[tokio::test]
async fn bad_input_grows_no_memory() {
    let agent = agent().await;
    let target = Target::new(agent.address().unwrap()).timeout(PATIENCE);
    run_all(&target);
    let before = agent.resident_bytes().unwrap();
    for _ in 0..10 {
        run_all(&target);
    }
    let grown = agent.resident_bytes().unwrap().saturating_sub(before);
    assert!(grown < 2 * MIB, "{grown} bytes");
}

/// What follows `start`, over and over, is nothing that an agent has to keep.
async fn assert_flood_is_not_kept(start: &[u8], chunk: &[u8]) {
    let agent = agent().await;
    let target = Target::new(agent.address().unwrap()).timeout(PATIENCE);
    assert_eq!(row(connected().ask(1, 1)).run(&target), Outcome::Passed);
    let before = agent.resident_bytes().unwrap();
    let mut stream = TcpStream::connect(agent.address().unwrap()).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(start).unwrap();
    let mut most = 0;
    for _ in 0..256 * MIB / chunk.len() as u64 {
        if stream.write_all(chunk).is_err() {
            break;
        }
        most = most.max(agent.resident_bytes().unwrap());
    }
    // It has closed by now, or does once there is nothing to read.
    let end = loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    assert!(matches!(end, None | Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)), "{end:?}");
    let grown = most.max(agent.resident_bytes().unwrap()).saturating_sub(before);
    assert!(grown < 2 * MIB, "{grown} bytes");
    assert_eq!(row(connected().ask(1, 1)).run(&target), Outcome::Passed);
}

#[tokio::test]
async fn a_length_of_0xffffffff_and_256_mebibytes_grow_no_memory() {
    assert_flood_is_not_kept(&[0xff; 4], &[b'x'; 64 * 1024]).await;
}

#[tokio::test]
async fn a_length_of_0_and_256_mebibytes_of_good_frames_grow_no_memory() {
    let good = Probe::default().notify(1, 1).repeat(1_000);
    assert_flood_is_not_kept(&[Hello::from_3_1().frame(), vec![0; 4]].concat(), &good).await;
}

#[tokio::test]
async fn fragments_without_an_end_grow_no_memory() {
    let agent = agent().await;
    let target = Target::new(agent.address().unwrap()).timeout(PATIENCE);
    assert_eq!(row(connected().ask(1, 1)).run(&target), Outcome::Passed);
    let before = agent.resident_bytes().unwrap();
    let fragment = frame(FrameType::UNSET, 0, (1, 1), &[b'x'; 16_000]).repeat(64);
    let mut script = connected().send(frame(FrameType::NOTIFY, 0, (1, 1), b""));
    for _ in 0..64 {
        script = script.send(&fragment[..]);
    }
    let script = script.send(frame(FrameType::UNSET, FIN, (1, 1), b"")).acks(&[(1, 1)]).ask(3, 1);
    assert_eq!(row(script).run(&target), Outcome::Passed);
    let grown = agent.resident_bytes().unwrap().saturating_sub(before);
    assert!(grown < 2 * MIB, "{grown} bytes of 64 MiB that were sent");
}

#[tokio::test]
async fn no_log_line_holds_what_was_sent() {
    let mut agent = agent().await;
    let target = Target::new(agent.address().unwrap()).timeout(PATIENCE);
    let secret = b"cookie: SECRET\r\n".repeat(50);
    let malformed = [argument(value::string(&secret)), vec![0xff; 9], secret.clone()].concat();
    let bad_hello =
        Hello::from_3_1().with("engine-id", value::string(&secret)).with("max-frame-size", value::null());
    for script in [
        connected().send(notify((1, 1), &argument(value::string(&secret)))).acks(&[(1, 1)]),
        connected().send(notify((1, 1), &malformed)).acks(&[(1, 1)]),
        connected().send(notify((1, 1), &message(&secret, &[]))).acks(&[(1, 1)]),
        connected().send(&secret[..]).refuses(&[Status::TOO_BIG]),
        Probe::default().connect().send(bad_hello.frame()).refuses(&[Status::INVALID]),
        connected().send(frame(FrameType::HAPROXY_DISCONNECT, FIN, (0, 0), &secret)).closes(),
    ] {
        assert_eq!(row(script).run(&target), Outcome::Passed);
    }
    agent.terminate(PATIENCE).await.unwrap();
    agent.wait_for_log("its last line", PATIENCE, |line| line.contains("stopped")).await.unwrap();
    let lines = agent.logs().all();
    // The faults were logged, or there was nothing to look at.
    assert!(lines.iter().any(|line| line.contains("malformed")), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("SECRET") && line.len() < 400), "{lines:#?}");
}
