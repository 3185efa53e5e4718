//! The end of a connection that the agent wants.
//!
//! A goodbye that HAProxy's next request crosses on its way fails that request. It crosses none if it follows the answer to
//! the only request that HAProxy has waiting, in the same write: HAProxy handles both at once. So HAProxy from 3.1 is asked to
//! send one request at a time, and given time to read that; from then on the next answer takes the goodbye with it. A
//! connection without requests says goodbye by itself once it has been quiet for a while.

use std::future::Future;
use std::mem;
use std::task::Context;

use spop::{Actions, Phase, Status};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Duration, Instant};

use super::{Driver, Fault, LINGER};
use crate::server::timers::Timer;
use crate::{BoxError, Error, Request};

/// How long HAProxy has to read that it is to send one request at a time. It takes a millisecond, unless the machine is overloaded.
const SETTLE: Duration = Duration::from_millis(100);
/// A connection without a request for that long is quiet: it is not worth the memory that bursts took, and most likely none
/// comes at the very moment it is closed. HAProxy goes on with the connection it has used last, so busy ones are not quiet.
const QUIET: Duration = Duration::from_secs(1);

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    /// It is not in sight.
    No,
    /// HAProxy is asked to send one request at a time; that is in `out`.
    Asked,
    /// It is given time to read that.
    Settling,
    /// The next answer, or the last one that is due, takes the goodbye with it.
    Last,
    /// The time is over: what was left has its fallback.
    Cut,
}

impl<Io, C, F, E> Driver<'_, Io, C, F>
where
    Io: AsyncRead + AsyncWrite + Unpin,
    C: Fn(Request) -> F,
    F: Future<Output = Result<Actions, E>>,
    E: Into<BoxError>,
{
    /// Begins the end, which must have come by `deadline`.
    pub(super) fn begin_drain(&mut self, deadline: Instant) {
        if self.drain != Drain::No {
            return;
        }
        self.timers.set(Timer::Deadline, deadline);
        let idle = self.connection.in_flight() == 0 && self.input.is_empty();
        if idle && self.is_quiet() && self.connection.phase() == Phase::Running {
            self.drain = Drain::Last;
            self.connection.drain(&mut self.out);
        } else if self.connection.stop_pipelining(&mut self.out) {
            self.drain = Drain::Asked;
        } else {
            self.drain_with_next_answer();
        }
    }

    /// `out` is sent.
    pub(super) fn all_is_sent(&mut self) {
        if self.drain == Drain::Asked {
            self.drain = Drain::Settling;
            self.timers.set(Timer::Settle, Instant::now() + SETTLE);
        }
    }

    pub(super) fn drain_with_next_answer(&mut self) {
        self.drain = Drain::Last;
        if self.connection.in_flight() > 0 {
            self.connection.drain(&mut self.out);
        } else {
            self.busy = false;
            self.timers.set(Timer::Quiet, Instant::now() + QUIET);
        }
    }

    /// A request has come.
    pub(super) fn drain_with_this_answer(&mut self) {
        if self.drain == Drain::Last {
            self.connection.drain(&mut self.out);
        }
    }

    /// Something has come: the connection is not quiet for a while.
    pub(super) fn touch(&mut self) {
        self.busy = true;
        if self.is_quiet() {
            self.timers.set(Timer::Quiet, Instant::now() + QUIET);
        }
        self.put_idle_off();
    }

    /// Puts the end of the idle time off.
    pub(super) fn put_idle_off(&mut self) {
        if let Some(idle) = self.config.idle_timeout {
            self.timers.set(Timer::Idle, Instant::now() + idle);
        }
    }

    fn is_quiet(&self) -> bool {
        !self.timers.is_set(Timer::Quiet)
    }

    /// Time has passed since something came.
    pub(super) fn look_for_quiet(&mut self) {
        if mem::take(&mut self.busy) {
            self.timers.set(Timer::Quiet, Instant::now() + QUIET);
            return;
        }
        self.shrink();
        if self.drain != Drain::No {
            self.connection.drain(&mut self.out);
        }
    }

    /// The time is over: what is at work gets the fallback, as HAProxy would wait for it or fail.
    pub(super) fn cut_off(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        if mem::replace(&mut self.drain, Drain::Cut) == Drain::Cut {
            self.out.clear();
            return Err(Fault::Peer(Error::timeout("the peer did not read its last answers in time")));
        }
        self.timers.set(Timer::Deadline, Instant::now() + LINGER);
        self.handlers.close();
        self.poll_handlers(cx);
        self.take_input(cx).map_err(Fault::Peer)?;
        self.connection.disconnect(Status::NORMAL, "", &mut self.out);
        Ok(())
    }
}
