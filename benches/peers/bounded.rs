//! `Memb` with a bound on what may wait for grace periods: the updater asks before it retires, and where it
//! is refused it makes no further update until there is room.

use urcu::{Limits, Memb, Rcu, Retired};

use crate::peer::{Object, Peer, Reader, Settled};

/// The name in the table.
pub const NAME: &str = "urcu Memb, at most 16 MiB";
/// The hard limit.
pub const BYTES: u64 = 16 << 20;

/// Sets the limits, for the whole process.
pub fn set_limits() {
    Memb::set_limits(Limits {
        soft: BYTES / 2,
        hard: BYTES,
    });
}

pub(super) struct Bounded(Rcu<Object>);

impl Bounded {
    pub(super) fn new() -> Self {
        Self(Rcu::new(Object::new(1)))
    }
}

/// With the object that was refused last, to try again.
pub(super) struct Updater<'a> {
    value: &'a Rcu<Object>,
    refused: Option<Retired<Object>>,
}

impl Peer for Bounded {
    type Reader<'a> = Updater<'a>;

    fn name(&self) -> &'static str {
        NAME
    }

    fn another(&self) -> Self {
        Self::new()
    }

    fn reader(&self) -> Updater<'_> {
        set_limits();
        Updater {
            value: &self.0,
            refused: None,
        }
    }

    fn settle(&self) -> Settled {
        Memb::barrier();
        Settled::AllFreed
    }
}

impl Reader for Updater<'_> {
    #[inline]
    fn read(&mut self) -> u64 {
        let guard = Memb::read_lock();
        self.value.dereference(&guard).map_or(0, Object::value)
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        let _guard = Memb::read_lock();
        inside();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        let old = match self.refused.take() {
            Some(refused) => Some(refused),
            None => self.value.replace(Object::new(new)),
        };
        self.refused = old.and_then(|old| old.try_free().err());
    }
}
