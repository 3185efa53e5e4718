//! One set-var, built and encoded as an ACK, with criterion.

mod support;

use benches::cases;
use criterion::{Criterion, criterion_group, criterion_main};

fn ack(criterion: &mut Criterion) {
    support::measure(criterion, cases::ack());
}

criterion_group!(benches, ack);
criterion_main!(benches);
