//! Sections under criterion: enter, dereference, leave; every peer of the shootout, one thread.

use benches::peer::{Peer, Reader};
use benches::peers::{self, Visitor};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};

struct Bench<'a, 'b>(&'a mut BenchmarkGroup<'b, WallTime>);

impl Visitor for Bench<'_, '_> {
    fn visit<P: Peer + 'static>(&mut self, peer: P) {
        let mut reader = peer.reader();
        self.0
            .bench_function(peer.name(), |bencher| bencher.iter(|| reader.read()));
    }

    fn skip(&mut self, why: String) {
        eprintln!("{why}");
    }
}

fn read_side(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read_side");
    peers::visit_all(&mut Bench(&mut group));
    group.finish();
}

criterion_group!(benches, read_side);
criterion_main!(benches);
