//! Which messages come together, and what no answer means.

use spop_tokio::{Actions, BoxError, Request, Scope, Server, service_fn};
use testbed::{Config, Spoe, http};

use crate::bed::{Bed, Outcome, PATIENCE, Recorder, expect, prompt};

/// A server that records each request and sets a variable for each message: its name, to its first argument.
fn echoing(recorder: &Recorder) -> Server<impl spop_tokio::Service> {
    let recorder = recorder.clone();
    Server::new(service_fn(move |request: Request| {
        let recorder = recorder.clone();
        async move {
            recorder.add(&request);
            let mut actions = Actions::new();
            for message in request.messages() {
                let value: &str = message.nth(0)?;
                actions.set_var(Scope::Transaction, message.name().to_str()?, value)?;
            }
            Ok::<_, BoxError>(actions)
        }
    }))
}

/// All messages of one event come in one NOTIFY, without those whose condition does not hold.
pub(crate) async fn several_messages(bed: &Bed) -> Outcome {
    let recorder = Recorder::default();
    let event = "event on-frontend-http-request";
    let spoe = Spoe::new("many")
        .processing(PATIENCE)
        .message("one", &["args str(first)", &format!("{event} if !{{ path /none }}")])
        .message("two", &["args path method", &format!("{event} if {{ path /all }}")])
        .message("three", &["args x=str(third)", &format!("{event} if !{{ path /none }}")]);
    let show = ["one", "two", "three"].map(|name| {
        let var = format!("var(txn.many.{name})");
        format!("http-after-response set-header x-{name} %[{var}] if {{ {var} -m found }}")
    });
    let setup = bed.start(echoing(&recorder), Config::http(&spoe).frontend(&show.join("\n"))).await?;

    let response = setup.get("/all").await?;
    expect(&response, &[("x-one", Some("first")), ("x-two", Some("/all")), ("x-three", Some("third"))]);
    assert_eq!(names(&recorder), [["one", "two", "three"]]);

    let response = setup.get("/some").await?;
    expect(&response, &[("x-one", Some("first")), ("x-two", None), ("x-three", Some("third"))]);
    assert_eq!(names(&recorder), [["one", "three"]]);

    // Some versions ask nothing then, others send a NOTIFY without a message, which wants an answer too.
    let response = prompt(setup.get("/none")).await?;
    expect(&response, &[("x-one", None), ("x-two", None), ("x-three", None)]);
    assert!(names(&recorder).iter().all(Vec::is_empty));
    setup.finish(bed).await
}

/// The names of the messages, request by request.
fn names(recorder: &Recorder) -> Vec<Vec<String>> {
    let requests = recorder.take().into_iter();
    requests.map(|request| request.messages.into_iter().map(|(name, _)| name).collect()).collect()
}

/// An agent that has nothing to say does not hold the request up.
pub(crate) async fn empty_answer(bed: &Bed) -> Outcome {
    let recorder = Recorder::default();
    let recording = recorder.clone();
    let service = service_fn(move |request: Request| {
        recording.add(&request);
        async { Ok::<_, BoxError>(Actions::new()) }
    });
    let spoe = Spoe::new("quiet")
        .processing(PATIENCE)
        .message("ask", &["args path", "event on-frontend-http-request"])
        // Without any argument.
        .message("response", &["event on-http-response"]);
    let setup = bed.start(Server::new(service), Config::http(&spoe)).await?;
    for _ in 0..3 {
        expect(&prompt(setup.get("/")).await?, &[]);
        assert_eq!(names(&recorder), [["ask"], ["response"]]);
    }
    setup.finish(bed).await
}

/// A rule sends messages when it comes to it, and the next rule can use the answer.
pub(crate) async fn group(bed: &Bed) -> Outcome {
    let recorder = Recorder::default();
    let spoe = Spoe::new("grouped")
        .processing(PATIENCE)
        .agent("groups check")
        .section("spoe-message verdict", &["args req.hdr(x-verdict)"])
        .section("spoe-message seen", &["args path"])
        .section("spoe-group check", &["messages verdict seen"]);
    let rules = "http-request send-spoe-group grouped check if { path_beg /check }\n\
                 http-request set-header x-seen %[var(txn.grouped.seen)] if { var(txn.grouped.seen) -m found }\n\
                 http-request deny if { var(txn.grouped.verdict) -m str no }";
    let setup = bed.start(echoing(&recorder), Config::http(&spoe).frontend(rules)).await?;

    let request = http::Request::new("GET", "/check/1").header("x-verdict", "yes");
    expect(&setup.send(&request).await?, &[("x-echo-x-seen", Some("/check/1"))]);
    assert_eq!(names(&recorder), [["verdict", "seen"]]);

    let request = http::Request::new("GET", "/check/2").header("x-verdict", "no");
    assert_eq!(setup.send(&request).await?.status, 403);
    assert_eq!(names(&recorder), [["verdict", "seen"]]);

    let request = http::Request::new("GET", "/free").header("x-verdict", "no");
    expect(&setup.send(&request).await?, &[("x-echo-x-seen", None)]);
    assert_eq!(recorder.take(), [], "nothing was asked");
    setup.finish(bed).await
}
