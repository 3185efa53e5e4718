//! Log events, gone without the feature `tracing`. No event prints what a client sent.

/// Logs at debug: what is part of the day's work, such as HAProxy closing an idle connection.
macro_rules! debug {
    ($($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::debug!($($event)+);
        #[cfg(not(feature = "tracing"))]
        let _ = format_args!($($event)+);
    }};
}

/// Logs at warn: what somebody should look at.
macro_rules! warning {
    ($($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        tracing::warn!($($event)+);
        #[cfg(not(feature = "tracing"))]
        let _ = format_args!($($event)+);
    }};
}

pub(crate) use {debug, warning};
