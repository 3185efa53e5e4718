//! The spans, and what keeps the log short.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};
pub(crate) use tracing::field::display;
pub(crate) use tracing::{Instrument, Span};
use tracing::{debug_span, field, warn_span};

use super::Name;
use crate::Request;
use crate::service::Peer;

/// What happens on a connection happens in this span. It is there for whoever sees warnings, as they are nothing
/// without it.
pub(crate) fn connection_span(peer: &Peer) -> Span {
    warn_span!("connection", %peer, engine_id = field::Empty)
}

/// The HELLO has said which engine it is: a UUID.
pub(crate) fn set_engine_id(span: &Span, engine_id: Option<&[u8]>) {
    if let Some(id) = engine_id {
        span.record("engine_id", field::display(Name(id)));
    }
}

/// What a handler does happens in this span. It costs a comparison where nobody wants debug.
#[inline]
pub(crate) fn request_span(request: &Request) -> Span {
    let id = request.id();
    debug_span!("request", stream_id = id.stream_id, frame_id = id.frame_id, messages = %Names(request))
}

/// The names of a request's messages.
struct Names<'a>(&'a Request);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX: usize = 8;
        for (index, message) in self.0.messages().enumerate() {
            match index {
                0 => write!(f, "{}", Name(message.name().as_bytes()))?,
                MAX => return f.write_str(",..."),
                _ => write!(f, ",{}", Name(message.name().as_bytes()))?,
            }
        }
        Ok(())
    }
}

/// Lets one event a second pass.
#[derive(Debug, Default)]
pub(crate) struct Limit(Mutex<Passed>);

#[derive(Debug, Default)]
struct Passed {
    last: Option<Instant>,
    /// How many were suppressed since.
    suppressed: u64,
}

impl Limit {
    const PAUSE: Duration = Duration::from_secs(1);

    /// Returns `None` if this one is suppressed; else how many were since the last one that was not, if any.
    pub(crate) fn pass(&self) -> Option<Option<u64>> {
        let now = Instant::now();
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.last.is_some_and(|last| now < last + Self::PAUSE) {
            passed.suppressed += 1;
            return None;
        }
        passed.last = Some(now);
        let suppressed = std::mem::take(&mut passed.suppressed);
        Some((suppressed > 0).then_some(suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_a_second_passes_and_tells_how_many_did_not() {
        let limit = Limit::default();
        assert_eq!(limit.pass(), Some(None));
        for _ in 0..1000 {
            assert_eq!(limit.pass(), None);
        }
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(limit.pass(), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(limit.pass(), Some(Some(1001)));
        tokio::time::advance(Limit::PAUSE).await;
        assert_eq!(limit.pass(), Some(None));
    }
}
