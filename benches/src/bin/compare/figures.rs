//! The results of all rounds: kept in a file, so that tables can be made of them later, and other results be compared
//! to them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use benches::cli::Error;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// All results of one machine.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    machine: Machine,
    records: Vec<Record>,
}

/// The results of one contestant in one case: for each quantity, one value a round.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) part: String,
    pub(crate) case: String,
    pub(crate) who: String,
    pub(crate) rounds: BTreeMap<String, Vec<f64>>,
}

impl Figures {
    /// None yet, of this machine.
    pub(crate) fn new() -> Self {
        Self { machine: Machine::this(), records: Vec::new() }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Adds the value of one round.
    pub(crate) fn add(&mut self, part: &str, case: &str, who: &str, quantity: &str, value: f64) {
        let found = self.records.iter().position(|record| record.is(part, case, who));
        let index = found.unwrap_or_else(|| {
            let (part, case, who) = (part.to_owned(), case.to_owned(), who.to_owned());
            self.records.push(Record { part, case, who, rounds: BTreeMap::new() });
            self.records.len() - 1
        });
        self.records[index].rounds.entry(quantity.to_owned()).or_default().push(six_digits(value));
    }

    /// The results of one part.
    pub(crate) fn part<'a>(&'a self, part: &'a str) -> PartFigures<'a> {
        PartFigures { figures: self, part }
    }

    /// Takes over the parts that `newer` has.
    ///
    /// # Errors
    /// If it is of another machine and has not all parts: the page would mix what cannot be compared.
    pub(crate) fn update(&mut self, newer: Self) -> Result<(), Error> {
        let replaced = |record: &Record| newer.records.iter().any(|new| new.part == record.part);
        self.records.retain(|record| !replaced(record));
        if !self.records.is_empty() && self.machine != newer.machine {
            let parts: Vec<_> = self.records.iter().map(|record| record.part.as_str()).collect();
            let parts = unique(parts).join(", ");
            return Err(format!("the results of {parts} are of another machine: measure them, too").into());
        }
        self.machine = newer.machine;
        self.records.extend(newer.records);
        Ok(())
    }

    pub(crate) fn load(path: &Path) -> Result<Self, Error> {
        let read = || -> Result<Self, Error> { Ok(serde_json::from_str(&fs::read_to_string(path)?)?) };
        read().map_err(|error| format!("{}: {error}", path.display()).into())
    }

    /// One record a line, so that a diff can be read.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Error> {
        let records: Vec<_> = self.records.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let machine = serde_json::to_string(&self.machine)?;
        let text = format!("{{\"machine\":{machine},\"records\":[\n{}\n]}}\n", records.join(",\n"));
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
    }
}

impl Record {
    pub(crate) fn is(&self, part: &str, case: &str, who: &str) -> bool {
        self.part == part && self.case == case && self.who == who
    }
}

/// The results of one part; `None` and nothing where there are none.
#[derive(Clone, Copy)]
pub(crate) struct PartFigures<'a> {
    figures: &'a Figures,
    part: &'a str,
}

impl<'a> PartFigures<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.cases().is_empty()
    }

    /// How many rounds all of its results have at least.
    pub(crate) fn least_rounds(&self) -> usize {
        let records = self.figures.records.iter().filter(|record| record.part == self.part);
        records.flat_map(|record| record.rounds.values()).map(Vec::len).min().unwrap_or_default()
    }

    /// In the order they were measured in.
    pub(crate) fn cases(&self) -> Vec<&'a str> {
        let records = self.figures.records.iter().filter(|record| record.part == self.part);
        unique(records.map(|record| record.case.as_str()).collect())
    }

    pub(crate) fn rounds(&self, case: &str, who: &str, quantity: &str) -> &'a [f64] {
        let found = self.figures.records.iter().find(|record| record.is(self.part, case, who));
        found.and_then(|record| record.rounds.get(quantity)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn median(&self, case: &str, who: &str, quantity: &str) -> Option<f64> {
        median(self.rounds(case, who, quantity).to_vec())
    }

    /// Median over the rounds of `who / other`: both met the same moments of the machine.
    pub(crate) fn ratio(&self, case: &str, quantity: &str, who: &str, other: &str) -> Option<f64> {
        let rounds = self.rounds(case, who, quantity).iter().zip(self.rounds(case, other, quantity));
        median(rounds.map(|(who, other)| who / other).collect())
    }
}

/// The middle one; of an even number the upper one.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn unique(values: Vec<&str>) -> Vec<&str> {
    let mut unique = Vec::new();
    for value in values {
        if !unique.contains(&value) {
            unique.push(value);
        }
    }
    unique
}

/// More than can be measured.
fn six_digits(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[(&str, &str, f64)]) -> Figures {
        let mut figures = Figures::default();
        for (part, who, value) in values {
            figures.add(part, "case", who, "acks", *value);
        }
        figures
    }

    #[test]
    fn ratios_are_medians_of_rounds_not_ratios_of_medians() {
        let rounds = [(1.0, 10.0), (50.0, 100.0), (9.0, 10.0)];
        let mut figures = Figures::default();
        for (ours, limit) in rounds {
            figures.add("p", "case", "ours", "acks", ours);
            figures.add("p", "case", "limit", "acks", limit);
        }
        let part = figures.part("p");
        assert_eq!(part.median("case", "ours", "acks"), Some(9.0));
        assert_eq!(part.ratio("case", "acks", "ours", "limit"), Some(0.5));
        assert_eq!(part.ratio("case", "acks", "ours", "nobody"), None);
    }

    #[test]
    fn a_part_is_replaced_as_a_whole() {
        let mut old = of(&[("a", "ours", 1.0), ("a", "gone", 1.0), ("b", "ours", 2.0)]);
        old.update(of(&[("a", "ours", 3.0)])).unwrap();
        assert_eq!(old.part("a").rounds("case", "ours", "acks"), [3.0]);
        assert_eq!(old.part("a").rounds("case", "gone", "acks"), [0.0; 0]);
        assert_eq!(old.part("b").rounds("case", "ours", "acks"), [2.0]);
    }

    #[test]
    fn figures_of_two_machines_are_not_mixed() {
        let mut old = of(&[("a", "ours", 1.0), ("b", "ours", 2.0)]);
        old.machine = Machine::this();
        let error = old.update(of(&[("a", "ours", 3.0)])).unwrap_err().to_string();
        assert!(error.contains("results of b are of another machine"), "{error}");
        let mut old = of(&[("a", "ours", 1.0)]);
        old.machine = Machine::this();
        old.update(of(&[("a", "ours", 3.0)])).unwrap();
    }

    #[test]
    fn a_file_gives_back_what_was_saved() {
        let file = tempfile::NamedTempFile::new().unwrap();
        of(&[("a", "ours", 1.0 / 3.0)]).save(file.path()).unwrap();
        let loaded = Figures::load(file.path()).unwrap();
        assert_eq!(loaded.part("a").rounds("case", "ours", "acks"), [0.333333]);
        assert_eq!(loaded.part("a").cases(), ["case"]);
    }
}
