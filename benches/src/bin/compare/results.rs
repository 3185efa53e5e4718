//! The figures, their medians, and tables of them.

use std::fmt::{self, Write};

use benches::cases::{self, Who};
use benches::measure::{Measured, measure};
use serde_json::{Value, json};

use crate::agent::AGENTS;

/// A load.
pub(crate) struct Scenario {
    pub(crate) profile: &'static str,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
}

/// The loads, all closed loop.
pub(crate) const SCENARIOS: [Scenario; 4] = [
    Scenario { profile: "log-request", connections: 64, depth: 1 },
    Scenario { profile: "log-request", connections: 8, depth: 16 },
    Scenario { profile: "check-request", connections: 8, depth: 16 },
    Scenario { profile: "log-request", connections: 64, depth: 64 },
];

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", self.profile, self.connections, self.depth)
    }
}

/// ACKs per CPU second of each agent under each load, by round; and the codec.
pub(crate) struct Results {
    runs: Vec<(usize, &'static str, Vec<f64>)>,
    codec: Vec<Measured>,
}

impl Results {
    pub(crate) fn new() -> Self {
        Self { runs: Vec::new(), codec: Vec::new() }
    }

    pub(crate) fn add(&mut self, scenario: usize, agent: &'static str, acks: f64) {
        match self.runs.iter_mut().find(|run| (run.0, run.1) == (scenario, agent)) {
            Some((_, _, rounds)) => rounds.push(acks),
            None => self.runs.push((scenario, agent, vec![acks])),
        }
    }

    pub(crate) fn measure_codec(&mut self) {
        self.codec = cases::decode().into_iter().chain(cases::ack()).map(measure).collect();
    }

    fn rounds(&self, scenario: usize, agent: &str) -> &[f64] {
        let run = self.runs.iter().find(|run| (run.0, run.1) == (scenario, agent));
        run.map(|(_, _, rounds)| rounds.as_slice()).unwrap_or_default()
    }

    /// Median ACKs per CPU second.
    pub(crate) fn acks(&self, scenario: usize, agent: &str) -> f64 {
        median(self.rounds(scenario, agent).to_vec())
    }

    /// Median over the rounds of `agent / other`.
    fn ratio(&self, scenario: usize, agent: &str, other: &str) -> f64 {
        let rounds = self.rounds(scenario, agent).iter().zip(self.rounds(scenario, other));
        median(rounds.map(|(agent, other)| agent / other).collect())
    }

    /// Markdown: agents down, loads across; then our ratios.
    pub(crate) fn agents_table(&self) -> String {
        let mut table = "| ACKs per CPU second |".to_owned();
        for scenario in &SCENARIOS {
            let _ = write!(table, " {scenario} |");
        }
        table += "\n|---|---|---|---|---|\n";
        for agent in &AGENTS {
            row(&mut table, agent.title, |index| thousands(self.acks(index, agent.key)));
        }
        row(&mut table, "**spop-tokio / limit**", |index| ratio(self.ratio(index, "ours", "limit")));
        row(&mut table, "**spop-tokio / feed and flush**", |index| {
            ratio(self.ratio(index, "ours", "feed-flush"))
        });
        row(&mut table, "**spop-tokio / README's loop**", |index| ratio(self.ratio(index, "ours", "readme")));
        table
    }

    /// Markdown: one frame's decode and ACK.
    pub(crate) fn codec_table(&self) -> String {
        if self.codec.is_empty() {
            return String::new();
        }
        let mut table =
            "| CPU ns per frame | limit | spop | spop 0.13.1 | spop / limit | 0.13.1 / spop |\n".to_owned();
        table += "|---|---|---|---|---|---|\n";
        for measured in &self.codec {
            for (ours, how) in [(Who::Ours, ""), (Who::OursInPlace, ", in place")] {
                let Some(nanos) = measured.nanos(ours) else { continue };
                let of = |who| measured.nanos(who).unwrap_or(f64::NAN);
                let over = |slow, fast| ratio(measured.ratio(slow, fast).unwrap_or(f64::NAN));
                let _ = writeln!(
                    table,
                    "| {} {}{how} | {:.1} | {nanos:.1} | {:.0} | {} | {} |",
                    measured.group,
                    measured.name,
                    of(Who::Limit),
                    of(Who::Peer),
                    over(ours, Who::Limit),
                    over(Who::Peer, ours),
                );
            }
        }
        table
    }

    /// Every figure of every round.
    pub(crate) fn json(&self) -> Value {
        let runs: Vec<_> = self
            .runs
            .iter()
            .map(|(scenario, agent, rounds)| {
                let Scenario { profile, connections, depth } = SCENARIOS[*scenario];
                json!({
                    "profile": profile,
                    "connections": connections,
                    "depth": depth,
                    "agent": agent,
                    "acks_per_cpu_second": { "rounds": rounds, "median": median(rounds.clone()) },
                    "ratio_to_limit": self.ratio(*scenario, agent, "limit"),
                    "ratio_to_feed_flush": self.ratio(*scenario, agent, "feed-flush"),
                })
            })
            .collect();
        let codec: Vec<_> = self
            .codec
            .iter()
            .map(|measured| {
                let nanos = |who| measured.nanos(who);
                json!({
                    "what": format!("{} {}", measured.group, measured.name),
                    "nanos": {
                        "limit": nanos(Who::Limit),
                        "limit_2_pass": nanos(Who::LimitTwice),
                        "ours": nanos(Who::Ours),
                        "ours_in_place": nanos(Who::OursInPlace),
                        "peer": nanos(Who::Peer),
                    },
                })
            })
            .collect();
        json!({ "agents": runs, "codec": codec })
    }
}

fn row(table: &mut String, title: &str, cell: impl Fn(usize) -> String) {
    let _ = write!(table, "| {title} |");
    for index in 0..SCENARIOS.len() {
        let _ = write!(table, " {} |", cell(index));
    }
    table.push('\n');
}

fn ratio(ratio: f64) -> String {
    format!("{ratio:.2} x")
}

/// A count as people read it: 181 k, 2.19 M.
pub(crate) fn thousands(count: f64) -> String {
    if count < 1e6 { format!("{:.0} k", count / 1e3) } else { format!("{:.2} M", count / 1e6) }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_medians_of_rounds_not_ratios_of_medians() {
        let mut results = Results::new();
        for (ours, limit) in [(1.0, 10.0), (50.0, 100.0), (9.0, 10.0)] {
            results.add(0, "ours", ours);
            results.add(0, "limit", limit);
        }
        assert_eq!(results.acks(0, "ours"), 9.0);
        assert_eq!(results.ratio(0, "ours", "limit"), 0.5);
    }

    #[test]
    fn counts_are_short() {
        assert_eq!(thousands(181_234.0), "181 k");
        assert_eq!(thousands(2_190_000.0), "2.19 M");
    }
}
