//! Agents under load, by what they answer per second of CPU time.

use benches::cli::Error;

use super::{Options, Part, Plot, Report};
use crate::agent::{Agent, Answered, FEED_FLUSH, LIMIT, Load, OURS, README, Spec};
use crate::figures::Figures;
use crate::plot::{Bar, bars};
use crate::table::{Table, cell, thousands, times};

pub(crate) const PART: Part = Part {
    name: "agents",
    about: "whole agents under spop-load: ACKs per second of CPU time",
    by_default: true,
    least_rounds: 5,
    measure,
    report,
};

/// What is measured.
pub(crate) const ACKS: &str = "acks_per_cpu_second";

const AGENTS: [Spec; 4] = [LIMIT, OURS, FEED_FLUSH, README];

const LOADS: [Load; 4] = [
    Load { profile: "log-request", connections: 64, depth: 1 },
    Load { profile: "log-request", connections: 8, depth: 16 },
    Load { profile: "check-request", connections: 8, depth: 16 },
    Load { profile: "log-request", connections: 64, depth: 64 },
];

/// How often each agent has its turn in a round.
///
/// Now and then the kernel takes twice as long to copy what the client sends. The client is the bottleneck then, and an
/// agent that waits for it, the limit too, answers a quarter less per CPU second. So the turn counts in which requests
/// cost the client least.
const TURNS: usize = 3;

fn measure(options: &Options, figures: &mut Figures) -> Result<(), Error> {
    for _ in options.rounds(PART.name) {
        for load in &LOADS {
            let mut best = AGENTS.map(|_| None::<Answered>);
            for _ in 0..TURNS {
                for (spec, best) in AGENTS.iter().zip(&mut best) {
                    let agent = Agent::start(&options.programs, spec, &[])?;
                    let turn = agent.load(&options.programs, load, options.seconds / TURNS as f64)?;
                    if best.as_ref().is_none_or(|best| turn.client_cost() < best.client_cost()) {
                        *best = Some(turn);
                    }
                }
            }
            for (spec, turn) in AGENTS.iter().zip(best.into_iter().flatten()) {
                figures.add(PART.name, &load.to_string(), spec.key, ACKS, turn.per_cpu_second);
            }
        }
    }
    Ok(())
}

fn report(figures: &Figures) -> Report {
    let figures = figures.part(PART.name);
    let cases = LOADS.each_ref().map(Load::to_string);
    let mut table = Table::new(["ACKs per CPU second"].into_iter().chain(cases.iter().map(String::as_str)));
    let mut row = |title: &str, figure: &dyn Fn(&str) -> String| {
        table.row([title.to_owned()].into_iter().chain(cases.iter().map(|case| figure(case))));
    };
    for spec in &AGENTS {
        row(spec.title, &|case| cell(figures.median(case, spec.key, ACKS), thousands));
    }
    for (title, other) in [("limit", LIMIT), ("feed and flush", FEED_FLUSH), ("README's loop", README)] {
        row(&format!("**spop-tokio / {title}**"), &|case| {
            cell(figures.ratio(case, ACKS, OURS.key, other.key), times)
        });
    }
    let plots = LOADS.iter().map(|load| {
        let Load { profile, connections, depth } = load;
        let title = format!("{profile}, {connections} connections x {depth}: ACKs per CPU second");
        let bar = |spec: &Spec| {
            let value = figures.median(&load.to_string(), spec.key, ACKS).unwrap_or_default();
            Bar { title: spec.title.into(), value, ours: spec.key == OURS.key }
        };
        let svg = bars(&title, &AGENTS.each_ref().map(bar), thousands);
        Plot { name: format!("{profile}-{connections}x{depth}"), title, svg }
    });
    let plots = plots.collect();
    Report { markdown: table.into_text(), plots }
}
