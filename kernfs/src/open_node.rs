//! Open nodes: what all open files of one node share.
//!
//! The kernel's `kernfs_open_node`: published, found and freed by RCU (the seed of this crate: Al Viro's review of
//! April 2022). It exists while the file is open somewhere, and of each hashed mutex the one that was closed last stays
//! (see [`crate::locks`]): a file that is opened and closed again and again would make and retire one each time.
//! Retiring is cheap all the same: it needs no drop, hence its memory goes through the retiring thread's ring, and no
//! worker is woken. What it owns is taken out before that.

use core::fmt;
use core::mem::{self, ManuallyDrop};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bell::Bell;
use crate::flags::Has;
use crate::life::Claim;
use crate::memory::Memory;
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
    /// How many files are open. Changed under the hashed mutex, so by a load and a store.
    count: AtomicUsize,
    /// Those that a drain has something to do with. Changed only under the node's hashed mutex, so never contended. A
    /// mutex all the same, because the hashed one protects a `Writer` and not this.
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    /// Live ones, and those that wait for their last handle to go.
    list: ManuallyDrop<List>,
    /// A drain has seen those before, and claimed what was live.
    drained: usize,
}

/// For so many others an open node that nobody has open keeps room.
const KEPT: usize = 16;

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
        self.others.pop().or_else(|| {
            // It may stay for long now, and was open often once.
            if self.others.capacity() > KEPT {
                self.others = Vec::new();
            }
            self.first.take()
        })
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

/// Whether a drain has something to do with the file: run its `release`, end its mappings.
fn is_drained(of: &Opened) -> bool {
    of.has.intersects(Has::RELEASE | Has::MMAP)
}

impl OpenNode {
    pub(crate) fn new() -> Self {
        Self {
            bell: Bell::new(),
            drains: AtomicU32::new(0),
            count: AtomicUsize::new(0),
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

    /// How many files have it open; without the hashed mutex, a moment ago.
    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// A file was opened. Hashed mutex held.
    pub(crate) fn add(&self, of: &Arc<Opened>) {
        of.life.begin();
        self.count.store(self.count() + 1, Ordering::Relaxed);
        if is_drained(of) {
            let mut files = self.files();
            of.index.store(files.list.len(), Ordering::Relaxed);
            files.list.push(Arc::clone(of));
        }
    }

    /// A file was closed, of which the caller has another count. Hashed mutex held.
    pub(crate) fn remove(&self, file: &Arc<Opened>) {
        self.count.store(self.count() - 1, Ordering::Relaxed);
        if is_drained(file) {
            self.take_off(file);
        }
    }

    fn take_off(&self, file: &Arc<Opened>) {
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
    }

    /// Whether nobody has it open; without the hashed mutex, a moment ago.
    pub(crate) fn is_unused(&self) -> bool {
        self.count() == 0
    }

    /// Gives up what it owns: it is to be retired now, and nobody has it open. Runs nobody's code: no file is on the
    /// list, and the bed goes by RCU. Hashed mutex held.
    pub(crate) fn empty(&self) {
        debug_assert!(self.is_unused());
        // INVARIANT: 1.
        drop(mem::take(&mut *self.files().list));
        self.bell.empty();
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

    /// What the files on the list have mapped. Hashed mutex held.
    pub(crate) fn mapped(&self) -> Vec<Memory> {
        let files = self.files();
        let mapped = files.list.iter().filter_map(|of| of.memory.get());
        mapped.cloned().collect()
    }

    /// All files on the list. Hashed mutex held.
    pub(crate) fn all(&self) -> Vec<Arc<Opened>> {
        self.files().list.iter().cloned().collect()
    }
}

impl fmt::Debug for OpenNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.files();
        f.debug_struct("OpenNode")
            .field("bell", &self.bell)
            .field("drains", &self.drains)
            .field("files", &self.count())
            .field("listed", &files.list.len())
            .field("drained", &files.drained)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use core::panic::Location;

    use super::*;
    use crate::active::Active;
    use crate::cx::{Counted, Cx, Host};
    use crate::error::Result;
    use crate::flags::{OpenFlags, PollFlags};
    use crate::opened::{AnyOpen, Seat};
    use crate::records::Start;
    use crate::seq::Seq;
    use std::io::SeekFrom;
    use urcu::Memb;

    /// Callbacks of which only `release` is called.
    struct Nothing;

    impl AnyOpen for Nothing {
        fn show(&self, _: &mut Cx<'_>, _: &mut Seq) -> Result<()> {
            unreachable!()
        }
        fn read(&self, _: &mut Cx<'_>, _: &mut [u8], _: u64) -> Result<usize> {
            unreachable!()
        }
        fn write(&self, _: &mut Cx<'_>, _: &[u8], _: u64) -> Result<usize> {
            unreachable!()
        }
        fn start<'a>(&'a self, _: &mut Cx<'_>, _: u64) -> Result<Option<Start<'a>>> {
            unreachable!()
        }
        fn llseek(&self, _: &mut Cx<'_>, _: u64, _: SeekFrom) -> Result<u64> {
            unreachable!()
        }
        fn mmap(&self, _: &mut Cx<'_>, _: u64, _: u64, _: OpenFlags) -> Result<Memory> {
            unreachable!()
        }
        fn poll(&self, _: &mut Cx<'_>, _: PollFlags) -> PollFlags {
            unreachable!()
        }
        fn release(&self, _: &mut Cx<'_>) {}
    }

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
        fn address(&self) -> usize {
            0
        }
    }

    impl Counted for Nobody {
        fn remove_self(&self, _: &Active<'_>, _: &'static Location<'static>) -> Result<bool> {
            Ok(false)
        }
    }

    fn live(on: &OpenNode, has: Has) -> Arc<Opened> {
        let seat = Seat {
            flags: OpenFlags::READ,
            opener: None,
            has,
            prealloc: Vec::new(),
        };
        let of: Arc<Opened> = Arc::new(Opened::new(seat, Nothing));
        on.add(&of);
        of
    }

    #[track_caller]
    fn release(of: &Arc<Opened>) {
        of.run_release(&Nobody, Location::caller());
    }

    #[test]
    fn a_drain_claims_each_live_file_once_whatever_closes_meanwhile() {
        let on = OpenNode::new();
        let mut files: Vec<_> = (0..200).map(|_| live(&on, Has::RELEASE)).collect();
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
        let late = live(&on, Has::RELEASE);
        assert!(Arc::ptr_eq(&on.claim_next().unwrap(), &late) && on.claim_next().is_none());
        for of in files.iter().chain([&late]) {
            on.remove(of);
        }
        assert!(on.is_unused());
    }

    // Most files have neither `release` nor memory: a drain only counts them.
    #[test]
    fn a_file_that_no_drain_has_to_end_is_counted_and_not_listed() {
        let on = OpenNode::new();
        let (plain, mapped) = (live(&on, Has::SHOW), live(&on, Has::MMAP));
        assert_eq!((Arc::strong_count(&plain), on.all().len()), (1, 1));
        on.remove(&mapped);
        assert!(!on.is_unused() && on.all().is_empty());
        on.remove(&plain);
        assert!(on.is_unused());
    }

    // It may stay on its mutex for as long as the node lives.
    #[test]
    fn an_open_node_that_nobody_has_open_keeps_little_room() {
        for (files, keeps) in [(4, true), (100, false)] {
            let on = OpenNode::new();
            let files: Vec<_> = (0..files).map(|_| live(&on, Has::RELEASE)).collect();
            files.iter().for_each(|of| on.remove(of));
            let capacity = on.files().list.others.capacity();
            assert!(on.is_unused() && capacity <= KEPT && (capacity != 0) == keeps);
        }
    }

    #[test]
    fn an_open_node_that_is_retired_owns_nothing_and_who_sleeps_keeps_the_bed() {
        let on = OpenNode::new();
        let of = live(&on, Has::RELEASE);
        let bed = on.bell.bed();
        assert!(Arc::ptr_eq(&bed, &on.bell.bed()));
        let asleep_since = bed.value();
        on.bell.ring(&Memb::read_lock());
        assert!(on.bell.event() == 2 && bed.value() != asleep_since);
        on.remove(&of);
        assert!(on.is_unused());
        on.empty();
        assert_eq!(
            (on.files().list.others.capacity(), Arc::strong_count(&of)),
            (0, 1)
        );
        Memb::barrier();
        assert_eq!(Arc::strong_count(&bed), 1);
    }
}
