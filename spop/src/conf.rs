//! SPOE's configuration file (SPOE.txt section 2): read, printed and checked.
//!
//! ```
//! use spop::conf::{Conf, HaproxyVersion};
//!
//! let conf = Conf::parse(
//!     "[ip-reputation]\n\
//!      spoe-agent ip-reputation\n    \
//!          messages check-client-ip\n    \
//!          option var-prefix iprep\n    \
//!          timeout processing 500ms\n    \
//!          use-backend agents\n\
//!      spoe-message check-client-ip\n    \
//!          args ip=src\n    \
//!          event on-client-session\n",
//! )?;
//! let engine = conf.engine("ip-reputation").unwrap();
//! let agent = engine.agents().next().unwrap();
//! assert_eq!(agent.var_prefix(), "iprep");
//! let message = engine.message("check-client-ip").unwrap();
//! assert_eq!(message.arg_names().collect::<Vec<_>>(), ["ip"]);
//! assert!(conf.lint(HaproxyVersion::new(3, 4)).is_empty());
//! // Up to 3.0 HAProxy wants two more timeouts.
//! let findings = conf.lint(HaproxyVersion::new(2, 6));
//! assert_eq!(findings[0].to_string(), "line 2: agent ip-reputation: no `timeout hello`, which HAProxy 2.6 warns about");
//! # Ok::<(), spop::conf::ConfError>(())
//! ```
//!
//! A file has sections `spoe-agent`, `spoe-message` and `spoe-group`, each a list of lines, and `[scopes]`, which are
//! called engines here: the `engine` of a `filter spoe` line takes the sections behind its name alone. What a line says
//! is kept in words, whether it makes sense or not; comments and blank lines are not kept.

mod lint;
mod words;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub use lint::{Finding, HaproxyVersion};

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conf {
    engines: Vec<Engine>,
}

/// What stands behind a `[scope]`, or before the first one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Engine {
    name: Option<String>,
    sections: Vec<Section>,
}

/// What a section describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// `spoe-agent`
    Agent,
    /// `spoe-message`
    Message,
    /// `spoe-group`
    Group,
}

/// A section: its name, and its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    kind: SectionKind,
    name: String,
    line: usize,
    lines: Vec<Line>,
}

/// A line of a section, in words: without quotes, escapes and comments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1; 0 for one that is in no file.
    pub number: usize,
    /// Its words, at least one.
    pub words: Vec<String>,
}

/// A file that is not SPOE's configuration: what is wrong, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfError {
    line: usize,
    what: ConfErrorKind,
}

/// What is wrong with a file.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfErrorKind {
    /// A quote is not closed by the end of its line.
    OpenQuote,
    /// A `[scope]` without a name or without its bracket.
    Scope,
    /// A section without a name, or with more than one.
    SectionName,
    /// A line before the first section.
    NoSection,
}

impl Conf {
    /// Reads a file.
    ///
    /// # Errors
    /// If it has no shape; what its lines say is [`lint`](Self::lint)'s.
    pub fn parse(text: &str) -> Result<Self, ConfError> {
        let mut engines = Vec::new();
        let mut engine = Engine::default();
        for (number, line) in (1..).zip(text.lines()) {
            let error = |what| ConfError { line: number, what };
            let words = words::split(line).map_err(|()| error(ConfErrorKind::OpenQuote))?;
            let Some(first) = words.first() else { continue };
            if let Some(name) = first.strip_prefix('[') {
                let name = name.strip_suffix(']').filter(|name| !name.is_empty() && words.len() == 1);
                let name = name.ok_or_else(|| error(ConfErrorKind::Scope))?;
                let next = Engine { name: Some(name.into()), sections: Vec::new() };
                engines.push(core::mem::replace(&mut engine, next));
            } else if let Some(kind) = SectionKind::of_keyword(first) {
                let [_, name] = &words[..] else { return Err(error(ConfErrorKind::SectionName)) };
                let name = name.clone();
                engine.sections.push(Section { kind, name, line: number, lines: Vec::new() });
            } else {
                let section = engine.sections.last_mut().ok_or_else(|| error(ConfErrorKind::NoSection))?;
                section.lines.push(Line { number, words });
            }
        }
        engines.push(engine);
        engines.retain(|engine| engine.name.is_some() || !engine.sections.is_empty());
        Ok(Self { engines })
    }

    /// A file of these engines.
    pub fn new(engines: impl IntoIterator<Item = Engine>) -> Self {
        Self { engines: engines.into_iter().collect() }
    }

    /// The engines, in order.
    pub fn engines(&self) -> &[Engine] {
        &self.engines
    }

    /// The engine that `filter spoe engine NAME` takes.
    pub fn engine(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|engine| engine.name.as_deref() == Some(name))
    }
}

impl Engine {
    /// An engine without sections.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), sections: Vec::new() }
    }

    /// The same with one more section.
    #[must_use]
    pub fn section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// Its name; `None` for sections that stand before the first `[scope]`.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its sections, in order.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Its sections `spoe-agent`: one, in a file that HAProxy takes.
    pub fn agents(&self) -> impl Iterator<Item = &Section> {
        self.of_kind(SectionKind::Agent)
    }

    /// Its sections `spoe-message`.
    pub fn messages(&self) -> impl Iterator<Item = &Section> {
        self.of_kind(SectionKind::Message)
    }

    /// The message of this name.
    pub fn message(&self, name: &str) -> Option<&Section> {
        self.messages().find(|message| message.name == name)
    }

    /// The names of the messages that HAProxy sends: those that an agent or one of its groups lists.
    pub fn sent(&self) -> impl Iterator<Item = &str> {
        let groups = self.of_kind(SectionKind::Group);
        self.agents().chain(groups).flat_map(|section| section.values("messages"))
    }

    fn of_kind(&self, kind: SectionKind) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(move |section| section.kind == kind)
    }
}

impl Section {
    /// A section without lines.
    pub fn new(kind: SectionKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into(), line: 0, lines: Vec::new() }
    }

    /// The same with one more line, of these words.
    #[must_use]
    pub fn line(mut self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        if !words.is_empty() {
            self.lines.push(Line { number: 0, words });
        }
        self
    }

    /// What it describes.
    pub fn kind(&self) -> SectionKind {
        self.kind
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it starts in the file, from 1; 0 for one that is in no file.
    pub fn number(&self) -> usize {
        self.line
    }

    /// Its lines, in order.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The words behind `keyword`, of all lines that start with it.
    pub fn values<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.lines.iter().filter(move |line| line.words[0] == keyword);
        lines.flat_map(|line| line.words[1..].iter().map(String::as_str))
    }

    /// The word behind the two words `keyword` and `name`, of the last line that starts with them: `timeout processing
    /// 1s`.
    pub fn value(&self, keyword: &str, name: &str) -> Option<&str> {
        let mut lines = self.lines.iter().rev();
        let line = lines.find(|line| matches!(&line.words[..], [a, b, ..] if a == keyword && b == name))?;
        line.words.get(2).map(String::as_str)
    }

    /// Of an agent: what HAProxy puts before the names of its variables, by default its name.
    pub fn var_prefix(&self) -> &str {
        self.value("option", "var-prefix").unwrap_or(&self.name)
    }

    /// Of an agent: a timeout, `hello`, `idle` or `processing`; `None` if it has none that HAProxy can read.
    pub fn timeout(&self, name: &str) -> Option<Duration> {
        self.value("timeout", name).and_then(parse_time)
    }

    /// Of a message: the names of its arguments, in order; empty ones for those without a name.
    pub fn arg_names(&self) -> impl Iterator<Item = &str> {
        self.values("args").map(|arg| arg.split_once('=').map_or("", |(name, _)| name))
    }
}

/// A time of HAProxy's: a number with `us`, `ms`, `s`, `m`, `h` or `d`, by default milliseconds.
fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "us" => Duration::from_micros(number),
        "" | "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(60 * 60)?),
        "d" => Duration::from_secs(number.checked_mul(24 * 60 * 60)?),
        _ => return None,
    })
}

impl SectionKind {
    const ALL: [Self; 3] = [Self::Agent, Self::Message, Self::Group];

    /// The word that starts such a section.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Agent => "spoe-agent",
            Self::Message => "spoe-message",
            Self::Group => "spoe-group",
        }
    }

    fn of_keyword(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.keyword() == word)
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Message => "message",
            Self::Group => "group",
        }
    }
}

/// As HAProxy reads it; read again it is the same but for the numbers of the lines.
impl fmt::Display for Conf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, engine) in self.engines.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            engine.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            writeln!(f, "{}", words::quote(&format!("[{name}]")))?;
        }
        for (index, section) in self.sections.iter().enumerate() {
            if index > 0 || self.name.is_some() {
                f.write_str("\n")?;
            }
            section.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.kind.keyword(), words::quote(&self.name))?;
        for line in &self.lines {
            f.write_str("   ")?;
            line.words.iter().try_for_each(|word| write!(f, " {}", words::quote(word)))?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

impl core::str::FromStr for Conf {
    type Err = ConfError;

    fn from_str(text: &str) -> Result<Self, ConfError> {
        Self::parse(text)
    }
}

impl ConfError {
    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// What is wrong with it.
    pub fn kind(&self) -> ConfErrorKind {
        self.what
    }
}

impl fmt::Display for ConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            ConfErrorKind::OpenQuote => "a quote is not closed",
            ConfErrorKind::Scope => "want [ENGINE], alone in its line",
            ConfErrorKind::SectionName => "want one name for the section",
            ConfErrorKind::NoSection => "want spoe-agent, spoe-message or spoe-group before this",
        };
        write!(f, "line {}: {what}", self.line)
    }
}

impl core::error::Error for ConfError {}

#[cfg(test)]
mod tests;
