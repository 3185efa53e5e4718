//! The one error type: what was awaited or tried, and what was seen instead.

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// Why the testbed could not do what it was asked.
///
/// The text is meant to be read in a failed test, so it carries the output of the process concerned.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A program or file to test with is not there; the text says what was tried and what to install.
    Missing(String),
    /// HAProxy refused its configuration; the output is its own text.
    BadConfig {
        /// What `haproxy -c`, or the failed reload, printed.
        output: String,
    },
    /// Something awaited did not happen in time.
    Deadline {
        /// What was awaited.
        awaited: String,
        /// For how long.
        after: Duration,
        /// The last lines that were seen meanwhile; empty if there is nothing to show.
        seen: String,
    },
    /// A process ended, or closed its output, while something was still awaited from it.
    Ended {
        /// What was awaited.
        awaited: String,
        /// How the process ended, if that is known.
        status: Option<ExitStatus>,
        /// Its last lines of output.
        seen: String,
    },
    /// The peer closed or reset the connection before a complete HTTP response.
    Closed {
        /// The bytes of the response that did arrive: usually none.
        got: Vec<u8>,
    },
    /// The peer's bytes are not what was expected of it.
    Malformed(String),
    /// A command that was run to its end did not succeed.
    Command {
        /// The command.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Everything it printed.
        output: String,
    },
    /// The testbed was used wrongly, such as a placeholder without its address.
    Usage(String),
    /// The operating system said no.
    Io {
        /// What was tried.
        doing: String,
        /// What it answered.
        source: io::Error,
    },
}

impl Error {
    /// True if the peer closed or reset the connection instead of answering.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }

    /// True if a deadline passed.
    pub fn is_deadline(&self) -> bool {
        matches!(self, Self::Deadline { .. })
    }

    pub(crate) fn deadline(awaited: impl Into<String>, after: Duration) -> Self {
        Self::Deadline { awaited: awaited.into(), after, seen: String::new() }
    }

    pub(crate) fn ended(awaited: impl Into<String>) -> Self {
        Self::Ended { awaited: awaited.into(), status: None, seen: String::new() }
    }

    /// For `map_err`: adds what was being done to an I/O error.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(text) => f.write_str(text),
            Self::BadConfig { output } => write!(f, "HAProxy refused its configuration:\n{output}"),
            Self::Deadline { awaited, after, seen } => {
                write!(f, "after {after:?} still waiting for {awaited}{}", Seen(seen))
            }
            Self::Ended { awaited, status: Some(status), seen } => {
                write!(f, "ended ({status}) while waiting for {awaited}{}", Seen(seen))
            }
            Self::Ended { awaited, status: None, seen } => {
                write!(f, "output ended while waiting for {awaited}{}", Seen(seen))
            }
            Self::Closed { got } if got.is_empty() => f.write_str("connection closed without a response"),
            Self::Closed { got } => write!(f, "connection closed inside a response: {}", got.escape_ascii()),
            Self::Malformed(text) => write!(f, "malformed: {text}"),
            Self::Command { command, status, output } => write!(f, "{command}: {status}{}", Seen(output)),
            Self::Usage(text) => write!(f, "testbed used wrongly: {text}"),
            Self::Io { doing, source } => write!(f, "{doing}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// Output shown under a message, left out when there is none.
struct Seen<'a>(&'a str);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.trim_end();
        if text.is_empty() { Ok(()) } else { write!(f, "; last output:\n{text}") }
    }
}
