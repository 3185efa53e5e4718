//! The agent's connection against a model of HAProxy from 3.1, in random schedules, with a clock of its own.
//!
//! **What is modelled.** HAProxy (`haproxy.rs`) works in rounds: it polls; then, in random order, reads and processes
//! each connection that was readable, gives up requests whose time is over or whose client has left, without a word,
//! and starts new ones. Its buffer has `tune.bufsize` bytes: a read that fills it wedges the connection for good. The
//! agent (`agent.rs`) follows the steps that `spop::agent::Connection` documents, and shares what it knows between
//! its connections as a server does. Bytes take their time and arrive in pieces; either side is stopped for 60 to 300
//! ms now and then, in the middle of a round or a turn, too.
//!
//! **What is taken for granted**, as no agent could tell: HAProxy is not stopped while a NOTIFY and an answer cross.
//! They do if the NOTIFY is sent while an answer is under way or unread, or after one was given up that is still to
//! be answered; until that NOTIFY has come and all that the agent sent before is read. (If it is, one schedule in 70
//! wedges a connection, nearly always one in which the agent is stopped at the same time.) Between two stops HAProxy
//! runs for 50 ms. What is sent in one write arrives in pieces of 128 bytes at least. A HAProxy that does not honour a
//! second AGENT-HELLO, which no version is known for, loses requests after one, and is not stopped.
//!
//! **What holds** (`properties.rs`): no connection is ever wedged; no NOTIFY gets two ACKs, or an ACK a NOTIFY that
//! was never sent; a drain ends by its deadline, two seconds later at most, and one that ends because all is answered
//! loses nothing; memory is bounded; nothing asks to be called in the past. An answer takes 30 ms at most in addition
//! to its handler and to stops, of which [`read_grace`](spop::agent::Config::read_grace) is 5 ms, on each connection
//! without pipelining, and with pipelining if the answers are short. Where long answers come upon a connection that
//! has many requests waiting, until HAProxy has read that it is to send one at a time, some come too late: that is 3
//! in 100 in these schedules, each of which is little else than such a start.
//!
//! A schedule is drawn from its seed: `SIMULATION_SEED=7 cargo test -p spop --test simulation` repeats one, with
//! `SIMULATION_TRACE=3` it prints what happens on its connection 3. For a million of them:
//!
//! ```text
//! SIMULATION_SEEDS=1000000 cargo test --release -p spop --test simulation -- --nocapture
//! ```

mod agent;
mod conn;
mod haproxy;
mod pipe;
mod properties;
mod rules;
mod schedule;
mod world;

use std::sync::OnceLock;

use self::rules::Rule;
use self::schedule::{Schedule, Time};
use self::world::Outcome;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Prints what happens on the connection `SIMULATION_TRACE`.
fn trace(conn: usize, now: Time, what: impl FnOnce() -> String) {
    static TRACED: OnceLock<Option<u64>> = OnceLock::new();
    if let Some(traced) = TRACED.get_or_init(|| number("SIMULATION_TRACE"))
        && (conn == usize::MAX || conn as u64 == *traced)
    {
        eprintln!("{now} us: {}", what());
    }
}

/// How much of the time between two moments a side was stopped.
fn pauses(pauses: &[(Time, Time)], from: Time, to: Time) -> Time {
    pauses.iter().map(|pause| pause.1.min(to).saturating_sub(pause.0.max(from))).sum()
}

#[test]
fn the_core_holds_in_every_schedule() {
    let one = number("SIMULATION_SEED");
    let seeds = one.map_or(0..number("SIMULATION_SEEDS").unwrap_or(2000), |seed| seed..seed + 1);
    let (mut total, mut failures) = (Outcome::default(), 0);
    for seed in seeds {
        match world::run(seed, |_| Rule::Core) {
            Ok(Outcome { answered, late }) => {
                total.answered += answered;
                total.late += late;
            }
            Err(failure) => {
                println!("{failure}");
                failures += 1;
            }
        }
    }
    let Outcome { answered, late } = total;
    println!("{answered} requests were answered, and {late} too late");
    assert!(failures == 0, "{failures} schedules failed");
    assert!(one.is_some() || late * 25 < answered, "{late} of {answered} requests were answered too late");
}

/// The number of schedules, of 100, in which `rule` wedges a connection.
fn wedges(rule: fn(&Schedule) -> Rule) -> usize {
    let failures = (0..100).filter_map(|seed| world::run(seed, rule).err());
    failures.filter(|failure| failure.contains("is wedged")).count()
}

#[test]
fn sending_everything_at_once_is_found() {
    let found = wedges(|_| Rule::none());
    assert!(found > 10, "only {found} of 100 schedules find it");
}

#[test]
fn the_rule_of_twenty_less_those_in_flight_is_found() {
    let found = wedges(|schedule| Rule::twenty_less_in_flight(schedule.bufsize));
    assert!(found > 10, "only {found} of 100 schedules find it");
}

#[test]
fn a_grace_of_nothing_is_found() {
    let found = wedges(|_| Rule::NoGrace);
    assert!(found > 10, "only {found} of 100 schedules find it");
}
