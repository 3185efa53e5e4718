//! Prints the ratios, ours to the limit and the other crate to ours: what `cargo bench` ends with.
//!
//! It does not read what criterion measured, but runs the pairs against each other: see [`benches::measure`]. Words
//! after `--` choose cases: `cargo bench -p benches --bench summary -- decode ack`.

use benches::cases::{self, Who};
use benches::measure::{Measured, measure};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only wants to know whether it runs.
    if !args.iter().any(|arg| arg == "--bench") {
        return;
    }
    let wanted: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    println!("\nCPU nanoseconds per frame, and ratios: medians of 5 interleaved rounds.\n");
    for case in cases::computed().into_iter().chain(cases::server()) {
        let label = format!("{} {}", case.group, case.name);
        if wanted.is_empty() || wanted.iter().any(|wanted| label.contains(wanted.as_str())) {
            print(&label, &measure(case));
        }
    }
}

fn print(label: &str, measured: &Measured) {
    const ALL: [Who; 6] =
        [Who::Limit, Who::LimitTwice, Who::Ours, Who::OursInPlace, Who::Peer, Who::PeerReadme];
    print!("{label:<32}");
    for (who, nanos) in ALL.into_iter().filter_map(|who| Some((who, measured.nanos(who)?))) {
        print!("{who} {nanos:.1}  ");
    }
    print!("|");
    for (slow, fast) in [
        (Who::Ours, Who::Limit),
        (Who::OursInPlace, Who::Limit),
        (Who::Peer, Who::Ours),
        (Who::Peer, Who::OursInPlace),
        (Who::PeerReadme, Who::Ours),
    ] {
        if let Some(ratio) = measured.ratio(slow, fast) {
            print!("  {slow}/{fast} {ratio:.2}");
        }
    }
    println!();
}
