//! NOTIFY frames parsed, and every argument walked, with criterion.

mod support;

use benches::cases;
use criterion::{Criterion, criterion_group, criterion_main};

fn decode(criterion: &mut Criterion) {
    support::measure(criterion, cases::decode());
}

criterion_group!(benches, decode);
criterion_main!(benches);
