//! The agent's state machine: bytes in, bytes out, with criterion.

mod support;

use benches::cases;
use criterion::{Criterion, criterion_group, criterion_main};

fn connection(criterion: &mut Criterion) {
    support::measure(criterion, cases::connection());
}

criterion_group!(benches, connection);
criterion_main!(benches);
