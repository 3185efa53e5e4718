//! Holds an agent against SPOE.txt and against what HAProxy does: the library behind `spop-check`.
//!
//! A [`Case`] is a [`Script`], what is sent and what must come back, and the rule it rests on. [`cases`] has all of
//! them; tests can write scripts of their own.
//!
//! ```no_run
//! use testbed::check::{self, Case, Outcome, Probe, Target};
//!
//! let target = Target::new("127.0.0.1:12345");
//! for case in check::cases(&Probe::default()) {
//!     println!("{}: {:?}", case.name, case.run(&target));
//! }
//! // An agent must take the stream-id 0, with which HAProxy up to 3.0 starts.
//! let script = Probe::default().connected().ask(0, 1);
//! assert_eq!(Case::must("stream-id 0", "SPOE.txt 3.2.7", script).run(&target), Outcome::Passed);
//! ```

mod cases;
mod hello;
mod judge;
mod link;
mod play;
mod script;
pub mod wire;

use std::time::Duration;
use std::{fmt, io};

pub use hello::Hello;
use link::Link;
pub use script::{Need, Probe, Script};

/// The agent to check.
#[derive(Clone, Debug)]
pub struct Target {
    address: String,
    timeout: Duration,
}

impl Target {
    /// An agent at `HOST:PORT` or `unix:PATH` that does within 2 s what it must.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), timeout: Duration::from_secs(2) }
    }

    /// How long to wait for each thing that must come.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Tries whether somebody listens there.
    ///
    /// # Errors
    /// Why nobody can be reached.
    pub fn connect(&self) -> io::Result<()> {
        Link::connect(&self.address, self.timeout).map(drop)
    }
}

/// How much a rule matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// HAProxy never does this, or does not mind, but somebody will: a scanner, a broken peer, the next version.
    Should,
    /// SPOE.txt demands it, or a HAProxy that is in use suffers without it.
    Must,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Should => "SHOULD",
            Self::Must => "MUST",
        })
    }
}

/// Something that an agent can do right or wrong.
#[derive(Clone, Debug)]
pub struct Case {
    /// `GROUP/NAME`.
    pub name: String,
    /// What it rests on: a section of SPOE.txt, or which HAProxy does this.
    pub basis: &'static str,
    /// How much it matters. Parts of what is wanted may matter less.
    pub level: Level,
    script: Script,
}

impl Case {
    /// Something that an agent must do.
    pub fn must(name: impl Into<String>, basis: &'static str, script: Script) -> Self {
        Self { name: name.into(), basis, level: Level::Must, script }
    }

    /// Something that an agent should do.
    pub fn should(name: impl Into<String>, basis: &'static str, script: Script) -> Self {
        Self { name: name.into(), basis, level: Level::Should, script }
    }

    /// Plays the case, over connections of its own. Blocks, and for a bounded time only.
    pub fn run(&self, target: &Target) -> Outcome {
        play::run(&self.script, self.level, target)
    }
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// What was wanted and what came, and how much it matters.
    Failed(Level, String),
    /// It makes no sense with this agent, for this reason.
    NotApplicable(&'static str),
}

/// All cases, with `probe` as the message to ask.
pub fn cases(probe: &Probe) -> Vec<Case> {
    cases::all(probe)
}
