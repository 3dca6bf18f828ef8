//! Hash maps: throughput at 100 000 of 200 000 keys, memory for each entry, and what a reader notices while the
//! map grows.
//!
//! Where a look-up of ours costs more than one of std, dashmap or scc it is the memory: 100 000 entries do not fit into
//! the near caches, an entry of ours is an allocation behind a pointer, so a key that is there costs a second miss that
//! depends on the first (that of the bucket, which is fetched while its tags are looked at). Theirs lie in the table; they
//! lock it, or hand out copies. So there is a small map, too, which does fit. In 50/50 each write also frees an entry whose
//! line went cold in the grace period.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::peers::maps::{Map, MapVisitor, Mixer, visit_maps};
use crate::placement::consume;
use crate::probe::Figures;
use crate::sys;

use super::measure_apart;

const KEYS: u64 = 200_000;
/// Those of a small map.
const FEW_KEYS: u64 = 2_000;
/// Operations between two looks at the clock's verdict.
const BLOCK: u32 = 256;

/// What is done, and its chart.
struct Work {
    threads: usize,
    /// Of 256 operations.
    writes: u64,
    chart: Chart,
}

impl Work {
    fn new(key: &'static str, title: &'static str, threads: usize, writes: u64) -> Self {
        let upper = match writes {
            0 => "100/0",
            13 => "95/5",
            _ => "50/50",
        };
        let lower = if threads == 1 {
            "1 thread"
        } else {
            "2 threads"
        };
        let chart = Chart::new(key, title, Unit::MillionsPerSecond, Typical::Median);
        Self {
            threads,
            writes,
            chart: chart.headed(upper, lower),
        }
    }
}

pub(super) fn run(effort: Effort, report: &mut Report) {
    let mut names = Vec::new();
    let works = vec![
        Work::new("maps_100_1", "Map, read only, 1 thread", 1, 0),
        Work::new("maps_95_1", "Map, 95 % reads, 1 thread", 1, 13),
        Work::new("maps_50_1", "Map, 50 % reads, 1 thread", 1, 128),
        Work::new("maps_100_2", "Map, read only, 2 threads", 2, 0),
        Work::new("maps_95_2", "Map, 95 % reads, 2 threads", 2, 13),
        Work::new("maps_50_2", "Map, 50 % reads, 2 threads", 2, 128),
    ];
    let few = vec![
        Work::new("maps_small_100_1", "Small map, read only, 1 thread", 1, 0),
        Work::new("maps_small_100_2", "Small map, read only, 2 threads", 2, 0),
        Work::new("maps_small_95_2", "Small map, 95 % reads, 2 threads", 2, 13),
    ];
    let titles = [
        "hash maps, 100 000 of 200 000 keys, the same fixed hasher for all: operations of all threads",
        "the same, 1000 of 2000 keys",
    ];
    for ((keys, works), title) in [(KEYS, works), (FEW_KEYS, few)].into_iter().zip(titles) {
        let mut maps = Maps {
            keys,
            all: Vec::new(),
            skipped: Vec::new(),
        };
        visit_maps(&mut maps);
        for why in maps.skipped {
            report.skip(why);
        }
        names = maps.all.iter().map(|map| map.name()).collect();
        report
            .groups
            .push(throughput(&maps.all, works, title, effort));
    }
    growth(&names, effort, report);
}

struct Maps {
    keys: u64,
    all: Vec<Box<dyn Contender>>,
    skipped: Vec<String>,
}

impl MapVisitor for Maps {
    fn visit<M: Map + 'static>(&mut self) {
        let keys = self.keys;
        match M::sized(keys as usize / 2) {
            Ok(map) => self.all.push(Box::new(Apart { map, keys })),
            Err(why) => self.skipped.push(why),
        }
    }
}

/// A [`Map`] of any type, half full.
trait Contender {
    fn name(&self) -> &'static str;
    fn fill(&self);
    /// Millions of operations a second, of all threads.
    fn run(&self, threads: usize, writes: u64, time: Duration, seed: u64) -> f64;
}

/// On cache lines of its own.
#[repr(align(128))]
struct Apart<M> {
    map: M,
    keys: u64,
}

impl<M: Map> Contender for Apart<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn fill(&self) {
        let handle = self.map.enter();
        for key in (0..self.keys).step_by(2) {
            self.map.insert(&handle, key, key);
        }
    }

    fn run(&self, threads: usize, writes: u64, time: Duration, seed: u64) -> f64 {
        let stop = AtomicBool::new(false);
        let done = AtomicU64::new(0);
        let start = Barrier::new(threads + 1);
        let mut elapsed = Duration::ZERO;
        thread::scope(|scope| {
            for thread in 0..threads as u64 {
                let (map, keys) = (&self.map, self.keys);
                let (stop, done, start) = (&stop, &done, &start);
                scope.spawn(move || {
                    let handle = map.enter();
                    let mut dice = Dice(Mixer::mix(seed * 64 + thread + 1) | 1);
                    start.wait();
                    let mut operations = 0;
                    while !stop.load(Ordering::Relaxed) {
                        for _ in 0..BLOCK {
                            operate(map, &handle, &mut dice, keys, writes);
                        }
                        operations += u64::from(BLOCK);
                    }
                    done.fetch_add(operations, Ordering::Relaxed);
                });
            }
            start.wait();
            let begun = Instant::now();
            thread::sleep(time);
            stop.store(true, Ordering::Relaxed);
            elapsed = begun.elapsed();
        });
        done.into_inner() as f64 / elapsed.as_secs_f64() / 1e6
    }
}

#[inline]
fn operate<M: Map>(map: &M, handle: &M::Handle<'_>, dice: &mut Dice, keys: u64, writes: u64) {
    let draw = dice.next();
    let key = ((draw >> 32) * keys) >> 32;
    if draw & 0xff >= writes {
        if let Some(value) = map.get(handle, key) {
            consume(value);
        }
    } else if draw & 0x100 == 0 {
        map.insert(handle, key, key);
    } else {
        map.remove(handle, key);
    }
}

/// xorshift64* (Vigna 2016).
struct Dice(u64);

impl Dice {
    #[inline]
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn throughput(
    maps: &[Box<dyn Contender>],
    mut works: Vec<Work>,
    title: &'static str,
    effort: Effort,
) -> Group {
    // Shorter loops would measure cold caches.
    let time = effort.loop_time.max(Duration::from_millis(4));
    for map in maps {
        map.fill();
        map.run(1, 128, time, 99); // its threads exist, its table has settled
    }
    for round in 0..effort.rounds {
        for work in &mut works {
            for i in 0..maps.len() {
                let map = &maps[(round + i) % maps.len()];
                let rate = map.run(work.threads, work.writes, time, round as u64);
                work.chart.add(map.name(), Some(rate));
            }
        }
    }
    let charts = works.into_iter().map(|work| work.chart).collect();
    Group { title, charts }
}

fn growth(names: &[&str], effort: Effort, report: &mut Report) {
    let chart = |key, title, unit, upper, lower| {
        Chart::new(key, title, unit, Typical::Median).headed(upper, lower)
    };
    let us = Unit::Us;
    let charts = [
        chart(
            "maps_growth_p9999",
            "8 lookups while the map grows, p99.99",
            us,
            "8 gets",
            "p99.99",
        ),
        chart(
            "maps_growth_max",
            "8 lookups while the map grows, longest",
            us,
            "8 gets",
            "longest",
        ),
        chart(
            "maps_growth_const_p9999",
            "8 loads of a constant meanwhile, p99.99",
            us,
            "8 loads",
            "p99.99",
        ),
        chart(
            "maps_growth_const_max",
            "8 loads of a constant meanwhile, longest",
            us,
            "8 loads",
            "longest",
        ),
        chart(
            "maps_growth_rate",
            "Growth of a map, insertions",
            Unit::MillionsPerSecond,
            "inserts",
            "M/s",
        ),
        chart(
            "maps_bytes",
            "Memory of a map for each entry of 16 bytes",
            Unit::Bytes,
            "bytes",
            "an entry",
        ),
    ];
    let charts = measure_apart("maps", names, charts, 1, effort, report);
    report.groups.push(Group {
        title: "a map grows from nothing to ten million entries (a million if quick) beside a reader",
        charts: charts.into(),
    });
}

pub(super) fn probe(peer: &str, effort: Effort) -> Figures {
    let mut grow = Grow {
        peer,
        effort,
        figures: Err(format!("no {peer} here")),
    };
    visit_maps(&mut grow);
    grow.figures
}

struct Grow<'a> {
    peer: &'a str,
    effort: Effort,
    figures: Figures,
}

impl MapVisitor for Grow<'_> {
    fn visit<M: Map + 'static>(&mut self) {
        if M::NAME == self.peer {
            self.figures = M::new().and_then(|map| grow(&map, self.effort));
        }
    }
}

/// Keys that are there from the begin, and looked up.
const WARM: u64 = 64;
fn grow<M: Map>(map: &M, effort: Effort) -> Figures {
    let entries = if effort.quick { 1_000_000 } else { 10_000_000 };
    // A fill that takes longer is cut off.
    let patience = 6 * effort.probe_time;
    let before = sys::resident_bytes();
    {
        let handle = map.enter();
        for key in 0..WARM {
            map.insert(&handle, key, key);
        }
    }
    let stop = AtomicBool::new(false);
    let (mut inserted, mut took) = (WARM, Duration::ZERO);
    let [mut lookups, mut loads] = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            sys::pin(1);
            read(map, &stop)
        });
        let writer = scope.spawn(|| {
            sys::pin(0);
            let handle = map.enter();
            let begun = Instant::now();
            let mut key = WARM;
            while key < entries && (!key.is_multiple_of(1024) || begun.elapsed() < patience) {
                map.insert(&handle, key, key);
                key += 1;
            }
            (key, begun.elapsed())
        });
        if let Ok(filled) = writer.join() {
            (inserted, took) = filled;
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap_or_default()
    });
    let bytes = sys::resident_bytes().zip(before);
    let samples = (lookups.len() + loads.len()) * size_of::<u32>();
    let bytes = bytes.map(|(after, before)| (after - before) as f64 - samples as f64);
    let mut figures = vec![(
        "maps_growth_rate",
        (inserted - WARM) as f64 / took.as_secs_f64() / 1e6,
    )];
    figures.extend(bytes.map(|bytes| ("maps_bytes", bytes / inserted as f64)));
    figures.push(("maps_growth_entries", inserted as f64 / 1e6));
    let mut tell = |samples: &mut [u32], high, longest| {
        samples.sort_unstable();
        let at = (samples.len() as f64 * 0.9999) as usize;
        let us = |ns: &u32| f64::from(*ns) / 1e3;
        figures.extend(samples.get(at).map(|ns| (high, us(ns))));
        figures.extend(samples.last().map(|ns| (longest, us(ns))));
    };
    tell(&mut lookups, "maps_growth_p9999", "maps_growth_max");
    tell(
        &mut loads,
        "maps_growth_const_p9999",
        "maps_growth_const_max",
    );
    Ok(figures)
}

/// The nanoseconds of eight lookups, and of eight loads, by turns.
fn read<M: Map>(map: &M, stop: &AtomicBool) -> [Vec<u32>; 2] {
    const MOST: usize = 16 << 20;
    static CONSTANT: AtomicU64 = AtomicU64::new(1);
    let handle = map.enter();
    let mut samples = [Vec::with_capacity(MOST), Vec::with_capacity(MOST)];
    let mut key = 0;
    let mut last = Instant::now();
    let mut lap = |samples: &mut Vec<u32>| {
        let now = Instant::now();
        if samples.len() < MOST {
            samples.push(u32::try_from((now - last).as_nanos()).unwrap_or(u32::MAX));
        }
        last = now;
    };
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..8 {
            key = (key + 1) % WARM;
            consume(map.get(&handle, key).unwrap_or(0));
        }
        lap(&mut samples[0]);
        for _ in 0..8 {
            consume(CONSTANT.load(Ordering::Relaxed));
        }
        lap(&mut samples[1]);
    }
    samples
}
