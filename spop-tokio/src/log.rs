//! Log events and spans, gone without the feature `tracing`. None prints what a client sent: of a NOTIFY there are the ids and the
//! names of the messages, which HAProxy's configuration gives.

use std::fmt;

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

/// Logs at warn: what somebody should look at.
macro_rules! warning {
    ($($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::warn!($($event)+);
        #[cfg(not(feature = "tracing"))]
        $crate::log::unused!($($event)+);
    }};
}

/// As `warning!`, once a second for each [`Limit`]; what is too often for that goes to debug, and the next warning says how many
/// that were.
macro_rules! limited_warning {
    ($limit:expr, $($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        match $limit.pass() {
            Some(passed_over) => tracing::warn!(passed_over, $($event)+),
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
pub(crate) use {debug, limited_warning, trace, warning};

#[cfg(not(feature = "tracing"))]
pub(crate) use self::off::{Instrument, Limit, Span, connection_span, request_span, set_engine_id};
#[cfg(feature = "tracing")]
pub(crate) use self::on::{Limit, connection_span, request_span, set_engine_id};
#[cfg(feature = "tracing")]
pub(crate) use tracing::{Instrument, Span};

#[cfg(feature = "tracing")]
#[path = "log/on.rs"]
mod on;

#[cfg(not(feature = "tracing"))]
#[path = "log/off.rs"]
mod off;

/// A name that a peer has sent: as much as a name needs, and nothing that could be taken for the end of a line.
pub(crate) struct Name<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 64;
        let (shown, more) = self.0.split_at(self.0.len().min(MAX));
        write!(f, "{}{}", shown.escape_ascii(), if more.is_empty() { "" } else { "..." })
    }
}
