//! A `Router` next to a hand-written `Service`, with criterion.

#[path = "../src/bin/front-instructions/front.rs"]
mod front;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use crate::front::{Agent, BURST, Front};

fn agents(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("front check-client-ip");
    group.throughput(Throughput::Elements(BURST));
    for agent in Agent::ALL {
        let mut front = Front::new(agent).expect("an agent that answers");
        group.bench_function(agent.to_string(), |bencher| {
            bencher.iter(|| front.run(1).expect("an agent that answers"));
        });
    }
    group.finish();
}

criterion_group!(benches, agents);
criterion_main!(benches);
