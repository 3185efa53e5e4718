//! Prints the ratios, ours to the limit and the other crate to ours.

use benches::cases::{self, Who};
use benches::measure::{Measured, measure};

fn main() {
    println!("CPU nanoseconds per frame, medians of 5 interleaved rounds.\n");
    println!(
        "{:<28} {:>9} {:>9} {:>9} {:>9} {:>9}   {:>10} {:>12} {:>9} {:>13}",
        "",
        "limit",
        "2-pass",
        "ours",
        "in-place",
        "peer",
        "ours/limit",
        "in-pl./limit",
        "peer/ours",
        "peer/in-place"
    );
    // What cargo and the caller pass: only words without a dash choose.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for case in cases::computed().into_iter().chain(cases::server()) {
        let label = format!("{} {}", case.group, case.name);
        if wanted.is_empty() || wanted.iter().any(|wanted| label.contains(wanted.as_str())) {
            print(&measure(case));
        }
    }
}

fn print(measured: &Measured) {
    let [limit, twice, ours, in_place, peer] =
        [Who::Limit, Who::LimitTwice, Who::Ours, Who::OursInPlace, Who::Peer]
            .map(|who| measured.nanos(who).map_or("-".into(), |nanos| format!("{nanos:.1}")));
    let ratio = |slow, fast| measured.ratio(slow, fast).map_or("-".into(), |ratio| format!("{ratio:.2}"));
    println!(
        "{:<28} {limit:>9} {twice:>9} {ours:>9} {in_place:>9} {peer:>9}   {:>10} {:>12} {:>9} {:>13}",
        format!("{} {}", measured.group, measured.name),
        ratio(Who::Ours, Who::Limit),
        ratio(Who::OursInPlace, Who::Limit),
        ratio(Who::Peer, Who::Ours),
        ratio(Who::Peer, Who::OursInPlace),
    );
}
