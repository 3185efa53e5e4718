//! Log events and spans, gone without the feature `tracing`. None prints what a client sent: of a NOTIFY there are the
//! ids and the names of the messages, which stand in HAProxy's configuration.

use std::fmt::{self, Write};

/// A line for each request, for who looks for one.
macro_rules! trace {
    ($($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::trace!($($event)+);
        #[cfg(not(feature = "tracing"))]
        $crate::log::unused!($($event)+);
    }};
}

/// Logs at debug: what is part of the day's work, such as HAProxy closing an idle connection.
macro_rules! debug {
    ($($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::debug!($($event)+);
        #[cfg(not(feature = "tracing"))]
        $crate::log::unused!($($event)+);
    }};
}

/// Logs at info: what whoever starts or stops an agent waits for.
macro_rules! info {
    ($($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::info!($($event)+);
        #[cfg(not(feature = "tracing"))]
        $crate::log::unused!($($event)+);
    }};
}

/// Logs at warn: what somebody should look at.
macro_rules! warning {
    ($($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::warn!($($event)+);
        #[cfg(not(feature = "tracing"))]
        $crate::log::unused!($($event)+);
    }};
}

/// As `warning!`, once a second for each [`Limit`]; what is too often for that goes to debug, and the next warning says
/// how many that were.
macro_rules! limited_warning {
    ($limit:expr, $($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        match $limit.pass() {
            Some(suppressed) => tracing::warn!(suppressed, $($event)+),
            None => tracing::debug!($($event)+),
        }
        #[cfg(not(feature = "tracing"))]
        {
            let _ = &$limit;
            $crate::log::unused!($($event)+);
        }
    }};
}

/// Takes the fields of an event for used, and does nothing.
#[cfg(not(feature = "tracing"))]
macro_rules! unused {
    ($message:literal) => {};
    ($name:ident = $($rest:tt)+) => {
        $crate::log::unused!($($rest)+);
    };
    (parent: $($rest:tt)+) => {
        $crate::log::unused!($($rest)+);
    };
    (% $($rest:tt)+) => {
        $crate::log::unused!($($rest)+);
    };
    (? $($rest:tt)+) => {
        $crate::log::unused!($($rest)+);
    };
    ($value:expr, $($rest:tt)+) => {
        let _ = &$value;
        $crate::log::unused!($($rest)+);
    };
}

#[cfg(not(feature = "tracing"))]
pub(crate) use unused;
pub(crate) use {debug, info, limited_warning, trace, warning};

pub(crate) use self::spans::{
    Instrument, Limit, Span, connection_span, display, request_span, set_engine_id,
};

#[cfg_attr(not(feature = "tracing"), path = "log/no_spans.rs")]
mod spans;

/// A name that a peer has sent: as much as a name needs, and nothing that could be taken for the end of a line.
pub(crate) struct Name<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 64;
        let (shown, more) = self.0.split_at(self.0.len().min(MAX));
        write!(f, "{}{}", shown.escape_ascii(), if more.is_empty() { "" } else { "..." })
    }
}

/// What is wrong, in the words of a handler or with names that a peer has sent: one line, of no more than a screenful.
pub(crate) struct Line<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Line<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = OneLine { out: f, left: 1000 };
        match write!(line, "{}", self.0) {
            Err(_) if line.left == 0 => f.write_str("..."),
            result => result,
        }
    }
}

struct OneLine<'a, 'f> {
    out: &'a mut fmt::Formatter<'f>,
    left: usize,
}

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            if char.is_control() {
                write!(self.out, "{}", char.escape_default())?;
            } else {
                self.out.write_char(char)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_of_one_line() {
        assert_eq!(Name(b"check-client-ip").to_string(), "check-client-ip");
        assert_eq!(Name(b"a\nb\x1b\xff").to_string(), r"a\nb\x1b\xff");
        assert_eq!(Name(&[b'x'; 65]).to_string(), format!("{}...", "x".repeat(64)));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line_that_ends() {
        assert_eq!(Line("it did not work: \u{e4}").to_string(), "it did not work: \u{e4}");
        assert_eq!(Line("a\nWARN b\u{1b}[m").to_string(), r"a\nWARN b\u{1b}[m");
        assert_eq!(Line("x".repeat(1000)).to_string().len(), 1000);
        assert_eq!(Line("x".repeat(1001)).to_string(), format!("{}...", "x".repeat(1000)));
    }
}
