use alloc::string::ToString;
use alloc::vec;

use super::*;

const V26: HaproxyVersion = HaproxyVersion::new(2, 6);
const V34: HaproxyVersion = HaproxyVersion::new(3, 4);

const GOOD: &str = "\
# an agent
[iprep]
spoe-agent iprep   # of ours
    messages check log
    groups later
    option var-prefix ip_rep
    option set-on-error error
    no option pipelining
    timeout hello 500ms
    timeout idle 1m
    timeout processing 1s
    use-backend agents

spoe-message check
    acl local src 127.0.0.1
    args ip=src \"ua=req.hdr(user agent)\" method
    event on-client-session if !local

spoe-message log
    event on-http-response

spoe-group later
    messages extra

spoe-message extra
    args str(a\\ b)
";

fn findings(text: &str, version: HaproxyVersion) -> Vec<String> {
    Conf::parse(text).unwrap().lint(version).iter().map(ToString::to_string).collect()
}

/// What is found in the good file when `line` is replaced.
#[track_caller]
fn found(line: &str, with: &str, version: HaproxyVersion) -> Vec<String> {
    assert!(GOOD.contains(line), "{line}");
    findings(&GOOD.replacen(line, with, 1), version)
}

#[test]
fn a_file_is_read_in_sections_lines_and_words() {
    let conf = Conf::parse(GOOD).unwrap();
    let engine = conf.engine("iprep").unwrap();
    assert_eq!(engine.sections().len(), 5);
    let agent = engine.agents().next().unwrap();
    assert_eq!((agent.name(), agent.number(), agent.var_prefix()), ("iprep", 3, "ip_rep"));
    assert_eq!(agent.values("messages").collect::<Vec<_>>(), ["check", "log"]);
    assert_eq!(agent.timeout("hello"), Some(Duration::from_millis(500)));
    assert_eq!(agent.timeout("idle"), Some(Duration::from_secs(60)));
    assert_eq!(engine.sent().collect::<Vec<_>>(), ["check", "log", "extra"]);
    let check = engine.message("check").unwrap();
    assert_eq!(check.arg_names().collect::<Vec<_>>(), ["ip", "ua", ""]);
    assert_eq!(check.lines()[1].words[2], "ua=req.hdr(user agent)");
    assert_eq!(engine.message("extra").unwrap().lines()[0].words, ["args", "str(a b)"]);
}

#[test]
fn the_prefix_of_variables_is_the_agents_name_by_default() {
    let conf = Conf::parse("spoe-agent a\n").unwrap();
    assert_eq!(conf.engines()[0].agents().next().unwrap().var_prefix(), "a");
    assert_eq!(conf.engines()[0].name(), None);
}

#[test]
fn times_are_read_as_haproxy_reads_them() {
    for (text, time) in [
        ("7", Some(Duration::from_millis(7))),
        ("7us", Some(Duration::from_micros(7))),
        ("7ms", Some(Duration::from_millis(7))),
        ("7s", Some(Duration::from_secs(7))),
        ("7h", Some(Duration::from_secs(25_200))),
        ("7d", Some(Duration::from_secs(604_800))),
        ("s", None),
        ("7x", None),
        ("18446744073709551615d", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(parse_time(text), time, "{text}");
    }
}

#[test]
fn what_is_printed_is_read_as_the_same() {
    let conf = Conf::parse(GOOD).unwrap();
    let printed = conf.to_string();
    let again = Conf::parse(&printed).unwrap();
    assert_eq!(again.to_string(), printed);
    let words = |conf: &Conf| -> Vec<_> {
        let sections = conf.engines().iter().flat_map(|engine| engine.sections().to_vec());
        sections.map(|section| section.lines.into_iter().map(|line| line.words).collect::<Vec<_>>()).collect()
    };
    assert_eq!(words(&again), words(&conf));
}

#[test]
fn every_word_can_be_quoted() {
    for word in ["", " ", "a b", "#", "'", "\"", "\\", "\n\t\r", "a\\ b", "[x]", "\u{e4}"] {
        assert_eq!(words::split(&words::quote(word)), Ok(vec![word.to_string()]), "{word:?}");
    }
}

#[test]
fn a_file_without_shape_is_an_error_with_its_line() {
    for (text, line, kind) in [
        ("spoe-agent a\n  args 'x", 2, ConfErrorKind::OpenQuote),
        ("spoe-agent a\n  args \"x\\", 2, ConfErrorKind::OpenQuote),
        ("[]", 1, ConfErrorKind::Scope),
        ("[a", 1, ConfErrorKind::Scope),
        ("[a] b", 1, ConfErrorKind::Scope),
        ("spoe-agent", 1, ConfErrorKind::SectionName),
        ("spoe-agent a b", 1, ConfErrorKind::SectionName),
        ("\n\nmessages m", 3, ConfErrorKind::NoSection),
    ] {
        let error = Conf::parse(text).unwrap_err();
        assert_eq!((error.line(), error.kind()), (line, kind), "{text}");
    }
}

#[test]
fn nothing_is_found_in_a_good_file() {
    assert_eq!(findings(GOOD, V26), [""; 0]);
    assert_eq!(findings(GOOD, V34), [""; 0]);
}

#[test]
fn what_a_version_lacks_is_found() {
    let old = ["line 5: agent iprep: `option async` is for HAProxy up to 3.0, 3.4 ignores it"];
    assert_eq!(found("groups later\n", "option async\n", V34)[..1], old);
    let old = "line 6: agent iprep: `max-waiting-frames` is for HAProxy up to 3.0, 3.4 ignores it";
    assert_eq!(found("option var-prefix ip_rep", "max-waiting-frames 20", V34), [old]);
    let missing = "line 3: agent iprep: no `timeout hello`, which HAProxy 2.6 warns about";
    assert_eq!(found("    timeout hello 500ms\n", "", V26), [missing]);
    assert_eq!(found("    timeout hello 500ms\n", "", V34), [""; 0]);
}

#[test]
fn messages_that_are_listed_and_not_there_and_the_other_way_round_are_found() {
    let renamed = found("spoe-message log", "spoe-message lag", V34);
    let want = [
        "line 3: agent iprep: there is no spoe-message log",
        "line 19: message lag: no agent and no group lists it: HAProxy never sends it",
    ];
    assert_eq!(renamed, want);
    assert_eq!(
        found("groups later", "groups never", V34),
        ["line 3: agent iprep: there is no spoe-group never"]
    );
    let silent = found("    event on-http-response\n", "", V34);
    assert_eq!(silent, ["line 19: message log: no `event`: HAProxy never sends it"]);
}

#[test]
fn words_that_haproxy_does_not_know_are_found() {
    for (line, with, want) in [
        ("no option pipelining", "pipelining", "line 8: agent iprep: unknown keyword `pipelining`"),
        ("no option pipelining", "option pipelinning", "line 8: agent iprep: unknown option `pipelinning`"),
        (
            "option var-prefix ip_rep",
            "option var-prefix",
            "line 6: agent iprep: `option var-prefix` wants one word more",
        ),
        (
            "timeout idle 1m",
            "timeout idel 1m",
            "line 10: agent iprep: want `timeout` with hello, idle or processing, and a time",
        ),
        (
            "timeout processing 1s",
            "timeout processing 1y",
            "line 11: agent iprep: `1y` is no time: want a number with us, ms, s, m, h or d",
        ),
        (
            "event on-http-response",
            "event on-http-reponse",
            "line 20: message log: unknown event `on-http-reponse`",
        ),
        (
            "var-prefix ip_rep",
            "var-prefix ip-rep",
            "line 3: agent iprep: `ip-rep` cannot be the prefix of variables: want `option var-prefix` with A-Z a-z 0-9 _ . alone",
        ),
        ("\"ua=", "\"ip=", "line 14: message check: two arguments are called `ip`"),
    ] {
        assert_eq!(found(line, with, V34), [want]);
    }
}

#[test]
fn no_text_panics() {
    let bytes = GOOD.as_bytes();
    for cut in 0..bytes.len() {
        for change in [b'"', b'\\', b'[', b'\n', b'#'] {
            let mut text = bytes.to_vec();
            text[cut] = change;
            if let Ok(conf) = Conf::parse(&alloc::string::String::from_utf8(text).unwrap()) {
                conf.lint(V26);
                assert!(Conf::parse(&conf.to_string()).is_ok());
            }
        }
        let _ = Conf::parse(&GOOD[..cut]);
    }
}
