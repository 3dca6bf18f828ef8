//! A route table with longest-prefix match that changes while packets are routed: `RcuLocked<Routes>` beside a `RwLock<Routes>`.
//!
//! Whoever changes it copies what it changes, the routes of one prefix length, and shares the rest. Changes exclude each other
//! with a mutex around the writer, and see the table without a section; packets see one table from the longest prefix to the
//! shortest, and wait for nobody.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use examples::cli;
use urcu::{Memb, RcuLocked, Writer};

const ABOUT: &str = "routes: longest-prefix match beside changes, and its RwLock twin";
/// Packets between two looks at the clock.
const BATCH: u32 = 1000;

/// Where a packet goes.
type Hop = u32;

/// The routes of each prefix length that has any, longest first.
#[derive(Clone, Default)]
struct Routes(Vec<(u32, Arc<HashMap<u32, Hop>>)>);

/// The first bits of an address.
fn prefix(address: u32, length: u32) -> u32 {
    address & u32::MAX.checked_shl(32 - length).unwrap_or(0)
}

impl Routes {
    fn set(&mut self, address: u32, length: u32, hop: Hop) {
        let at = self.0.partition_point(|(other, _)| *other > length);
        if self.0.get(at).is_none_or(|(other, _)| *other != length) {
            self.0.insert(at, (length, Arc::default()));
        }
        // Copies the map if another version of the table has it.
        Arc::make_mut(&mut self.0[at].1).insert(prefix(address, length), hop);
    }

    fn find(&self, address: u32) -> Option<Hop> {
        let mut found = self.0.iter();
        found.find_map(|(length, routes)| routes.get(&prefix(address, *length)).copied())
    }
}

/// A default route, some networks, and some hosts in them.
fn at_first() -> Routes {
    let mut routes = Routes::default();
    routes.set(0, 0, 1);
    for n in 0..200 {
        routes.set(n << 24 | n << 16, 16, 2);
        routes.set(n << 24 | n << 16 | 7 << 8, 24, 3);
    }
    assert_eq!(routes.find(0x0505_0701), Some(3));
    assert_eq!(routes.find(0x0505_0801), Some(2));
    assert_eq!(routes.find(0xffff_0801), Some(1));
    routes
}

/// What both tables can do.
trait Table: Sync {
    fn set(&self, address: u32, length: u32, hop: Hop);
    fn route(&self, address: u32) -> Option<Hop>;
}

struct ByRcu {
    lock: Mutex<Writer>,
    routes: RcuLocked<Routes>,
}

impl Table for ByRcu {
    fn set(&self, address: u32, length: u32, hop: Hop) {
        let mut writer = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut routes = self.routes.get(&writer).cloned().unwrap_or_default();
        routes.set(address, length, hop);
        self.routes.assign(&mut writer, routes);
    }

    fn route(&self, address: u32) -> Option<Hop> {
        let guard = Memb::read_lock();
        self.routes.dereference(&guard)?.find(address)
    }
}

impl Table for RwLock<Routes> {
    fn set(&self, address: u32, length: u32, hop: Hop) {
        let mut routes = self.write().unwrap_or_else(PoisonError::into_inner);
        routes.set(address, length, hop);
    }

    fn route(&self, address: u32) -> Option<Hop> {
        let routes = self.read().unwrap_or_else(PoisonError::into_inner);
        routes.find(address)
    }
}

/// Two threads route packets, another changes routes of hosts. Nanoseconds for a packet.
fn measure(table: &dyn Table, time: Duration) -> f64 {
    let (over, start) = (AtomicBool::new(false), Barrier::new(3));
    let packets = || {
        start.wait();
        let (begun, mut packets) = (Instant::now(), 0);
        while begun.elapsed() < time {
            for n in packets..packets + BATCH {
                let hop = table.route(n.wrapping_mul(0x9e37_79b1));
                assert!(hop.is_some(), "there is always a route");
            }
            packets = packets.wrapping_add(BATCH);
        }
        begun.elapsed().as_nanos() as f64 / f64::from(packets)
    };
    thread::scope(|s| {
        s.spawn(|| {
            start.wait();
            for n in 0.. {
                if over.load(Relaxed) {
                    break;
                }
                table.set(0x0505_0700 | (n % 256), 32, n);
                thread::sleep(Duration::from_micros(200));
            }
        });
        let other = s.spawn(packets);
        let ns = (packets() + other.join().expect("packets do not panic")) / 2.0;
        over.store(true, Relaxed);
        ns
    })
}

fn main() {
    let time = cli::seconds(ABOUT, 2) / 2;
    let writer = Writer::new();
    let routes = RcuLocked::new(&writer, at_first());
    let lock = Mutex::new(writer);
    let rcu = measure(&ByRcu { lock, routes }, time);
    let lock = measure(&RwLock::new(at_first()), time);
    println!(
        "a packet: {rcu:.1} ns by RcuLocked, {lock:.1} ns by RwLock, {:.1} x",
        lock / rcu
    );
}
