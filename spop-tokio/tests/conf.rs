//! HAProxy's side, from the agent's code: printed, and checked.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use spop_tokio::spop::conf::{Conf, HaproxyVersion};
use spop_tokio::{Args, Route, Router, Server, Var};

const V30: HaproxyVersion = HaproxyVersion::new(3, 0);
const V34: HaproxyVersion = HaproxyVersion::new(3, 4);
const VERDICT: Var = Var::transaction("verdict");

#[derive(Deserialize)]
#[allow(dead_code, reason = "the names are what counts")]
struct Check {
    ip: Option<IpAddr>,
    path: String,
}

fn server() -> Server<Router> {
    let check = Route::new(|_: Args<Check>| ()).sets([VERDICT]);
    let router =
        Router::new().message("check", check).message("log", Route::new(|| ()).event("on-http-response"));
    Server::new(router).request_timeout(Duration::from_millis(200)).var_prefix("guard").unwrap()
}

/// What does not fit when `line` of the printed file is replaced.
#[track_caller]
fn found(line: &str, with: &str) -> Vec<String> {
    let printed = server().spoe_conf("guard", V30).to_string();
    assert!(printed.contains(line), "{printed}");
    let conf = Conf::parse(&printed.replacen(line, with, 1)).unwrap();
    server().check_conf(&conf, "guard").iter().map(ToString::to_string).collect()
}

#[test]
fn a_file_has_the_messages_with_the_arguments_of_their_handlers() {
    let conf = server().spoe_conf("guard", V30).to_string();
    let want = "[guard]\n\nspoe-agent guard\n    messages check log\n    option var-prefix guard\n    \
                option set-on-error error\n    timeout hello 500ms\n    timeout idle 1m\n    \
                timeout processing 400ms\n    use-backend guard\n\nspoe-message check\n    args ip=src path=path\n    \
                event on-frontend-http-request\n\nspoe-message log\n    event on-http-response\n";
    assert_eq!(conf, want);
}

#[test]
fn what_is_printed_fits_every_version() {
    for version in [V30, V34] {
        let conf = server().spoe_conf("guard", version);
        assert_eq!(conf.lint(version), []);
        assert_eq!(server().check_conf(&conf, "guard"), []);
    }
}

#[test]
fn a_backend_has_the_mode_of_its_version() {
    assert!(server().haproxy_backend("guard", "127.0.0.1:1", V34).contains("    mode spop\n"));
    let old = server().haproxy_backend("guard", "127.0.0.1:1", V30);
    assert!(old.contains("    mode tcp\n") && old.contains("timeout server"), "{old}");
}

#[test]
fn messages_that_nobody_handles_or_sends_are_found() {
    let renamed = found("messages check log\n", "messages check lag\nspoe-message lag\nspoe-agent guard\n");
    assert_eq!(renamed[0], "line 5: message lag: nobody handles it; there are handlers for check, log");
    assert_eq!(renamed[1], "nobody sends message log, which has a handler");
}

#[test]
fn arguments_that_do_not_fit_the_handler_are_found() {
    let renamed = found("path=path", "url=path");
    let want = [
        "line 12: message check: no argument path, which the handler reads",
        "line 12: message check: the handler does not read argument url",
    ];
    assert_eq!(renamed, want);
}

#[test]
fn another_prefix_is_found_with_the_variables_that_are_too_long_for_it() {
    assert_eq!(
        found("prefix guard", "prefix g"),
        ["line 3: agent guard: the var-prefix is g, the agent's guard"]
    );
    let long = found("prefix guard", &format!("prefix {}", "g".repeat(55)));
    assert!(long[1].contains("message check: variable txn.verdict: variable name of 7 bytes"), "{long:?}");
}

#[test]
fn a_timeout_that_is_over_before_the_agents_is_found() {
    let early = found("timeout processing 400ms", "timeout processing 200ms");
    let want = "line 3: agent guard: timeout processing is 200ms, not above the agent's request_timeout of 200ms: its \
                fallback comes too late";
    assert_eq!(early, [want]);
}

#[test]
fn an_engine_that_is_not_there_is_found() {
    let conf = server().spoe_conf("guard", V34);
    let findings = server().check_conf(&conf, "gard");
    assert_eq!(findings[0].to_string(), "there is no engine [gard]");
}
