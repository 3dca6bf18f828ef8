//! The flags of a node that change, in one word.
//!
//! The kernel's `kernfs_node.flags`. All are changed with the tree lock held, but [`REMOVED_ITSELF`]. Who reads one
//! without the lock has a hint, but for what the line of the flag says.

use core::fmt;

use crate::atomic::{Ordering, Word};

/// It was activated once: showing it activates it again. `KERNFS_ACTIVATED`.
pub(crate) const ACTIVATED: u32 = 1;
/// Removal has begun: nothing is added below any more, and it is never active again. `KERNFS_REMOVING`.
pub(crate) const REMOVING: u32 = 1 << 1;
/// Removal is over; the node is in no directory.
pub(crate) const UNLINKED: u32 = 1 << 2;
/// Hidden by [`crate::show`]. `KERNFS_HIDDEN`.
pub(crate) const HIDDEN: u32 = 1 << 3;
/// A directory that stays empty. Never changes after creation. `KERNFS_EMPTY_DIR`.
pub(crate) const EMPTY_DIR: u32 = 1 << 4;
/// The children carry tags. Set while there are none. `KERNFS_NS`.
pub(crate) const NS: u32 = 1 << 5;
/// A callback is removing its own node. `KERNFS_SUICIDAL`.
pub(crate) const REMOVES_ITSELF: u32 = 1 << 6;
/// It has done so. Others sleep until this is set. `KERNFS_SUICIDED`.
pub(crate) const REMOVED_ITSELF: u32 = 1 << 7;

/// From here on: how many threads are between the two ends of hiding the node.
const HIDING: u32 = 1 << 16;

/// The word.
pub(crate) struct State(Word);

impl State {
    pub(crate) const fn new(flags: u32) -> Self {
        Self(Word::new(flags))
    }

    /// Whether all of `flags` are set.
    pub(crate) fn has(&self, flags: u32) -> bool {
        self.load() & flags == flags
    }

    fn load(&self) -> u32 {
        // Acquire pairs with the Release of `set`: who sees a flag sees what led to it.
        self.0.load(Ordering::Acquire)
    }

    /// Sets flags; tells whether one of them was set before.
    pub(crate) fn set(&self, flags: u32) -> bool {
        self.0.fetch_or(flags, Ordering::AcqRel) & flags != 0
    }

    pub(crate) fn clear(&self, flags: u32) {
        self.0.fetch_and(!flags, Ordering::AcqRel);
    }

    /// A thread begins to hide the node.
    pub(crate) fn begin_hiding(&self) {
        self.0.fetch_add(HIDING, Ordering::Relaxed);
    }

    pub(crate) fn end_hiding(&self) {
        self.0.fetch_sub(HIDING, Ordering::Relaxed);
    }

    /// Whether it may be active. Tree lock held.
    pub(crate) fn may_be_active(&self) -> bool {
        let now = self.load();
        now & ACTIVATED != 0 && now & (HIDDEN | REMOVING) == 0 && now < HIDING
    }

    /// Sets `flag` and wakes who waits for it.
    pub(crate) fn announce(&self, flag: u32) {
        self.set(flag);
        self.0.wake(i32::MAX);
    }

    /// Sleeps until `flag` is announced.
    pub(crate) fn wait_for(&self, flag: u32) {
        loop {
            let now = self.load();
            if now & flag != 0 {
                return;
            }
            // Any change of the word ends the sleep or keeps it from beginning, this one wakes.
            self.0.wait(now, None);
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = [
            "ACTIVATED",
            "REMOVING",
            "UNLINKED",
            "HIDDEN",
            "EMPTY_DIR",
            "NS",
            "REMOVES_ITSELF",
            "REMOVED_ITSELF",
        ];
        let now = self.load();
        let set = NAMES.iter().enumerate();
        f.debug_set()
            .entries(set.filter_map(|(bit, name)| (now & (1 << bit) != 0).then_some(name)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_activated_node_that_nothing_keeps_down_may_be_active() {
        let state = State::new(0);
        assert!(!state.may_be_active());
        assert!(!state.set(ACTIVATED) && state.set(ACTIVATED));
        assert!(state.may_be_active());
        for flag in [HIDDEN, REMOVING] {
            state.set(flag);
            assert!(!state.may_be_active() && state.has(flag));
            state.clear(flag);
        }
        state.begin_hiding();
        state.begin_hiding();
        state.end_hiding();
        assert!(!state.may_be_active() && state.has(ACTIVATED));
        state.end_hiding();
        assert!(state.may_be_active());
        assert_eq!(format!("{state:?}"), "{\"ACTIVATED\"}");
    }
}
