//! Arguments arrive as they were: all of them, in order, to the byte.

use std::net::Ipv4Addr;

use spop_tokio::spop::OwnedTypedData;
use spop_tokio::{Actions, BoxError, Request, Scope, Server, Text, service_fn};
use testbed::{Config, Spoe, http};

use crate::bed::{
    Argument, Bed, Outcome, PATIENCE, Recorder, SOON, Setup, expect, prompt, with_one_connection,
};
use crate::log::failed_requests;

/// HAProxy takes 64 words on a line.
const ARGS_PER_LINE: usize = 60;

pub(crate) async fn arguments_60(bed: &Bed) -> Outcome {
    all_arrive(bed, 60).await
}

/// As many as the protocol can count.
pub(crate) async fn arguments_255(bed: &Bed) -> Outcome {
    all_arrive(bed, 255).await
}

async fn all_arrive(bed: &Bed, count: usize) -> Outcome {
    let recorder = Recorder::default();
    let setup = start(bed, &[("/all", count)], &recorder).await?;
    for _ in 0..2 {
        expect(&setup.get("/all").await?, &[("x-count", Some(&count.to_string())), ("x-failure", None)]);
        let [(name, args)] = &recorder.take_one().messages[..] else { panic!("one message") };
        let wanted: Vec<_> = (0..count).map(|n| argument(n).1).collect();
        assert_eq!((&**name, args), ("m0", &wanted));
    }
    setup.finish(bed).await
}

/// HAProxy sends 258 arguments and says it is 2: that request fails alone.
pub(crate) async fn arguments_258(bed: &Bed) -> Outcome {
    let recorder = Recorder::default();
    let setup = start(bed, &[("/some", 3), ("/many", 258)], &recorder).await?;
    expect(&setup.get("/some").await?, &[("x-count", Some("3")), ("x-failure", None)]);
    let before = recorder.take_one();
    for _ in 0..3 {
        let response = prompt(setup.get("/many")).await?;
        expect(&response, &[("x-count", None), ("x-failure", Some("malformed"))]);
    }
    assert_eq!(recorder.take(), [], "the service has not seen them");
    expect(&setup.get("/some").await?, &[("x-count", Some("3")), ("x-failure", None)]);
    assert_eq!(recorder.take_one(), before, "on the same connection");
    setup.finish_after_failures().await?;

    let lines = bed.log().lines();
    let failed = failed_requests(&lines);
    assert_eq!(failed.len(), 3, "{failed:#?}");
    assert!(failed.iter().all(|line| line.contains("kind=malformed")), "{failed:#?}");
    Ok(())
}

/// A message for each path, with that many arguments. The agent sets the variable `count` to how many there were.
async fn start(bed: &Bed, messages: &[(&str, usize)], recorder: &Recorder) -> Outcome<Setup> {
    let mut spoe = Spoe::new("args").processing(PATIENCE);
    for (index, (path, count)) in messages.iter().enumerate() {
        let args: Vec<_> = (0..*count).map(|n| argument(n).0).collect();
        let mut lines: Vec<_> =
            args.chunks(ARGS_PER_LINE).map(|args| format!("args {}", args.join(" "))).collect();
        lines.push(format!("event on-frontend-http-request if {{ path {path} }}"));
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        spoe = spoe.message(&format!("m{index}"), &lines);
    }
    let recorder = recorder.clone();
    let service = service_fn(move |request: Request| {
        recorder.add(&request);
        async move {
            let count: usize = request.messages().map(|message| message.args().len()).sum();
            let mut actions = Actions::new();
            actions.set_var(Scope::Transaction, "count", count as u64)?;
            Ok::<_, BoxError>(actions)
        }
    });
    let show = ["count", "failure"].map(|name| {
        let var = format!("var(txn.args.{name})");
        format!("http-after-response set-header x-{name} %[{var}] if {{ {var} -m found }}")
    });
    bed.start(Server::new(service), with_one_connection(Config::http(&spoe).frontend(&show.join("\n")))).await
}

/// The argument at a position: in HAProxy's configuration, and as it should arrive. Every type that HAProxy sends, with
/// and without a name, and some names twice.
fn argument(n: usize) -> (String, Argument) {
    let number = n as i64;
    let (sample, value) = match n % 8 {
        0 => (format!("int({number})"), OwnedTypedData::Int64(number)),
        1 => (format!("int(-{number}000000000)"), OwnedTypedData::Int64(-number * 1_000_000_000)),
        2 => (format!("str(value-{n})"), OwnedTypedData::String(format!("value-{n}").into_bytes())),
        3 => (format!("bool({})", n % 16 == 3), OwnedTypedData::Bool(n % 16 == 3)),
        4 => (format!("ipv4(192.0.2.{n})"), OwnedTypedData::Ipv4(Ipv4Addr::new(192, 0, 2, n as u8))),
        5 => (format!("ipv6(2001:db8::{n:x})"), {
            OwnedTypedData::Ipv6(format!("2001:db8::{n:x}").parse().expect("an address"))
        }),
        6 => (format!("bin(00ff{n:04x})"), {
            OwnedTypedData::Binary([&[0, 0xff][..], &(n as u16).to_be_bytes()].concat())
        }),
        _ => ("req.hdr(x-missing)".to_owned(), OwnedTypedData::Null),
    };
    match n % 10 {
        9 => (sample, (String::new(), value)),
        8 => (format!("twice={sample}"), ("twice".to_owned(), value)),
        _ => (format!("a{n}={sample}"), (format!("a{n}"), value)),
    }
}

/// A header with every byte that HTTP lets into a value: UTF-8 is not asked for.
pub(crate) async fn header_bytes(bed: &Bed) -> Outcome {
    let recorder = Recorder::default();
    let recording = recorder.clone();
    let service = service_fn(move |request: Request| {
        recording.add(&request);
        async move {
            let value: Text<'_> = request.message("raw").ok_or("no message")?.get("value")?;
            let mut actions = Actions::new();
            actions.set_var(Scope::Transaction, "text", value)?;
            actions.set_var(Scope::Transaction, "binary", value.as_bytes())?;
            Ok::<_, BoxError>(actions)
        }
    });
    // Not `req.hdr`, which stops at a comma.
    let spoe =
        Spoe::new("raw").message("raw", &["args value=req.fhdr(x-raw)", "event on-frontend-http-request"]);
    let show = "http-after-response set-header x-text %[var(txn.raw.text),hex]\n\
                http-after-response set-header x-binary %[var(txn.raw.binary),hex]";
    let setup = bed.start(Server::new(service), Config::http(&spoe).frontend(show)).await?;

    // Blanks at the ends are not part of a value.
    let value: Vec<u8> = (1..=0xff).filter(|byte| !b"\r\n".contains(byte)).collect();
    let request = [b"GET / HTTP/1.1\r\nHost: x\r\nX-Raw: ", &value[..], b"\r\n\r\n"].concat();
    let mut client = http::Connection::open(setup.haproxy.http(), None, SOON).await?;
    let response = client.send_bytes(&request, SOON).await?;
    let hex: String = value.iter().map(|byte| format!("{byte:02X}")).collect();
    expect(&response, &[("x-text", Some(&hex)), ("x-binary", Some(&hex))]);
    let [(_, args)] = &recorder.take_one().messages[..] else { panic!("one message") };
    assert_eq!(args[..], [("value".to_owned(), OwnedTypedData::String(value))]);
    setup.finish(bed).await
}
