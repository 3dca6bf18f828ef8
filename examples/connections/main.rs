//! A table of connections, looked up by id on every packet while others open and close: `Idr` beside a `RwLock<HashMap>`.
//!
//! The id is known before the connection exists, so the connection can carry it. A packet that comes late has an old id and finds
//! nothing, also when the slot is another connection's by now. Whoever wants to keep a connection counts it (`get`); a packet
//! that only adds to its counters does not.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Barrier, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use examples::cli;
use urcu::{Id, Idr, Memb};

const ABOUT: &str = "connections: a table of connections by id, beside its RwLock twin";
/// Open at a time.
const OPEN: usize = 1000;
/// Packets between two looks at the clock.
const BATCH: u64 = 1000;

struct Connection {
    id: u64,
    bytes: AtomicU64,
}

/// What both tables can do.
trait Table: Sync {
    fn open(&self) -> u64;
    fn close(&self, id: u64) -> bool;
    /// Counts a packet; `false` if the connection is gone.
    fn packet(&self, id: u64, bytes: u64) -> bool;
}

#[derive(Default)]
struct ByIdr(Idr<Connection>);

impl Table for ByIdr {
    fn open(&self) -> u64 {
        let reservation = self.0.reserve().expect("fewer than 2^32 are open");
        let id = reservation.id().raw();
        let bytes = AtomicU64::new(0);
        reservation.publish(Arc::new(Connection { id, bytes }));
        id
    }

    fn close(&self, id: u64) -> bool {
        // Dropped on a worker, when no packet is at it any more.
        Id::from_raw(id).is_some_and(|id| self.0.remove(id).is_some())
    }

    fn packet(&self, id: u64, bytes: u64) -> bool {
        let guard = Memb::read_lock();
        let found = Id::from_raw(id).and_then(|id| self.0.get(id, &guard));
        found.is_some_and(|connection| {
            assert_eq!(connection.id, id, "another connection");
            connection.bytes.fetch_add(bytes, Relaxed);
            true
        })
    }
}

#[derive(Default)]
struct ByLock {
    table: RwLock<HashMap<u64, Arc<Connection>>>,
    last: AtomicU64,
}

impl Table for ByLock {
    fn open(&self) -> u64 {
        let id = self.last.fetch_add(1, Relaxed) + 1;
        let bytes = AtomicU64::new(0);
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.insert(id, Arc::new(Connection { id, bytes }));
        id
    }

    fn close(&self, id: u64) -> bool {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.remove(&id).is_some()
    }

    fn packet(&self, id: u64, bytes: u64) -> bool {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&id).is_some_and(|connection| {
            assert_eq!(connection.id, id);
            connection.bytes.fetch_add(bytes, Relaxed);
            true
        })
    }
}

/// One thread has packets, another opens and closes. Nanoseconds for a packet.
fn measure(table: &dyn Table, time: Duration) -> f64 {
    // The ids that packets come with: some are old.
    let ids: Vec<AtomicU64> = (0..OPEN).map(|_| AtomicU64::new(table.open())).collect();
    let (over, start) = (AtomicBool::new(false), Barrier::new(2));
    thread::scope(|s| {
        s.spawn(|| {
            start.wait();
            for n in (0..OPEN).cycle() {
                if over.load(Relaxed) {
                    break;
                }
                assert!(table.close(ids[n].load(Relaxed)), "closed once");
                ids[n].store(table.open(), Relaxed);
                thread::sleep(Duration::from_micros(20));
            }
        });
        start.wait();
        let (begun, mut packets, mut late) = (Instant::now(), 0, 0);
        let mut known: Vec<u64> = ids.iter().map(|id| id.load(Relaxed)).collect();
        while begun.elapsed() < time {
            for n in packets..packets + BATCH {
                let n = (n * 7919 % OPEN as u64) as usize;
                if !table.packet(known[n], 1500) {
                    late += 1;
                    known[n] = ids[n].load(Relaxed);
                }
            }
            packets += BATCH;
        }
        let took = begun.elapsed();
        over.store(true, Relaxed);
        println!("  {packets} packets, {late} of them late");
        took.as_nanos() as f64 / packets as f64
    })
}

fn main() {
    let time = cli::seconds(ABOUT, 2) / 2;
    println!("Idr:");
    let idr = measure(&ByIdr::default(), time);
    println!("RwLock<HashMap>:");
    let lock = measure(&ByLock::default(), time);
    Memb::barrier();
    println!(
        "a packet: {idr:.1} ns by Idr, {lock:.1} ns by RwLock<HashMap>, {:.1} x",
        lock / idr
    );
}
