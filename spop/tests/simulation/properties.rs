//! What must hold, each a check with a name.

use std::fmt;

use spop::{Instant, NotifyId, State};

use super::schedule::{MS, Time};

/// What is wrong.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(what: String) -> Self {
        Self(what)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check(holds: bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure(what())) }
}

/// HAProxy never finds its buffer full (wire pitfall P1).
pub(crate) fn not_wedged(buffered: usize, bufsize: usize, conn: usize) -> Result<(), Failure> {
    check(buffered < bufsize, || format!("connection {conn} is wedged: {buffered} bytes in one go"))
}

/// An ACK belongs to a NOTIFY of its connection.
pub(crate) fn asked_for(request: Option<usize>, id: NotifyId, conn: usize) -> Result<usize, Failure> {
    request.ok_or_else(|| Failure(format!("connection {conn}: ACK to {id}, which was never sent")))
}

/// A NOTIFY gets one ACK.
pub(crate) fn first_answer(acked: bool, id: NotifyId, conn: usize) -> Result<(), Failure> {
    check(!acked, || format!("connection {conn}: second ACK to {id}"))
}

/// No NOTIFY is answered before it is sent.
pub(crate) fn was_sent(sent: Option<Time>, conn: usize) -> Result<Time, Failure> {
    sent.ok_or_else(|| Failure(format!("connection {conn}: an ACK before its NOTIFY")))
}

/// How long an answer may take in addition to its handler and to stops: see the documentation of this test.
const BOUND: Time = 30 * MS;

pub(crate) fn is_late(handler: Time, paused: Time, took: Time) -> bool {
    took > handler + paused + BOUND
}

/// A live request is answered in time.
pub(crate) fn in_time(handler: Time, paused: Time, took: Time, conn: usize) -> Result<(), Failure> {
    check(!is_late(handler, paused, took), || {
        format!("connection {conn}: no answer in {took} us, its handler took {handler} us, stops {paused} us")
    })
}

/// The connection does not ask to be called in the past.
pub(crate) fn no_busy_loop(wake: Option<Instant>, now: Instant, conn: usize) -> Result<(), Failure> {
    check(wake.is_none_or(|at| at > now), || {
        format!("connection {conn} wants to be called at {wake:?}: in the past")
    })
}

/// What a connection holds is bounded.
pub(crate) fn bounded(in_flight: usize, unsent: usize, input: usize, conn: usize) -> Result<(), Failure> {
    check(in_flight <= 64, || format!("connection {conn}: {in_flight} in flight"))?;
    check(unsent <= 320 * 1024 + 64 * 65_536, || format!("connection {conn}: {unsent} bytes unsent"))?;
    check(input <= 64 * 1024, || format!("connection {conn}: {input} bytes of input"))
}

/// A drain ends in time.
pub(crate) fn drained(state: State, late: bool, conn: usize) -> Result<(), Failure> {
    check(!late || state == State::Closed, || format!("connection {conn} is {state:?} after the drain"))
}

/// A connection that ends because it has answered everything loses nothing.
pub(crate) fn nothing_lost(excused: bool, conn: usize) -> Result<(), Failure> {
    check(excused, || format!("connection {conn}: a live request is lost at its end"))
}
