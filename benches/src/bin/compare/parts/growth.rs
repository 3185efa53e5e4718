//! How the cost grows with the number of frames and with the length of a string, in instructions.

use benches::cases::{self, BURSTS, STRINGS, Who};
use benches::cli::Error;
use benches::instructions;

use super::{Options, Part, Plot, Report};
use crate::figures::{Figures, PartFigures};
use crate::plot::{Axis, Lines, Role, Series, lines};
use crate::table::{Table, cell, thousands, times};

pub(crate) const PART: Part = Part {
    name: "growth",
    about: "instructions by frames in a burst and by length of a string argument, counted by valgrind",
    by_default: true,
    least_rounds: 1,
    measure,
    report,
};

/// What is measured: of one frame, or of all frames of a burst.
const INSTRUCTIONS: &str = "instructions";

const WHO: [(Who, &str); 3] = [(Who::Limit, "limit"), (Who::Peer, "spop 0.13.1"), (Who::Ours, "spop")];

fn measure(options: &Options, figures: &mut Figures) -> Result<(), Error> {
    eprintln!("{}: instructions", PART.name);
    for case in cases::bursts().into_iter().chain(cases::strings()) {
        for (who, _) in WHO {
            let count = instructions::per_frame(&options.programs, &case, who)? * case.frames as f64;
            let name = format!("{} {}", case.group, case.name);
            figures.add(PART.name, &name, &who.to_string(), INSTRUCTIONS, count);
        }
    }
    Ok(())
}

/// How many times as much ours costs, for each frame of the longest burst against bursts of 4, and for the longest
/// string against one of 4000 bytes, whose length takes as many bytes.
pub(crate) fn growth(figures: &Figures) -> [Option<f64>; 2] {
    let figures = figures.part(PART.name);
    let cost =
        |group, size: u64| figures.median(&format!("{group} {size}"), &Who::Ours.to_string(), INSTRUCTIONS);
    let each = |frames: u64| Some(cost("burst", frames)? / frames as f64);
    let [frames, string] = LARGEST;
    [
        each(frames).zip(each(4)).map(|(large, small)| large / small),
        cost("string", string).zip(cost("string", 4000)).map(|(large, small)| large / small),
    ]
}

/// The longest burst, and the longest string.
const LARGEST: [u64; 2] = [BURSTS[BURSTS.len() - 1], STRINGS[STRINGS.len() - 1] as u64];

fn report(figures: &Figures) -> Report {
    let figures = figures.part(PART.name);
    let bursts = Kind {
        group: "burst",
        title: "Instructions for a burst of frames: parsed, and answered",
        x: "frames",
        sizes: BURSTS.map(|frames| frames as f64).to_vec(),
    };
    let strings = Kind {
        group: "string",
        title: "Instructions to decode a frame with a string",
        x: "bytes",
        sizes: STRINGS.map(|len| len as f64).to_vec(),
    };
    let markdown = [&bursts, &strings].map(|kind| kind.table(figures)).join("\n");
    Report { markdown, plots: vec![bursts.plot(figures), strings.plot(figures)] }
}

/// What grows.
struct Kind {
    group: &'static str,
    title: &'static str,
    x: &'static str,
    sizes: Vec<f64>,
}

impl Kind {
    fn cost(&self, figures: PartFigures<'_>, size: f64, who: Who) -> Option<f64> {
        figures.median(&format!("{} {size}", self.group), &who.to_string(), INSTRUCTIONS)
    }

    fn table(&self, figures: PartFigures<'_>) -> String {
        let head = format!("{}; {}:", self.title, self.x);
        let mut table = Table::new([head].into_iter().chain(self.sizes.iter().map(f64::to_string)));
        for (who, title) in WHO {
            let costs = self.sizes.iter().map(|&size| cell(self.cost(figures, size, who), thousands));
            table.row([title.to_owned()].into_iter().chain(costs));
        }
        let ratios = self.sizes.iter().map(|&size| {
            let ratio = self.cost(figures, size, Who::Ours).zip(self.cost(figures, size, Who::Limit));
            cell(ratio.map(|(ours, limit)| ours / limit), times)
        });
        table.row(["**spop / limit**".to_owned()].into_iter().chain(ratios));
        table.into_text()
    }

    fn plot(&self, figures: PartFigures<'_>) -> Plot {
        let series = WHO.map(|(who, title)| {
            let point = |&size: &f64| Some((size, self.cost(figures, size, who)?));
            let points = self.sizes.iter().filter_map(point).collect();
            let role = match who {
                Who::Limit => Role::Base,
                Who::Ours => Role::Ours,
                _ => Role::Other,
            };
            Series { title: title.into(), points, role }
        });
        let svg = lines(&Lines {
            title: self.title,
            x: Axis { title: self.x, figure: thousands },
            y: Axis { title: "instructions", figure: thousands },
            evenly: false,
            series: series.into(),
        });
        Plot { name: format!("growth-{}", self.group), title: self.title.into(), svg }
    }
}
