//! The server, over an in-memory pipe and over loopback TCP, with criterion.

mod support;

use benches::cases;
use criterion::{Criterion, criterion_group, criterion_main};

fn server(criterion: &mut Criterion) {
    support::measure(criterion, cases::server());
}

criterion_group!(benches, server);
criterion_main!(benches);
