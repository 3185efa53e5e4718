//! What has become of each scenario on each version.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use testbed::Version;

use crate::Scenario;

/// Rows are scenarios, columns HAProxys.
pub(crate) struct Table {
    scenarios: &'static [Scenario],
    versions: Vec<Version>,
    results: Mutex<BTreeMap<(&'static str, Version), bool>>,
    measurements: Mutex<BTreeMap<(&'static str, Version), String>>,
}

impl Table {
    pub(crate) fn new(scenarios: &'static [Scenario], versions: Vec<Version>) -> Self {
        Self { scenarios, versions, results: Mutex::default(), measurements: Mutex::default() }
    }

    /// Adds a line of measurements, to be printed below.
    pub(crate) fn report(&self, scenario: &'static str, version: Version, measurements: String) {
        self.measurements.lock().expect("never held in a panic").insert((scenario, version), measurements);
    }

    pub(crate) fn set(&self, scenario: &'static str, version: Version, passed: bool) {
        self.results.lock().expect("never held in a panic").insert((scenario, version), passed);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let results = self.results.lock().expect("never held in a panic");
        if results.is_empty() {
            return Ok(());
        }
        let width = self.scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or_default();
        write!(f, "{:width$}", "scenario")?;
        self.versions.iter().try_for_each(|version| write!(f, "  {:6}", version.to_string()))?;
        writeln!(f)?;
        let mut notes = Vec::new();
        for scenario in self.scenarios {
            let result = |version: &Version| results.get(&(scenario.name, *version));
            // A row that the command line left out says nothing.
            if !self.versions.iter().any(|version| result(version).is_some()) {
                continue;
            }
            let mut row = format!("{:width$}", scenario.name);
            for version in &self.versions {
                let barred = scenario.only.iter().find(|only| !(only.applies)(*version));
                let cell = match (result(version), barred) {
                    (Some(true), _) => "ok".to_owned(),
                    (Some(false), _) => "FAILED".to_owned(),
                    (None, Some(only)) => format!("- [{}]", number_of(only.why, &mut notes)),
                    (None, None) => "not run".to_owned(),
                };
                row += &format!("  {cell:6}");
            }
            writeln!(f, "{}", row.trim_end())?;
        }
        notes.iter().zip(1..).try_for_each(|(note, number)| writeln!(f, "[{number}] {note}"))?;
        let measurements = self.measurements.lock().expect("never held in a panic");
        let mut lines = measurements.iter();
        lines.try_for_each(|((scenario, version), line)| writeln!(f, "{scenario}::{version}: {line}"))
    }
}

/// The number of a note, which is added if it is a new one.
fn number_of(note: &'static str, notes: &mut Vec<&'static str>) -> usize {
    let known = notes.iter().position(|&known| known == note);
    known.unwrap_or_else(|| {
        notes.push(note);
        notes.len() - 1
    }) + 1
}
