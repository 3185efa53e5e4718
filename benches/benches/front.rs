//! A `Router` next to a hand-written `Service`, with criterion.

use benches::front::{Agent, BURST, Front};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn front(criterion: &mut Criterion) {
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

criterion_group!(benches, front);
criterion_main!(benches);
