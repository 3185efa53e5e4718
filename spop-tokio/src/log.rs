//! Log events, gone without the feature `tracing`. No event prints what a client sent.

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
pub(crate) use {debug, warning};
