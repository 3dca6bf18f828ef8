//! kernfs under criterion: the operations of `kernfs_bench` on a tree, beside trees written by hand, one thread.

use std::time::Instant;

use benches::repeat::Make;
use benches::trees::{self, Loops};
use criterion::{Criterion, criterion_group, criterion_main};

type Operation = fn(&Loops) -> &Make;

const OPERATIONS: [(&str, Operation); 7] = [
    ("find", |loops| &loops.find),
    ("walk", |loops| &loops.walk),
    ("readdir_429", |loops| &loops.readdir),
    ("open_close", |loops| &loops.open),
    ("open_read_close", |loops| &loops.open_read_close),
    ("read", |loops| &loops.read),
    ("create_remove_20", |loops| &loops.churn),
];

fn kernfs(criterion: &mut Criterion) {
    let trees = trees::all();
    for (name, operation) in OPERATIONS {
        let mut group = criterion.benchmark_group(name);
        for loops in &trees {
            let mut job = operation(loops).job(0);
            let mut round = 0;
            group.bench_function(loops.name, |bencher| {
                bencher.iter_custom(|times| {
                    round += 1;
                    let begun = Instant::now();
                    job(round, times);
                    begun.elapsed()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, kernfs);
criterion_main!(benches);
