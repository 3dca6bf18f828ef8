//! The hashed mutexes of the open files.
//!
//! The kernel's `kernfs_global_locks` (6.0): one global mutex was contended on machines with hundreds of
//! CPUs, one in every node would bloat them, so nodes hash into a table whose size goes by the number of
//! CPUs. Each mutex protects a [`Writer`], without which nobody changes an open node's pointer; the pointer
//! remembers its writer, so a node belongs to one mutex for ever.
//!
//! It also protects a count of the node that was closed last of those that are its own, and whose open node stays: who
//! opens that node again finds both. A node is taken out of there when another one takes its place, and by its drain.

use core::any::Any;
use core::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use urcu::Writer;

use crate::order;

/// Which mutex of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot(u16);

/// A count of a node.
pub(crate) type Idle = Arc<dyn Any + Send + Sync>;

/// What a mutex protects.
#[derive(Debug)]
struct Shelf {
    writer: Writer,
    idle: Option<Idle>,
}

/// On cache lines of its own: who takes its neighbour would wait for it too.
#[repr(align(128))]
struct Line(Mutex<Shelf>);

static TABLE: LazyLock<Box<[Line]>> = LazyLock::new(|| {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let shelf = || Shelf {
        writer: Writer::new(),
        idle: None,
    };
    let lines = (0..size(cpus) + SPARE).map(|_| Line(Mutex::new(shelf())));
    lines.collect()
});

/// One more for who is [`testing::alone`].
const SPARE: usize = if cfg!(test) { 1 } else { 0 };

/// The kernel's sizes, but for small machines: of its 4 for two CPUs every fourth pair of files shares one.
fn size(cpus: usize) -> usize {
    match cpus {
        0..=15 => 64,
        16..=31 => 256,
        32.. => 1024,
    }
}

impl Slot {
    /// The mutex of a node. `seed` keeps trees apart, whose ids are alike.
    pub(crate) fn of(seed: u64, id: u64) -> Self {
        #[cfg(test)]
        if testing::is_alone() {
            return Self(u16::try_from(TABLE.len() - 1).unwrap());
        }
        let mixed = (seed ^ id.rotate_left(32))
            .wrapping_add(id)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let [high, low, ..] = mixed.to_be_bytes();
        let most = u16::try_from(TABLE.len() - SPARE - 1).unwrap_or(u16::MAX);
        Self(u16::from_be_bytes([high, low]) & most)
    }

    /// Whether it is the same one.
    #[cfg(test)]
    pub(crate) fn is(self, other: Self) -> bool {
        self.0 == other.0
    }

    /// Takes the mutex. Held for a few instructions, never over a callback.
    #[track_caller]
    pub(crate) fn lock(self) -> SlotGuard {
        let order = order::hashed();
        SlotGuard {
            shelf: TABLE[usize::from(self.0)]
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
            _order: order,
        }
    }
}

/// A hashed mutex is held.
#[derive(Debug)]
pub(crate) struct SlotGuard {
    shelf: MutexGuard<'static, Shelf>,
    _order: order::Hashed,
}

impl SlotGuard {
    /// Puts a node there; gives the one that was.
    #[must_use = "to be dropped without the mutex"]
    pub(crate) fn put_idle(&mut self, node: Idle) -> Option<Idle> {
        self.shelf.idle.replace(node)
    }

    /// Takes the node at this address, if it is there.
    #[must_use = "to be dropped without the mutex"]
    pub(crate) fn take_idle(&mut self, node: usize) -> Option<Idle> {
        let idle = &mut self.shelf.idle;
        idle.take_if(|idle| Arc::as_ptr(idle).addr() == node)
    }
}

impl Deref for SlotGuard {
    type Target = Writer;
    fn deref(&self) -> &Writer {
        &self.shelf.writer
    }
}

impl DerefMut for SlotGuard {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.shelf.writer
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::cell::Cell;

    static ONE: Mutex<()> = Mutex::new(());

    thread_local! {
        static ALONE: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn is_alone() -> bool {
        ALONE.get()
    }

    /// While it lives the nodes that its thread makes share a mutex that no other test's have: the table is the
    /// process's, and what the others close takes the place of what was closed before.
    pub(crate) struct Alone(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

    pub(crate) fn alone() -> Alone {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        ALONE.set(true);
        Alone(one)
    }

    impl Drop for Alone {
        fn drop(&mut self) {
            ALONE.set(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_two_and_nodes_spread() {
        for cpus in [0, 1, 2, 4, 8, 16, 32, 4096] {
            assert!(size(cpus).is_power_of_two());
        }
        let mut used = vec![0; TABLE.len() - SPARE];
        for id in 0..4096 {
            used[usize::from(Slot::of(7, id).0)] += 1;
        }
        assert!(used.iter().all(|n| *n > 0), "{used:?}");
    }
}
