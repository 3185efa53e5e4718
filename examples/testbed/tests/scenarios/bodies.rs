//! Long payloads: up to the length of a frame, and, up to HAProxy 3.0, past it.

use spop_tokio::spop::OwnedTypedData;
use spop_tokio::{Actions, BoxError, Peer, Request, Scope, Server, service_fn};
use testbed::{Config, Spoe, http};

use crate::bed::{Bed, Outcome, PATIENCE, Recorder, Setup, expect, prompt, with_one_connection};
use crate::log::{above_debug, failed_requests};

/// Close to what HAProxy buffers of a body, with `tune.bufsize` as it is.
const LONG: usize = 15_000;

pub(crate) async fn body_15k(bed: &Bed) -> Outcome {
    let recorder = Recorder::default();
    let setup = start(bed, &recorder, None, &[], 1).await?;
    for size in [LONG, 1, 0, 4096, LONG] {
        expect_bodies(&setup, &recorder, size, 1).await?;
    }
    setup.finish(bed).await
}

/// From 3.1 on HAProxy does not even send what is longer than 33 bytes below its `max-frame-size`.
pub(crate) async fn frame_limit(bed: &Bed) -> Outcome {
    let recorder = Recorder::default();
    let setup = start(bed, &recorder, None, &["max-frame-size 1024"], 1).await?;
    // Name, count of arguments; name, type and length of the argument.
    let overhead = (1 + 3 + 1) + (1 + 1 + 1 + 2);
    let longest = 1024 - 33 - overhead;
    expect_bodies(&setup, &recorder, longest, 1).await?;
    let response = setup.send(&http::Request::new("POST", "/").body(body(longest + 1))).await?;
    assert_eq!((response.status, response.header("x-spoe-error")), (200, Some("3")), "{response:?}");
    assert_eq!(recorder.take(), []);
    expect_bodies(&setup, &recorder, longest, 1).await?;
    setup.finish_after_failures().await?;
    assert_eq!(above_debug(&bed.log().lines()), [""; 0], "the agent has not noticed");
    Ok(())
}

/// A body in some sixty fragments.
pub(crate) async fn fragmented_body(bed: &Bed) -> Outcome {
    let recorder = Recorder::default();
    let setup = start(bed, &recorder, None, &["max-frame-size 256"], 1).await?;
    for size in [LONG, 10, 256, LONG] {
        expect_bodies(&setup, &recorder, size, 1).await?;
    }
    setup.finish(bed).await
}

/// Many long arguments, and frames as long as they usually are.
pub(crate) async fn fragmented_arguments(bed: &Bed) -> Outcome {
    const ARGS: usize = 12;
    let recorder = Recorder::default();
    let setup = start(bed, &recorder, None, &[], ARGS).await?;
    for size in [LONG, 10, LONG] {
        expect_bodies(&setup, &recorder, size, ARGS).await?;
    }
    setup.finish(bed).await
}

/// What is longer than the agent takes fails by itself, and the connection goes on.
pub(crate) async fn fragments_past_the_bound(bed: &Bed) -> Outcome {
    const ARGS: usize = 255;
    const SMALL: usize = 100;
    let recorder = Recorder::default();
    let setup = start(bed, &recorder, Some(64 * 1024), &["max-frame-size 1024"], ARGS).await?;
    let before = expect_bodies(&setup, &recorder, SMALL, ARGS).await?;
    // A little too much, and so much that HAProxy is still sending when the agent has had enough.
    for size in [300, LONG, 300, LONG] {
        let response = prompt(setup.send(&http::Request::new("POST", "/").body(body(size)))).await?;
        expect(&response, &[("x-failure", Some("too-big")), ("x-sum", None)]);
        assert_eq!(recorder.take(), [], "the service has not seen it");
        let after = expect_bodies(&setup, &recorder, SMALL, ARGS).await?;
        assert_eq!(before, after, "the connection is the same");
    }
    setup.finish_after_failures().await?;

    let lines = bed.log().lines();
    let failed = failed_requests(&lines);
    assert_eq!(failed.len(), 4, "{failed:#?}");
    assert!(failed.iter().all(|line| line.contains("kind=too-big")), "{failed:#?}");
    Ok(())
}

/// Posts a body, and checks that it arrives in each argument and that the answer is that of this request.
async fn expect_bodies(setup: &Setup, recorder: &Recorder, size: usize, args: usize) -> Outcome<Peer> {
    let sent = body(size);
    let response = setup.send(&http::Request::new("POST", "/").body(&*sent)).await?;
    let sum = checksum(std::iter::repeat_n(&*sent, args));
    expect(&response, &[("x-sum", Some(&sum)), ("x-length", Some(&(size * args).to_string()))]);
    let recorded = recorder.take_one();
    let [(_, arrived)] = &recorded.messages[..] else { panic!("one message") };
    let arrived: Vec<_> = arrived.iter().map(|(_, value)| value).collect();
    let sent = OwnedTypedData::Binary(sent);
    // Not `assert_eq`, which would print it all.
    assert!(arrived == vec![&sent; args], "the body is another one");
    Ok(recorded.connection)
}

/// Starts an agent that is sent the body, as often as `args` says, and sets variables to its length and checksum.
async fn start(
    bed: &Bed,
    recorder: &Recorder,
    bound: Option<usize>,
    agent: &[&str],
    args: usize,
) -> Outcome<Setup> {
    let recorder = recorder.clone();
    let service = service_fn(move |request: Request| {
        recorder.add(&request);
        async move {
            let message = request.message("got").ok_or("no message")?;
            let bodies = (0..message.args().len()).map(|at| message.nth::<&[u8]>(at));
            let bodies = bodies.collect::<Result<Vec<_>, _>>()?;
            let mut actions = Actions::new();
            actions.set_var(Scope::Transaction, "sum", checksum(bodies.iter().copied()))?;
            let length: usize = bodies.iter().map(|body| body.len()).sum();
            actions.set_var(Scope::Transaction, "length", length as u64)?;
            Ok::<_, BoxError>(actions)
        }
    });
    let mut server = Server::new(service).request_timeout(None);
    if let Some(bound) = bound {
        server = server.fragments(bound, 4096);
    }
    // HAProxy takes 64 words on a line.
    let mut lines: Vec<_> =
        vec!["b=req.body"; args].chunks(60).map(|args| format!("args {}", args.join(" "))).collect();
    lines.push("event on-frontend-http-request".to_owned());
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let spoe = Spoe::new("body").processing(PATIENCE).message("got", &lines);
    let spoe = agent.iter().fold(spoe, |spoe, line| spoe.agent(line));
    let show = ["sum", "length", "failure"].map(|name| {
        let var = format!("var(txn.body.{name})");
        format!("\nhttp-after-response set-header x-{name} %[{var}] if {{ {var} -m found }}")
    });
    let frontend = format!("option http-buffer-request{}", show.concat());
    bed.start(server, with_one_connection(Config::http(&spoe).frontend(&frontend))).await
}

/// Bytes of every value, without a pattern that a shifted or repeated part would fit into.
fn body(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

/// FNV-1a.
fn checksum<'a>(parts: impl Iterator<Item = &'a [u8]>) -> String {
    let add = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    let hash = parts.flatten().fold(0xcbf2_9ce4_8422_2325, add);
    format!("{hash:016x}")
}
