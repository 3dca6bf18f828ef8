//! Grace periods under criterion: `synchronize` and `call` followed by `barrier`, in an idle process.

use core::time::Duration;

use benches::peers;
use criterion::{Criterion, criterion_group, criterion_main};

fn grace_period(criterion: &mut Criterion) {
    let peers = peers::grace_periods();
    let mut group = criterion.benchmark_group("synchronize");
    for peer in &peers {
        group.bench_function(peer.name(), |bencher| bencher.iter(|| peer.synchronize()));
    }
    group.finish();

    let mut group = criterion.benchmark_group("call_and_barrier");
    // 10 ms a call for liburcu, whose worker polls.
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(1));
    for peer in &peers {
        group.bench_function(peer.name(), |bencher| {
            bencher.iter(|| {
                peer.call(Box::new(|| ()));
                peer.barrier();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, grace_period);
criterion_main!(benches);
