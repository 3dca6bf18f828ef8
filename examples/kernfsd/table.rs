//! The table that the race is about: pid to process, behind RCU or behind a lock.
//!
//! Both sides hold the same map type with the same hasher and are replaced as a whole; only what stands
//! around the map differs. A lookup is one read section or one read lock: no batching on either side.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::hint::black_box;
use std::mem;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use urcu::{Memb, Rcu};

use super::process::Process;

/// What a table holds.
type Map<S> = HashMap<u32, Arc<Process>, S>;

/// Fibonacci hashing: for small integers one multiplication is enough.
#[derive(Debug, Default)]
pub(super) struct Fibonacci(u64);

impl Hasher for Fibonacci {
    fn finish(&self) -> u64 {
        // The product's upper bits are the mixed ones, and the map takes its bucket from the lower.
        self.0.rotate_left(32)
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(byte.into()));
    }
    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.0 = (self.0 ^ u64::from(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type IntegerState = BuildHasherDefault<Fibonacci>;

/// What stands around the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    Rcu,
    RwLock,
}

/// How the map hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    Integer,
    Std,
}

/// One of the four tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arm {
    pub(super) hash: Hash,
    pub(super) backend: Backend,
}

impl Arm {
    pub(super) const ALL: [Self; 4] = [
        Self::new(Hash::Integer, Backend::Rcu),
        Self::new(Hash::Integer, Backend::RwLock),
        Self::new(Hash::Std, Backend::Rcu),
        Self::new(Hash::Std, Backend::RwLock),
    ];

    pub(super) const fn new(hash: Hash, backend: Backend) -> Self {
        Self { hash, backend }
    }

    /// Its place in [`Arm::ALL`].
    pub(super) const fn index(self) -> usize {
        let hash = match self.hash {
            Hash::Integer => 0,
            Hash::Std => 2,
        };
        match self.backend {
            Backend::Rcu => hash,
            Backend::RwLock => hash + 1,
        }
    }
}

/// What one update of a table cost its writer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update {
    /// Until the new map was published. RCU: a pointer swap; lock: the wait for the readers as well.
    pub(super) published: Duration,
    /// Until no reader could hold the old map any more. RCU: the grace period as well.
    pub(super) safe: Duration,
}

/// A map behind RCU, and a map behind a lock. One of the two is in use.
#[derive(Debug)]
struct Pair<S: Send + Sync + 'static> {
    rcu: Rcu<Map<S>>,
    lock: RwLock<Map<S>>,
}

impl<S: BuildHasher + Default + Send + Sync + 'static> Pair<S> {
    fn new() -> Self {
        Self {
            rcu: Rcu::null(),
            lock: RwLock::default(),
        }
    }

    fn publish(&self, backend: Backend, processes: &[Arc<Process>]) -> Update {
        let new: Map<S> = processes
            .iter()
            .map(|process| (process.id.pid, Arc::clone(process)))
            .collect();
        let new_box = Box::new(new);
        let start = Instant::now();
        match backend {
            Backend::Rcu => {
                let old = self.rcu.replace_box(new_box);
                let published = start.elapsed();
                let old = old.map(urcu::Retired::synchronize);
                let safe = start.elapsed();
                drop(old);
                Update { published, safe }
            }
            Backend::RwLock => {
                let mut map = self.lock.write().unwrap_or_else(PoisonError::into_inner);
                let old = mem::replace(&mut *map, *new_box);
                drop(map);
                let published = start.elapsed();
                drop(old);
                Update {
                    published,
                    safe: published,
                }
            }
        }
    }

    fn clear(&self, backend: Backend) {
        match backend {
            Backend::Rcu => drop(self.rcu.take()),
            Backend::RwLock => {
                let mut map = self.lock.write().unwrap_or_else(PoisonError::into_inner);
                let old = mem::take(&mut *map);
                drop(map);
                drop(old);
            }
        }
    }

    #[inline]
    fn find_rcu(&self, pid: u32) -> Option<u64> {
        let guard = Memb::read_lock();
        let process = self.rcu.dereference(&guard)?.get(&pid)?;
        Some(process.rss_kb())
    }

    #[inline]
    fn find_locked(&self, pid: u32) -> Option<u64> {
        let map = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        map.get(&pid).map(|process| process.rss_kb())
    }

    fn find_all(&self, backend: Backend, pids: &[u32], rounds: usize) -> u64 {
        match backend {
            Backend::Rcu => count(pids, rounds, |pid| self.find_rcu(pid)),
            Backend::RwLock => count(pids, rounds, |pid| self.find_locked(pid)),
        }
    }

    fn pids(&self, backend: Backend, pids: &mut Vec<u32>) {
        pids.clear();
        match backend {
            Backend::Rcu => {
                let guard = Memb::read_lock();
                if let Some(map) = self.rcu.dereference(&guard) {
                    pids.extend(map.keys());
                }
            }
            Backend::RwLock => {
                let map = self.lock.read().unwrap_or_else(PoisonError::into_inner);
                pids.extend(map.keys());
            }
        }
    }
}

/// Looks all `pids` up, `rounds` times; the number of hits. The same loop for both sides.
#[inline]
fn count(pids: &[u32], rounds: usize, find: impl Fn(u32) -> Option<u64>) -> u64 {
    let mut hits = 0;
    for _ in 0..rounds {
        for &pid in pids {
            hits += u64::from(black_box(find(black_box(pid))).is_some());
        }
    }
    hits
}

/// The four tables.
#[derive(Debug)]
pub(super) struct Tables {
    integer: Pair<IntegerState>,
    std: Pair<RandomState>,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self {
            integer: Pair::new(),
            std: Pair::new(),
        }
    }

    /// Replaces the content of one table. Waits until the old content is unused and frees it.
    pub(super) fn publish(&self, arm: Arm, processes: &[Arc<Process>]) -> Update {
        match arm.hash {
            Hash::Integer => self.integer.publish(arm.backend, processes),
            Hash::Std => self.std.publish(arm.backend, processes),
        }
    }

    /// Empties a table.
    pub(super) fn clear(&self, arm: Arm) {
        match arm.hash {
            Hash::Integer => self.integer.clear(arm.backend),
            Hash::Std => self.std.clear(arm.backend),
        }
    }

    /// Looks all `pids` up, `rounds` times; the number of hits.
    pub(super) fn find_all(&self, arm: Arm, pids: &[u32], rounds: usize) -> u64 {
        match arm.hash {
            Hash::Integer => self.integer.find_all(arm.backend, pids, rounds),
            Hash::Std => self.std.find_all(arm.backend, pids, rounds),
        }
    }

    /// The keys of a table.
    pub(super) fn pids(&self, arm: Arm, pids: &mut Vec<u32>) {
        match arm.hash {
            Hash::Integer => self.integer.pids(arm.backend, pids),
            Hash::Std => self.std.pids(arm.backend, pids),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::procfs::{Identity, Stat};
    use super::*;

    fn process(pid: u32) -> Arc<Process> {
        Arc::new(Process::new(&Stat {
            id: Identity { pid, start: 0 },
            comm: String::new(),
            state: b'S',
            rss_kb: 1,
            threads: 1,
            cpu_ms: 0,
        }))
    }

    #[test]
    fn the_four_tables_agree() {
        let tables = Tables::new();
        let processes: Vec<_> = (1..=100).map(process).collect();
        for (index, arm) in Arm::ALL.into_iter().enumerate() {
            assert_eq!(arm.index(), index);
            tables.publish(arm, &processes);
            let mut pids = Vec::new();
            tables.pids(arm, &mut pids);
            pids.sort_unstable();
            assert_eq!(pids, Vec::from_iter(1..=100));
            assert_eq!(tables.find_all(arm, &[1, 100, 101, 7], 2), 6);
            tables.publish(arm, &processes[..1]);
            assert_eq!(tables.find_all(arm, &[1, 100], 1), 1);
            tables.clear(arm);
            assert_eq!(tables.find_all(arm, &[1, 100], 1), 0);
        }
        Memb::barrier();
        assert!(
            processes
                .iter()
                .all(|process| Arc::strong_count(process) == 1)
        );
    }

    #[test]
    fn neighbouring_pids_spread() {
        let hash = |pid: u32| IntegerState::default().hash_one(pid);
        let mut buckets: Vec<u64> = (1000..1256).map(|pid| hash(pid) & 511).collect();
        buckets.sort_unstable();
        buckets.dedup();
        assert!(buckets.len() > 200, "{}", buckets.len());
    }
}
