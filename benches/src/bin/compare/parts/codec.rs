//! One frame's decode and ACK, in time and in instructions.

use benches::cases::{self, Case, Who};
use benches::cli::Error;
use benches::instructions;
use benches::measure::measure as run;

use super::{Options, Part, Plot, Report};
use crate::figures::{Figures, PartFigures};
use crate::plot::{Bar, bars};
use crate::table::{Table, cell, three_digits, times};

pub(crate) const PART: Part = Part {
    name: "codec",
    about: "one frame decoded, one ACK encoded: CPU time, and instructions counted by valgrind",
    by_default: true,
    least_rounds: 1,
    measure,
    report,
};

/// What is measured.
pub(crate) const NANOS: &str = "ns";
const INSTRUCTIONS: &str = "instructions";

fn measure(options: &Options, figures: &mut Figures) -> Result<(), Error> {
    eprintln!("{}: CPU time", PART.name);
    for case in cases() {
        let name = name(&case);
        for (who, rounds) in run(case).rounds() {
            rounds.iter().for_each(|nanos| figures.add(PART.name, &name, &who.to_string(), NANOS, *nanos));
        }
    }
    eprintln!("{}: instructions", PART.name);
    for case in cases() {
        for (who, _) in &case.contestants {
            let count = instructions::per_frame(&options.programs, &case, *who)?;
            figures.add(PART.name, &name(&case), &who.to_string(), INSTRUCTIONS, count);
        }
    }
    Ok(())
}

fn cases() -> impl Iterator<Item = Case> {
    cases::decode().into_iter().chain(cases::ack())
}

fn name(case: &Case) -> String {
    format!("{} {}", case.group, case.name)
}

fn report(figures: &Figures) -> Report {
    let figures = figures.part(PART.name);
    let unit = |quantity| if quantity == NANOS { "CPU ns per frame" } else { "instructions per frame" };
    let markdown = [NANOS, INSTRUCTIONS].map(|quantity| table(figures, quantity, unit(quantity))).join("\n");
    let mut all = Vec::new();
    for case in figures.cases() {
        for (who, title) in [
            (Who::Limit, "limit"),
            (Who::Ours, "spop"),
            (Who::OursInPlace, "spop, in place"),
            (Who::Peer, "spop 0.13.1"),
        ] {
            if let Some(value) = figures.median(case, &who.to_string(), NANOS) {
                let ours = matches!(who, Who::Ours | Who::OursInPlace);
                all.push(Bar { title: format!("{case}: {title}"), value, ours });
            }
        }
    }
    let title = "One frame: CPU nanoseconds".to_owned();
    let svg = bars(&title, &all, three_digits);
    Report { markdown, plots: vec![Plot { name: "codec".into(), title, svg }] }
}

fn table(figures: PartFigures<'_>, quantity: &str, unit: &str) -> String {
    let [limit, peer] = [Who::Limit, Who::Peer].map(|who| who.to_string());
    let mut table = Table::new([unit, "limit", "spop", "spop 0.13.1", "spop / limit", "0.13.1 / spop"]);
    for case in figures.cases() {
        for (ours, how) in [(Who::Ours, ""), (Who::OursInPlace, ", in place")] {
            let ours = ours.to_string();
            if figures.rounds(case, &ours, quantity).is_empty() {
                continue;
            }
            let median = |who: &str| cell(figures.median(case, who, quantity), three_digits);
            let ratio = |slow: &str, fast: &str| cell(figures.ratio(case, quantity, slow, fast), times);
            let title = format!("{case}{how}");
            table.row([
                title,
                median(&limit),
                median(&ours),
                median(&peer),
                ratio(&ours, &limit),
                ratio(&peer, &ours),
            ]);
        }
    }
    table.into_text()
}
