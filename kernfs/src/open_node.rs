//! Open nodes: what all open files of one node share.
//!
//! The kernel's `kernfs_open_node`: it exists only while the file is open somewhere, and is published, found and
//! freed by RCU (the seed of this crate: Al Viro's review of April 2022). A file that is opened and closed again and
//! again makes and retires one each time, so retiring has to be cheap: it needs no drop, hence its memory goes
//! through the retiring thread's ring, and no worker is woken. What it owns is taken out before that.

use core::fmt;
use core::mem::{self, ManuallyDrop};
use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bell::Bell;
use crate::life::Claim;
use crate::opened::Opened;

/// What all open files of one node share.
///
/// # Invariants
/// 1. `bell` and the list of files are empty when it is retired: [`OpenNode::empty`] comes before that.
pub(crate) struct OpenNode {
    /// Rung by `notify` and by the drain.
    pub(crate) bell: Bell,
    /// How often the node was drained while this stood. Counted up under the hashed mutex.
    drains: AtomicU32,
    /// Changed only under the node's hashed mutex, so never contended. A mutex all the same, because the
    /// hashed one protects a `Writer` and not this.
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    /// Live ones, and those that wait for their last handle to go.
    list: ManuallyDrop<List>,
    /// A drain has seen those before, and claimed what was live.
    drained: usize,
    /// Files whose `open` runs. They are not on the list: who drains does not wait for them, whose callback
    /// may have given up its active reference to wait for who drains.
    opening: usize,
}

/// Open files. The first one stands in the open node: most nodes are open once, and allocate nothing for it.
///
/// # Invariants
/// 1. Without a first one there are no others.
#[derive(Default)]
struct List {
    first: Option<Arc<Opened>>,
    others: Vec<Arc<Opened>>,
}

impl List {
    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Opened>> {
        self.first.iter().chain(&self.others)
    }

    fn get(&self, at: usize) -> Option<&Arc<Opened>> {
        match at.checked_sub(1) {
            None => self.first.as_ref(),
            Some(other) => self.others.get(other),
        }
    }

    fn push(&mut self, file: Arc<Opened>) {
        match &self.first {
            None => self.first = Some(file),
            Some(_) => self.others.push(file),
        }
    }

    fn pop(&mut self) -> Option<Arc<Opened>> {
        self.others.pop().or_else(|| self.first.take())
    }

    /// Gives two the place of the other.
    fn swap(&mut self, a: usize, b: usize) {
        match (a.min(b), a.max(b)) {
            (near, far) if near == far => {}
            (0, far) => {
                if let (Some(first), Some(far)) = (&mut self.first, self.others.get_mut(far - 1)) {
                    mem::swap(first, far);
                }
            }
            (near, far) => self.others.swap(near - 1, far - 1),
        }
        for at in [a, b] {
            if let Some(file) = self.get(at) {
                file.index.store(at, Ordering::Relaxed);
            }
        }
    }
}

const _: () = assert!(!mem::needs_drop::<OpenNode>(), "or a worker has to free it");

/// What a file is at the end of its `open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// On the list.
    Live,
    /// The node was drained meanwhile: claimed, to be released by the opener, and not on the list.
    Drained,
}

impl OpenNode {
    pub(crate) fn new() -> Self {
        Self {
            bell: Bell::new(),
            drains: AtomicU32::new(0),
            files: Mutex::default(),
        }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the node was drained. Read it before you look whether the node is active: a drain after
    /// that changes it.
    pub(crate) fn drains(&self) -> u32 {
        self.drains.load(Ordering::SeqCst)
    }

    /// A file begins to be opened. Hashed mutex held.
    pub(crate) fn begin_open(&self) -> u32 {
        self.files().opening += 1;
        self.drains()
    }

    /// Its `open` has succeeded; `drains` is what `begin_open` said. Hashed mutex held.
    pub(crate) fn end_open(&self, of: &Arc<Opened>, drains: u32) -> Begun {
        let mut files = self.files();
        files.opening -= 1;
        if self.drains() != drains {
            of.life.begin_claimed();
            return Begun::Drained;
        }
        of.life.begin();
        of.index.store(files.list.len(), Ordering::Relaxed);
        files.list.push(Arc::clone(of));
        Begun::Live
    }

    /// Its `open` has failed. Hashed mutex held.
    pub(crate) fn fail_open(&self) {
        self.files().opening -= 1;
    }

    /// Whether it is to be retired now: nobody has it open, nobody is opening it. Then what it owns is given up. Runs
    /// nobody's code: no file is on the list, and the bed goes by RCU. Hashed mutex held.
    pub(crate) fn empty(&self) -> bool {
        self.empty_if_unused(self.files())
    }

    fn empty_if_unused(&self, mut files: MutexGuard<'_, Files>) -> bool {
        let is_unused = files.is_unused();
        if is_unused {
            // INVARIANT: 1.
            drop(mem::take(&mut *files.list));
            drop(files);
            self.bell.empty();
        }
        is_unused
    }

    /// Takes a file off, of which the caller has another count; then as [`empty`](Self::empty). Hashed mutex held.
    pub(crate) fn remove(&self, file: &Arc<Opened>) -> bool {
        let mut files = self.files();
        let mut hole = file.index.load(Ordering::Relaxed);
        debug_assert!(files.list.get(hole).is_some_and(|at| Arc::ptr_eq(at, file)));
        // What a drain has not seen must not come before what it has.
        if hole < files.drained {
            files.drained -= 1;
            let last = files.drained;
            files.list.swap(hole, last);
            hole = last;
        }
        let last = files.list.len() - 1;
        files.list.swap(hole, last);
        files.list.pop();
        self.empty_if_unused(files)
    }

    /// From now on who waits knows that the node was drained. Hashed mutex held.
    pub(crate) fn begin_drain(&self) {
        self.drains.fetch_add(1, Ordering::SeqCst);
    }

    /// Claims a live file. `None`: there is none any more. Hashed mutex held.
    pub(crate) fn claim_next(&self) -> Option<Arc<Opened>> {
        let mut files = self.files();
        loop {
            let file = Arc::clone(files.list.get(files.drained)?);
            files.drained += 1;
            if file.life.claim() == Claim::Ours {
                return Some(file);
            }
        }
    }

    /// All files on the list. Hashed mutex held.
    pub(crate) fn all(&self) -> Vec<Arc<Opened>> {
        self.files().list.iter().cloned().collect()
    }
}

impl Files {
    fn is_unused(&self) -> bool {
        self.list.len() == 0 && self.opening == 0
    }
}

impl fmt::Debug for OpenNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.files();
        f.debug_struct("OpenNode")
            .field("bell", &self.bell)
            .field("drains", &self.drains)
            .field("files", &files.list.len())
            .field("drained", &files.drained)
            .field("opening", &files.opening)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::panic::Location;

    use super::*;
    use crate::active::Active;
    use crate::cx::Host;
    use crate::flags::{Has, OpenFlags};
    use urcu::Memb;

    struct Nobody;

    impl Host for Nobody {
        fn id(&self) -> u64 {
            0
        }
        fn name(&self) -> Vec<u8> {
            Vec::new()
        }
        fn path(&self) -> Vec<u8> {
            Vec::new()
        }
        fn notify(&self) {}
        fn remove_self(
            self: Arc<Self>,
            _: &Active<'_>,
            _: &'static Location<'static>,
        ) -> crate::error::Result<bool> {
            Ok(false)
        }
    }

    fn opened() -> Arc<Opened> {
        let prealloc = Vec::new();
        Arc::new(Opened::new(
            Arc::new(Nobody),
            OpenFlags::READ,
            None,
            Has::NONE,
            prealloc,
            None,
        ))
    }

    fn live(on: &OpenNode) -> Arc<Opened> {
        let of = opened();
        let drains = on.begin_open();
        assert_eq!(on.end_open(&of, drains), Begun::Live);
        of
    }

    #[track_caller]
    fn release(of: &Arc<Opened>) {
        of.run_release(0, Location::caller());
    }

    #[test]
    fn a_drain_claims_each_live_file_once_whatever_closes_meanwhile() {
        let on = OpenNode::new();
        let mut files: Vec<_> = (0..200).map(|_| live(&on)).collect();
        let mut state = 1_u32;
        let mut claimed = 0;
        on.begin_drain();
        loop {
            // Some close between two claims: of those the drain has seen, and of those it has not.
            for _ in 0..2 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if !files.is_empty() {
                    let at = usize::try_from(state >> 8).unwrap() % files.len();
                    let of = files.swap_remove(at);
                    if of.life.claim() == Claim::Ours {
                        claimed += 1;
                        release(&of);
                    }
                    on.remove(&of);
                }
            }
            let Some(of) = on.claim_next() else { break };
            assert_eq!(of.life.claim(), Claim::Theirs);
            claimed += 1;
            release(&of);
        }
        assert_eq!(claimed, 200);
        assert!(files.iter().all(|of| of.is_dead()));
        // Files that are opened later are another drain's.
        let late = live(&on);
        assert!(Arc::ptr_eq(&on.claim_next().unwrap(), &late) && on.claim_next().is_none());
        for of in files.iter().chain([&late]) {
            on.remove(of);
        }
        assert!(on.empty());
    }

    #[test]
    fn a_file_that_was_opening_during_the_drain_is_its_openers_to_release() {
        let on = OpenNode::new();
        let (of, drains) = (opened(), on.begin_open());
        assert!(!on.empty());
        on.begin_drain();
        assert!(on.claim_next().is_none());
        assert_eq!(on.end_open(&of, drains), Begun::Drained);
        assert!(of.is_dead() && of.life.claim() == Claim::Theirs);
        assert!(on.files().is_unused());
        on.begin_open();
        on.fail_open();
        assert!(on.empty());
    }

    #[test]
    fn an_open_node_that_is_retired_owns_nothing_and_who_sleeps_keeps_the_bed() {
        let on = OpenNode::new();
        let of = live(&on);
        let bed = on.bell.bed();
        assert!(Arc::ptr_eq(&bed, &on.bell.bed()));
        let asleep_since = bed.value();
        on.bell.ring(&Memb::read_lock());
        assert!(on.bell.event() == 2 && bed.value() != asleep_since);
        assert!(on.remove(&of));
        assert_eq!(
            (on.files().list.others.capacity(), Arc::strong_count(&of)),
            (0, 1)
        );
        Memb::barrier();
        assert_eq!(Arc::strong_count(&bed), 1);
    }
}
