//! Ordered maps: look-ups, updates that leave the size as it is, and scans, by one thread and by two.
//!
//! Keys are spread evenly and come at random; the present ones are even, those that come and go odd. Each map holds
//! `Arc`s, as a directory holds nodes, and a look-up reads the value without counting it.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

use crossbeam_skiplist::SkipMap;
use urcu::{Memb, OrdMap};

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::peers::names::MEMB;
use crate::placement::consume;

/// Operations between two looks at the clock.
const BATCH: u64 = 16;
/// Entries of a scan.
const SCANNED: u64 = 100;

pub(super) fn run(effort: Effort, report: &mut Report) {
    let large = if effort.quick { 50_000 } else { 1_000_000 };
    let sizes = [
        (1000, "an ordered map of 10^3 entries", &SMALL),
        (
            large,
            if effort.quick {
                "an ordered map of 5 x 10^4 entries"
            } else {
                "an ordered map of 10^6 entries"
            },
            &LARGE,
        ),
    ];
    for (size, title, keys) in sizes {
        report.groups.push(measure(size, title, keys, effort));
    }
}

/// The keys of the charts, in the order of [`COLUMNS`].
const SMALL: [&str; 6] = [
    "ordered_get",
    "ordered_get_by_two",
    "ordered_update",
    "ordered_update_by_two",
    "ordered_get_beside_updater",
    "ordered_scan",
];
const LARGE: [&str; 6] = [
    "ordered_million_get",
    "ordered_million_get_by_two",
    "ordered_million_update",
    "ordered_million_update_by_two",
    "ordered_million_get_beside_updater",
    "ordered_million_scan",
];

/// What a thread does.
#[derive(Clone, Copy, Debug)]
enum Work {
    Get,
    /// An insertion and the removal of the same key.
    Update,
    /// [`SCANNED`] entries from a key on.
    Scan,
}

/// A column: what is timed, by how many threads, and beside what.
struct Column {
    title: &'static str,
    head: [&'static str; 2],
    work: Work,
    threads: usize,
    beside: Option<Work>,
    typical: Typical,
}

const fn column(
    title: &'static str,
    head: [&'static str; 2],
    work: Work,
    threads: usize,
    beside: Option<Work>,
) -> Column {
    let alone = threads == 1 && beside.is_none();
    Column {
        title,
        head,
        work,
        threads,
        beside,
        typical: if alone { Typical::Min } else { Typical::Median },
    }
}

const COLUMNS: [Column; 6] = [
    column("Look-up", ["get", "1 thr"], Work::Get, 1, None),
    column("Look-up, 2 threads", ["get", "2 thr"], Work::Get, 2, None),
    column(
        "Insertion + removal",
        ["ins+rem", "1 thr"],
        Work::Update,
        1,
        None,
    ),
    column(
        "Insertion + removal, 2 threads",
        ["ins+rem", "2 thr"],
        Work::Update,
        2,
        None,
    ),
    column(
        "Look-up beside an updater",
        ["get", "beside"],
        Work::Get,
        1,
        Some(Work::Update),
    ),
    column(
        "Scan, for each entry",
        ["scan", "/entry"],
        Work::Scan,
        1,
        None,
    ),
];

/// The maps, interleaved round by round.
fn measure(size: u64, title: &'static str, keys: &[&'static str; 6], effort: Effort) -> Group {
    let maps: [Box<dyn Contender>; 3] = [
        Box::new(Filled::<OrdMap<u64, u64>>::with(size)),
        Box::new(Filled::<SkipMap<u64, Arc<u64>>>::with(size)),
        Box::new(Filled::<RwLock<BTreeMap<u64, Arc<u64>>>>::with(size)),
    ];
    let charts = COLUMNS.iter().zip(keys).map(|(column, key)| {
        Chart::new(key, column.title, Unit::Ns, column.typical)
            .headed(column.head[0], column.head[1])
    });
    let mut charts: Vec<Chart> = charts.collect();
    for round in 0..effort.rounds {
        for (column, chart) in COLUMNS.iter().zip(&mut charts) {
            for i in 0..maps.len() {
                let map = &maps[(round + i) % maps.len()];
                let figure = map.round(column, effort.loop_time);
                chart.add(map.name(), Some(figure));
            }
        }
    }
    // Each name first in its own order, whoever began a round.
    for chart in &mut charts {
        let order = |name: &str| maps.iter().position(|map| map.name() == name);
        chart.lines.sort_by_key(|line| order(&line.name));
    }
    Group { title, charts }
}

/// What the loops need of a map.
trait Ordered: Default + Sync {
    const NAME: &'static str;
    fn get(&self, key: u64) -> u64;
    fn insert(&self, key: u64);
    fn remove(&self, key: u64);
    /// The sum of the values of so many entries from a key on.
    fn scan(&self, from: u64, count: usize) -> u64;
    /// Waits for what the updates have left to others.
    fn settle() {}
}

impl Ordered for OrdMap<u64, u64> {
    const NAME: &'static str = MEMB;
    #[inline]
    fn get(&self, key: u64) -> u64 {
        Self::get(self, key, &Memb::read_lock()).map_or(0, |value| *value)
    }
    #[inline]
    fn insert(&self, key: u64) {
        Self::insert(self, key, Arc::new(key), &Memb::read_lock());
    }
    #[inline]
    fn remove(&self, key: u64) {
        Self::remove(self, key, &Memb::read_lock());
    }
    #[inline]
    fn scan(&self, from: u64, count: usize) -> u64 {
        let guard = Memb::read_lock();
        let found = self.range(from.., &guard).take(count);
        found.map(|(_, value)| *value).sum()
    }
    fn settle() {
        Memb::barrier();
    }
}

impl Ordered for SkipMap<u64, Arc<u64>> {
    const NAME: &'static str = "crossbeam SkipMap";
    #[inline]
    fn get(&self, key: u64) -> u64 {
        Self::get(self, &key).map_or(0, |entry| **entry.value())
    }
    #[inline]
    fn insert(&self, key: u64) {
        Self::insert(self, key, Arc::new(key));
    }
    #[inline]
    fn remove(&self, key: u64) {
        Self::remove(self, &key);
    }
    #[inline]
    fn scan(&self, from: u64, count: usize) -> u64 {
        let found = self.range(from..).take(count);
        found.map(|entry| **entry.value()).sum()
    }
}

impl Ordered for RwLock<BTreeMap<u64, Arc<u64>>> {
    const NAME: &'static str = "std RwLock<BTreeMap>";
    #[inline]
    fn get(&self, key: u64) -> u64 {
        let map = self.read().unwrap_or_else(PoisonError::into_inner);
        map.get(&key).map_or(0, |value| **value)
    }
    #[inline]
    fn insert(&self, key: u64) {
        let mut map = self.write().unwrap_or_else(PoisonError::into_inner);
        map.insert(key, Arc::new(key));
    }
    #[inline]
    fn remove(&self, key: u64) {
        let mut map = self.write().unwrap_or_else(PoisonError::into_inner);
        map.remove(&key);
    }
    #[inline]
    fn scan(&self, from: u64, count: usize) -> u64 {
        let map = self.read().unwrap_or_else(PoisonError::into_inner);
        map.range(from..)
            .take(count)
            .map(|(_, value)| **value)
            .sum()
    }
}

/// A map with `size` entries.
struct Filled<M> {
    map: M,
    size: u64,
}

/// Random numbers, the same in every run.
struct Dice(u64);

impl Dice {
    /// A number below `end`.
    #[inline]
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * u128::from(end)) >> 64) as u64
    }
}

impl<M: Ordered> Filled<M> {
    fn with(size: u64) -> Self {
        let map = M::default();
        // Each number below `size` once, in an order that is none: the factor is a prime beyond it.
        for n in 0..size {
            map.insert(n.wrapping_mul(15_485_863) % size * 2);
        }
        M::settle();
        Self { map, size }
    }

    /// Does `work` for about `time`; how long each took, in nanoseconds.
    fn time(&self, work: Work, dice: &mut Dice, time: Duration) -> f64 {
        let (begun, mut done) = (Instant::now(), 0);
        loop {
            for _ in 0..BATCH {
                let key = dice.below(self.size) * 2;
                match work {
                    Work::Get => consume(self.map.get(key)),
                    Work::Scan => consume(self.map.scan(key, SCANNED as usize)),
                    Work::Update => {
                        self.map.insert(key + 1);
                        self.map.remove(key + 1);
                    }
                }
            }
            done += BATCH;
            let took = begun.elapsed();
            if took >= time {
                let parts = if matches!(work, Work::Scan) {
                    SCANNED
                } else {
                    1
                };
                return took.as_nanos() as f64 / (done * parts) as f64;
            }
        }
    }
}

/// A map of any kind.
trait Contender {
    fn name(&self) -> &'static str;
    /// One figure of a column.
    fn round(&self, column: &Column, time: Duration) -> f64;
}

impl<M: Ordered> Contender for Filled<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn round(&self, column: &Column, time: Duration) -> f64 {
        let works = [column.work].repeat(column.threads);
        let works: Vec<Work> = works.into_iter().chain(column.beside).collect();
        // They meet spinning: whoever sleeps starts late and runs alone.
        let missing = AtomicUsize::new(works.len());
        let figures: Vec<f64> = thread::scope(|scope| {
            let threads: Vec<_> = (1..)
                .zip(works)
                .map(|(seed, work)| {
                    let missing = &missing;
                    scope.spawn(move || {
                        let mut dice = Dice(seed * 0x9e37_79b9_7f4a_7c15);
                        missing.fetch_sub(1, Ordering::AcqRel);
                        while missing.load(Ordering::Acquire) > 0 {
                            core::hint::spin_loop();
                        }
                        self.time(work, &mut dice, time)
                    })
                })
                .collect();
            let ends = threads.into_iter().map(thread::ScopedJoinHandle::join);
            ends.map(|figure| figure.expect("nothing panics")).collect()
        });
        M::settle();
        let timed = &figures[..column.threads];
        timed.iter().sum::<f64>() / timed.len() as f64
    }
}
