//! What is compared, part by part.

pub(crate) mod agents;
pub(crate) mod codec;
mod cold_build;
pub(crate) mod growth;
pub(crate) mod haproxy;
pub(crate) mod idle;
mod runtimes;

use std::path::PathBuf;
use std::time::Duration;

use benches::cli::Error;

use crate::figures::Figures;

/// Something to measure, and to make a section of the page of.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// For the help.
    pub(crate) about: &'static str,
    /// Whether it is measured when nobody asks for parts.
    pub(crate) by_default: bool,
    /// With fewer rounds its results are not for the page.
    pub(crate) least_rounds: usize,
    pub(crate) measure: fn(&Options, &mut Figures) -> Result<(), Error>,
    pub(crate) report: fn(&Figures) -> Report,
}

/// In the order of the page.
pub(crate) const PARTS: [Part; 7] =
    [agents::PART, haproxy::PART, runtimes::PART, codec::PART, growth::PART, idle::PART, cold_build::PART];

/// How to measure.
pub(crate) struct Options {
    /// How often each contestant takes part.
    pub(crate) rounds: usize,
    /// How long an agent is under load each time.
    pub(crate) seconds: f64,
    /// Where the programs of this package are.
    pub(crate) programs: PathBuf,
}

impl Options {
    /// The rounds, told on stderr.
    pub(crate) fn rounds<'a>(&'a self, what: &'a str) -> impl Iterator<Item = usize> + 'a {
        (1..=self.rounds).inspect(move |round| eprintln!("{what}: round {round} of {}", self.rounds))
    }

    /// A part of the time that an agent is under load.
    pub(crate) fn share(&self, share: f64) -> Duration {
        Duration::from_secs_f64(self.seconds * share)
    }
}

/// What a part has to say.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) markdown: String,
    pub(crate) plots: Vec<Plot>,
}

/// A picture.
pub(crate) struct Plot {
    /// Without folder and extension.
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) svg: String,
}
