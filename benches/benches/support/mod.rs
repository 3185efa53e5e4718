//! Hands the cases to criterion.

use std::time::{Duration, Instant};

use benches::cases::Case;
use criterion::{Criterion, Throughput};

/// Measures every contestant of every case; a group is a case, so that criterion sets them side by side.
pub(crate) fn measure(criterion: &mut Criterion, cases: Vec<Case>) {
    for case in cases {
        let mut group = criterion.benchmark_group(format!("{} {}", case.group, case.name));
        group.throughput(Throughput::Elements(case.frames));
        // There are many, and the ratios are not taken from here.
        group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
        for (who, mut work) in case.contestants {
            group.bench_function(who.to_string(), |bencher| {
                bencher.iter_custom(|times| {
                    let start = Instant::now();
                    work(times);
                    start.elapsed()
                });
            });
        }
        group.finish();
    }
}
