//! The cases, one file a group. "HAProxy" as the basis means that a version in use does this, see
//! docs/haproxy-versions.md.

mod delivery;
mod disconnect;
mod fragments;
mod health;
mod hello;
mod ids;
mod malformed;
mod messages;
mod pipelining;
mod sizes;
mod strangers;

use spop::Status;

use super::{Case, Probe};

/// For a frame that cannot be made sense of.
const INVALID: &[Status] = &[Status::INVALID, Status::UNKNOWN];

pub(super) fn all(probe: &Probe) -> Vec<Case> {
    let groups = [
        ("hello", hello::cases(probe)),
        ("health", health::cases(probe)),
        ("ids", ids::cases(probe)),
        ("pipelining", pipelining::cases(probe)),
        ("messages", messages::cases(probe)),
        ("sizes", sizes::cases(probe)),
        ("delivery", delivery::cases(probe)),
        ("fragments", fragments::cases(probe)),
        ("disconnect", disconnect::cases(probe)),
        ("malformed", malformed::cases(probe)),
        ("strangers", strangers::cases(probe)),
    ];
    let named = groups.into_iter().flat_map(|(group, cases)| {
        cases.into_iter().map(move |case| Case { name: format!("{group}/{}", case.name), ..case })
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let mut names = HashSet::new();
        for case in all(&Probe::default()) {
            assert!(names.insert(case.name.clone()), "{} is there twice", case.name);
        }
    }

    #[test]
    fn any_message_will_do() {
        let count = all(&Probe::default()).len();
        for probe in [Probe::new(""), Probe::new("m").arg(""), Probe::new(&"m".repeat(1_000)).arg("null")] {
            assert_eq!(all(&probe).len(), count);
        }
    }
}
