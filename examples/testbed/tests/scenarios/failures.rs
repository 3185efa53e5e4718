//! Handlers that fail: HAProxy learns it at once, and nobody else notices.

use std::time::Duration;

use spop_tokio::{Actions, BoxError, FailureKind, Request, Scope, Server, service_fn};
use testbed::{Config, Spoe};
use tokio::task::yield_now;

use crate::bed::{Bed, Outcome, PATIENCE, expect, prompt};
use crate::log::failed_requests;

const REQUEST_TIMEOUT: Duration = Duration::from_millis(200);

/// Paths, and the word that HAProxy gets for them.
const FAILURES: [(&str, &str); 7] = [
    ("/error", "error"),
    ("/late/error", "error"),
    ("/panic", "panic"),
    ("/late/panic", "panic"),
    ("/slow", "timeout"),
    ("/big", "too-big"),
    ("/wrong-type", "error"),
];
const GOOD_CLIENTS: usize = 8;

pub(crate) async fn failing_handlers(bed: &Bed) -> Outcome {
    let setup = bed.start(server(), Config::http(&spoe()).frontend(&show())).await?;
    // Twice: the second time over connections that had failures on them.
    for _ in 0..2 {
        let failing = FAILURES.map(|(path, word)| {
            let setup = &setup;
            async move {
                let response = prompt(setup.get(path)).await?;
                expect(&response, &[("x-failure", Some(word)), ("x-path", None)]);
                Outcome::Ok(())
            }
        });
        let good = (0..GOOD_CLIENTS).map(|client| {
            let setup = &setup;
            async move {
                let path = format!("/good/{client}");
                expect(&setup.get(&path).await?, &[("x-failure", None), ("x-path", Some(&path))]);
                Outcome::Ok(())
            }
        });
        let failing = futures_util::future::try_join_all(failing);
        let good = futures_util::future::try_join_all(good);
        tokio::try_join!(failing, good)?;
    }
    setup.finish_after_failures().await?;

    let lines = bed.log().lines();
    let failed = failed_requests(&lines);
    assert_eq!(failed.len(), 2 * FAILURES.len(), "{failed:#?}");
    for (_, word) in FAILURES {
        let kind = format!(" kind={word}");
        let says = |line: &&&str| line.contains("connection{peer=127.0.0.1:") && line.contains(&kind);
        let wanted = 2 * FAILURES.iter().filter(|(_, other)| *other == word).count();
        assert_eq!(failed.iter().filter(says).count(), wanted, "{word} in {failed:#?}");
    }
    Ok(())
}

/// What the user has the agent say of a failure is what HAProxy's rules go by.
pub(crate) async fn own_fallback(bed: &Bed) -> Outcome {
    let server = server().on_failure(|failure| {
        let mut actions = Actions::new();
        let verdict = if failure.kind() == FailureKind::Timeout { "pass" } else { "deny" };
        actions.set_var(Scope::Transaction, "verdict", verdict).expect("a plain name");
        actions
    });
    let rules = "http-request deny deny_status 429 if { var(txn.fails.verdict) -m str deny }\n\
                 http-request set-header x-verdict %[var(txn.fails.verdict)]";
    let setup = bed.start(server, Config::http(&spoe()).frontend(rules).frontend(&show())).await?;
    let passed = prompt(setup.get("/slow")).await?;
    expect(&passed, &[("x-echo-x-verdict", Some("pass")), ("x-failure", None)]);
    let denied = prompt(setup.get("/panic")).await?;
    assert_eq!((denied.status, denied.header("x-spoe-error")), (429, None), "{denied:?}");
    expect(&setup.get("/good").await?, &[("x-path", Some("/good"))]);
    setup.finish_after_failures().await
}

fn spoe() -> Spoe {
    let lines = ["args path=path", "event on-frontend-http-request"];
    Spoe::new("fails").processing(PATIENCE).message("ask", &lines)
}

/// The path if all went well, and the word if not.
fn show() -> String {
    let show = ["path", "failure"].map(|name| {
        let var = format!("var(txn.fails.{name})");
        format!("http-after-response set-header x-{name} %[{var}] if {{ {var} -m found }}")
    });
    show.join("\n")
}

fn server() -> Server<impl spop_tokio::Service> {
    let service = service_fn(|request: Request| async move {
        let message = request.message("ask").ok_or("no message")?;
        let path: &str = message.get("path")?;
        let mut actions = Actions::new();
        // Nothing of this is left when it fails later on.
        actions.set_var(Scope::Transaction, "path", path)?;
        if path.starts_with("/late/") {
            yield_now().await;
        }
        match path.rsplit('/').next() {
            Some("error") => return Err("as asked for".into()),
            // As a panic, but without its lines in the output of the test.
            Some("panic") => std::panic::resume_unwind(Box::new("as asked for")),
            Some("slow") => std::future::pending().await,
            Some("big") => drop(actions.set_var(Scope::Transaction, "big", "x".repeat(20_000))?),
            Some("wrong-type") => drop(message.get::<u32>("path")?),
            _ => {}
        }
        Ok::<_, BoxError>(actions)
    });
    Server::new(service).request_timeout(REQUEST_TIMEOUT)
}
