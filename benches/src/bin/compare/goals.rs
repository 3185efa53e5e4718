//! What the library is held to, and whether it is reached.

use std::fmt;

use benches::cases::Who;

use crate::agent::{FEED_FLUSH, LIMIT, OURS};
use crate::figures::Figures;
use crate::parts::{agents, codec, growth, haproxy, idle};
use crate::table::{Table, cell, three_digits};

/// A bound on a result.
pub(crate) struct Goal {
    what: String,
    bound: Bound,
    /// `None` if it was not measured.
    reached: Option<f64>,
}

#[derive(Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

impl Goal {
    fn is_met(&self) -> Option<bool> {
        self.reached.map(|reached| match self.bound {
            AtMost(bound) => reached <= bound,
            AtLeast(bound) => reached >= bound,
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtMost(bound) => write!(f, "at most {bound}"),
            AtLeast(bound) => write!(f, "at least {bound}"),
        }
    }
}

/// All goals that have a bound.
fn goals(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    codec_goals(figures, &mut goals);
    agent_goals(figures, &mut goals);
    for (clients, bound) in [(50, 12.0), (200, 15.0)] {
        let what = format!("behind HAProxy, a handler of 10 ms, {clients} clients: p50 in ms");
        let worst = haproxy::worst(figures, clients);
        goals.push(Goal { what, bound: AtMost(bound), reached: worst.map(|worst| worst.0) });
        let what = format!("behind HAProxy, a handler of 10 ms, {clients} clients: SPOE errors");
        goals.push(Goal { what, bound: AtMost(0.0), reached: worst.map(|worst| worst.1) });
    }
    let [frames, string] = growth::growth(figures);
    let what = "instructions per frame, bursts of 256 / bursts of 4".into();
    goals.push(Goal { what, bound: AtMost(1.1), reached: frames });
    let what = "instructions to decode, a string of 15,000 bytes / of 4000".into();
    goals.push(Goal { what, bound: AtMost(1.1), reached: string });
    for (quantity, when) in [(idle::FRESH, "after the HELLO"), (idle::USED, "after a burst")] {
        let reached = figures.part(idle::PART.name).median(idle::CASE, OURS.key, quantity);
        let what = format!("KiB per idle connection, {when}");
        goals.push(Goal { what, bound: AtMost(6.0), reached: reached.map(|bytes| bytes / 1024.0) });
    }
    goals
}

fn codec_goals(figures: &Figures, goals: &mut Vec<Goal>) {
    let figures = figures.part(codec::PART.name);
    let mut goal = |case: &str, slow: Who, fast: Who, bound| {
        let reached = figures.ratio(case, codec::NANOS, &slow.to_string(), &fast.to_string());
        let name = |who| match who {
            Who::Peer => "spop 0.13.1",
            Who::Limit => "limit",
            Who::OursInPlace => "spop in place",
            _ => "spop",
        };
        goals.push(Goal { what: format!("{case}, {} / {}", name(slow), name(fast)), bound, reached });
    };
    for (profile, times) in
        [("ip-reputation", None), ("log-request", Some(8.0)), ("check-request", Some(12.0))]
    {
        let case = format!("decode {profile}");
        goal(&case, Who::Ours, Who::Limit, AtMost(1.5));
        if let Some(times) = times {
            goal(&case, Who::Peer, Who::Ours, AtLeast(times));
        }
    }
    for ours in [Who::OursInPlace, Who::Ours] {
        goal("ack set-var", ours, Who::Limit, AtMost(1.5));
        goal("ack set-var", Who::Peer, ours, AtLeast(5.0));
    }
}

fn agent_goals(figures: &Figures, goals: &mut Vec<Goal>) {
    let figures = figures.part(agents::PART.name);
    for (case, limit, feed_flush) in [
        ("log-request 64x1", 0.9, None),
        ("log-request 8x16", 0.6, Some(1.5)),
        ("check-request 8x16", 0.6, Some(2.5)),
        ("log-request 64x64", 0.3, Some(1.5)),
    ] {
        let mut goal = |other: &str, name, bound| {
            let what = format!("{case}, spop-tokio / {name}");
            let reached = figures.ratio(case, agents::ACKS, OURS.key, other);
            goals.push(Goal { what, bound: AtLeast(bound), reached });
        };
        goal(LIMIT.key, "limit", limit);
        if let Some(bound) = feed_flush {
            goal(FEED_FLUSH.key, "feed and flush", bound);
        }
    }
}

/// Goals down; those that were not measured without a result.
pub(crate) fn table(figures: &Figures) -> String {
    let mut table = Table::new(["goal", "bound", "measured", ""]);
    for goal in goals(figures) {
        let verdict = match goal.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "",
        };
        let reached = cell(goal.reached, three_digits);
        table.row([goal.what.as_str(), &goal.bound.to_string(), &reached, verdict]);
    }
    table.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_missed_or_not_measured() {
        let mut figures = Figures::default();
        for (who, acks) in [("ours", 95.0), ("limit", 100.0)] {
            figures.add("agents", "log-request 64x1", who, "acks_per_cpu_second", acks);
            figures.add("agents", "log-request 8x16", who, "acks_per_cpu_second", acks * acks);
        }
        figures.add("agents", "log-request 8x16", "feed-flush", "acks_per_cpu_second", 9e3);
        let table = table(&figures);
        for row in [
            "| log-request 64x1, spop-tokio / limit | at least 0.9 | 0.950 | met |",
            "| log-request 8x16, spop-tokio / feed and flush | at least 1.5 | 1.00 | **missed** |",
            "| log-request 64x64, spop-tokio / limit | at least 0.3 | - |  |",
        ] {
            assert!(table.contains(row), "{table}");
        }
    }
}
