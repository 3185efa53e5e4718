//! Results next to those of an earlier run.

use crate::figures::{Figures, Record};
use crate::table::{Table, cell, three_digits, times};

/// What has a ratio to a limit, and its name among the results.
const LIMIT: &str = "limit";

/// Every quantity that both have: before, after, and the ratio to the limit of the same run, which a slow moment of the
/// machine leaves alone.
pub(crate) fn table(before: &Figures, after: &Figures) -> String {
    let mut table =
        Table::new(["result", "before", "after", "after / before", "/ limit before", "/ limit after"]);
    for Record { part, case, who, rounds } in after.records() {
        for quantity in rounds.keys() {
            let median = |figures: &Figures| figures.part(part).median(case, who, quantity);
            let Some((old, new)) = median(before).zip(median(after)) else { continue };
            let to_limit = |figures: &Figures| {
                let ratio = figures.part(part).ratio(case, quantity, who, LIMIT);
                ratio.filter(|_| who != LIMIT).map_or_else(String::new, times)
            };
            table.row([
                format!("{part}: {case}, {who}, {quantity}"),
                three_digits(old),
                three_digits(new),
                cell((old != 0.0).then(|| new / old), times),
                to_limit(before),
                to_limit(after),
            ]);
        }
    }
    table.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_have_is_compared_and_set_against_the_limit() {
        let of = |ours, limit, more| {
            let mut figures = Figures::default();
            figures.add("codec", "ack", "ours", "ns", ours);
            figures.add("codec", "ack", "limit", "ns", limit);
            figures.add("codec", more, "ours", "ns", 1.0);
            figures
        };
        let table = table(&of(15.0, 10.0, "old"), &of(24.0, 20.0, "new"));
        let row = "| codec: ack, ours, ns | 15.0 | 24.0 | 1.60 x | 1.50 x | 1.20 x |";
        assert!(table.contains(row) && !table.contains("new"), "{table}");
    }
}
