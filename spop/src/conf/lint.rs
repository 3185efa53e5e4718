//! What does not fit in a file.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::{Conf, Engine, Line, Section, SectionKind, parse_time};

/// A version of HAProxy: 2.6, 3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HaproxyVersion {
    major: u16,
    minor: u16,
}

impl HaproxyVersion {
    /// The version `major.minor`.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Whether it has SPOP as a mode of its own, `mode spop`, and ignores what up to 3.0 was for its own connections to
    /// agents.
    pub const fn has_mode_spop(self) -> bool {
        self.major > 3 || (self.major == 3 && self.minor >= 1)
    }
}

impl fmt::Display for HaproxyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl core::str::FromStr for HaproxyVersion {
    type Err = core::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Ok(Self { major: major.parse()?, minor: minor.parse()? })
    }
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    line: usize,
    section: Option<(SectionKind, String)>,
    what: String,
}

impl Finding {
    /// About a section.
    pub fn of_section(section: &Section, what: impl Into<String>) -> Self {
        let name = Some((section.kind(), section.name().to_string()));
        Self { line: section.number(), section: name, what: what.into() }
    }

    /// About the file as a whole.
    pub fn of_file(what: impl Into<String>) -> Self {
        Self { line: 0, section: None, what: what.into() }
    }

    fn of_line(section: &Section, line: &Line, what: impl Into<String>) -> Self {
        Self { line: line.number, ..Self::of_section(section, what) }
    }

    /// The line, from 1; 0 if it is about the file as a whole.
    pub fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if let Some((kind, name)) = &self.section {
            write!(f, "{} {name}: ", kind.noun())?;
        }
        f.write_str(&self.what)
    }
}

/// The words that may start a line.
const KEYWORDS: [(SectionKind, &[&str]); 3] = [
    (
        SectionKind::Agent,
        &[
            "groups",
            "log",
            "max-frame-size",
            "maxconnrate",
            "maxerrrate",
            "max-waiting-frames",
            "messages",
            "no",
            "option",
            "register-var-names",
            "timeout",
            "use-backend",
        ],
    ),
    (SectionKind::Message, &["acl", "args", "event"]),
    (SectionKind::Group, &["messages"]),
];

/// The words behind `option` that want a word more, and those that do not.
const OPTIONS_WITH_VALUE: [&str; 4] = ["set-on-error", "set-process-time", "set-total-time", "var-prefix"];
const OPTIONS: [&str; 6] =
    ["async", "continue-on-error", "dontlog-normal", "force-set-var", "pipelining", "send-frag-payload"];

const TIMEOUTS: [&str; 3] = ["hello", "idle", "processing"];

/// HAProxy from 3.1 reads these and forgets them.
const UP_TO_3_0: [&str; 3] = ["maxconnrate", "maxerrrate", "max-waiting-frames"];
const OPTIONS_UP_TO_3_0: [&str; 2] = ["async", "send-frag-payload"];

const EVENTS: [&str; 8] = [
    "on-backend-http-request",
    "on-backend-tcp-request",
    "on-client-session",
    "on-frontend-http-request",
    "on-frontend-tcp-request",
    "on-http-response",
    "on-server-session",
    "on-tcp-response",
];

impl Conf {
    /// What does not fit, in the file itself and for this version of HAProxy: words that it does not know, what it
    /// ignores or warns about, messages that are listed and not there, or there and not listed, and names it would
    /// drop.
    ///
    /// Nothing is said of samples and conditions: `haproxy -c` knows them.
    pub fn lint(&self, version: HaproxyVersion) -> Vec<Finding> {
        let mut findings = Vec::new();
        for engine in self.engines() {
            if engine.agents().next().is_none() {
                let name = engine.name().map_or_else(String::new, |name| format!(" [{name}]"));
                findings.push(Finding::of_file(format!("engine{name} has no spoe-agent")));
            }
            for section in engine.sections() {
                lint_lines(section, version, &mut findings);
                match section.kind() {
                    SectionKind::Agent => lint_agent(section, version, &mut findings),
                    SectionKind::Message => lint_message(engine, section, &mut findings),
                    SectionKind::Group => {}
                }
                lint_listed(engine, section, &mut findings);
            }
        }
        findings
    }
}

fn lint_lines(section: &Section, version: HaproxyVersion, findings: &mut Vec<Finding>) {
    for line in section.lines() {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        if let Some(what) = problem(section.kind(), &words, version) {
            findings.push(Finding::of_line(section, line, what));
        }
    }
}

/// What is wrong with a line.
fn problem(section: SectionKind, words: &[&str], version: HaproxyVersion) -> Option<String> {
    let (_, known) = KEYWORDS.iter().find(|(kind, _)| *kind == section)?;
    let is_past = version.has_mode_spop();
    let forgotten = |what: &str| format!("`{what}` is for HAProxy up to 3.0, {version} ignores it");
    match *words {
        [word, ..] if !known.contains(&word) => Some(format!("unknown keyword `{word}`")),
        ["option", word, ..] | ["no", "option", word, ..] if OPTIONS.contains(&word) => {
            let is_forgotten = is_past && OPTIONS_UP_TO_3_0.contains(&word);
            is_forgotten.then(|| forgotten(&format!("option {word}")))
        }
        ["option", word, ref rest @ ..] if OPTIONS_WITH_VALUE.contains(&word) => {
            (rest.len() != 1).then(|| format!("`option {word}` wants one word more"))
        }
        ["option", ref rest @ ..] | ["no", ref rest @ ..] if *rest != ["log"] => {
            Some(format!("unknown option `{}`", rest.join(" ")))
        }
        ["timeout", name, time] if TIMEOUTS.contains(&name) => parse_time(time)
            .is_none()
            .then(|| format!("`{time}` is no time: want a number with us, ms, s, m, h or d")),
        ["timeout", ..] => Some("want `timeout` with hello, idle or processing, and a time".into()),
        [word, ..] if is_past && UP_TO_3_0.contains(&word) => Some(forgotten(word)),
        ["event", event, ..] if !EVENTS.contains(&event) => Some(format!("unknown event `{event}`")),
        _ => None,
    }
}

fn lint_agent(agent: &Section, version: HaproxyVersion, findings: &mut Vec<Finding>) {
    let mut find = |what: String| findings.push(Finding::of_section(agent, what));
    if agent.values("use-backend").next().is_none() {
        find("no `use-backend`".into());
    }
    if agent.value("timeout", "processing").is_none() {
        find("no `timeout processing`: a request waits for an agent that hangs without end".into());
    }
    for name in ["hello", "idle"] {
        if !version.has_mode_spop() && agent.value("timeout", name).is_none() {
            find(format!("no `timeout {name}`, which HAProxy {version} warns about"));
        }
    }
    let prefix = agent.var_prefix();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    if !prefix.bytes().all(is_name) {
        find(format!(
            "`{prefix}` cannot be the prefix of variables: want `option var-prefix` with A-Z a-z 0-9 _ . alone"
        ));
    }
    for option in ["set-on-error", "set-process-time", "set-total-time"] {
        let name = agent.value("option", option).unwrap_or_default();
        if !name.bytes().all(is_name) {
            find(format!("`option {option} {name}`: a variable's name has A-Z a-z 0-9 _ . alone"));
        }
    }
}

fn lint_message(engine: &Engine, message: &Section, findings: &mut Vec<Finding>) {
    let mut find = |what: String| findings.push(Finding::of_section(message, what));
    if !engine.sent().any(|name| name == message.name()) {
        find("no agent and no group lists it: HAProxy never sends it".into());
    }
    let in_group = engine.sections().iter().any(|section| {
        section.kind() == SectionKind::Group && section.values("messages").any(|name| name == message.name())
    });
    if !in_group && message.values("event").next().is_none() {
        find("no `event`: HAProxy never sends it".into());
    }
    let names: Vec<&str> = message.arg_names().filter(|name| !name.is_empty()).collect();
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            find(format!("two arguments are called `{name}`"));
        }
    }
    if message.arg_names().count() > 255 {
        find("more than 255 arguments: their count wraps on the wire".into());
    }
}

/// The messages that an agent or group lists are there, once.
fn lint_listed(engine: &Engine, section: &Section, findings: &mut Vec<Finding>) {
    if section.kind() == SectionKind::Message {
        return;
    }
    for name in section.values("messages") {
        if engine.message(name).is_none() {
            findings.push(Finding::of_section(section, format!("there is no spoe-message {name}")));
        }
    }
    let is_group =
        |name: &str| engine.sections().iter().any(|s| s.kind() == SectionKind::Group && s.name() == name);
    for name in section.values("groups").filter(|name| !is_group(name)) {
        findings.push(Finding::of_section(section, format!("there is no spoe-group {name}")));
    }
}
