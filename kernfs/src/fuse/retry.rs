//! Which clients were told ESTALE, so that none of them is told it twice.
//!
//! At ESTALE the VFS walks the path once more, asking about every component; a second ESTALE goes to the
//! user, and no kernfs file gives that. But what was alive when the client's second walk looked it up, and
//! is removed now, was missing at a moment within the client's system call: ENOENT is a true answer. The
//! same holds when the second walk comes back to the removed node itself, or begins with the removed directory that the
//! node was in: then it is where the walk begins (a descriptor, the working directory, what is bound somewhere), not a name
//! that could mean something else now.
//!
//! Clients are told apart by the thread id in the request. Of threads in another pid namespace we see 0
//! only; they may get the second ESTALE.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Errno;

/// Walks that are noted at a time; more means that clients were killed in theirs.
const WALKS_MAX: usize = 1024;
/// Components noted of one walk.
const SEEN_MAX: usize = 256;

/// How long a second walk takes at most. Of some we do not hear when they end: of a stat(2), of a readlink(2).
const LIFE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Walk {
    since: Instant,
    /// The node that ESTALE was about.
    stale: u64,
    /// The directory that it was in.
    dir: Option<u64>,
    /// What the client has looked up since.
    seen: Vec<u64>,
    /// Its last lookup found nothing. That is the end of the walk, unless it asks the same again: the VFS
    /// does when a cached name proves wrong.
    missing: Option<(u64, Vec<u8>)>,
}

impl Walk {
    fn goes_on(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < LIFE
    }
}

/// The second walks that may be going on.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// How many, so that whoever finds 0 needs no lock.
    count: AtomicUsize,
    walks: Mutex<HashMap<u32, Walk>>,
}

impl Retries {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Walk>> {
        // Nothing panics under the lock but an allocation.
        self.walks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is noted of this client. Relaxed: a thread's own notes were made in requests that
    /// the kernel saw answered before it sent this one.
    fn any(&self, who: u32) -> bool {
        who != 0 && self.count.load(Ordering::Relaxed) != 0
    }

    /// The client looks up a name; what it finds is told by `found`.
    pub(super) fn looked_up(&self, who: u32, parent: u64, name: &[u8], found: Option<u64>) {
        if !self.any(who) {
            return;
        }
        let mut walks = self.lock();
        let Some(walk) = walks.get_mut(&who) else {
            return;
        };
        let again = walk
            .missing
            .take()
            .is_none_or(|(dir, missed)| dir == parent && missed == name);
        match found {
            _ if !again => self.forget(&mut walks, who),
            Some(id) if walk.seen.len() < SEEN_MAX => walk.seen.push(id),
            Some(_) => {}
            None => walk.missing = Some((parent, name.to_vec())),
        }
    }

    fn forget(&self, walks: &mut HashMap<u32, Walk>, who: u32) {
        walks.remove(&who);
        self.count.store(walks.len(), Ordering::Relaxed);
    }

    /// The client asks about a removed node, which was in the directory `dir`: what to answer.
    pub(super) fn gone(&self, who: u32, id: u64, dir: Option<u64>) -> Errno {
        self.gone_at(Instant::now(), who, id, dir)
    }

    fn gone_at(&self, now: Instant, who: u32, id: u64, dir: Option<u64>) -> Errno {
        if who == 0 {
            return Errno::ESTALE;
        }
        let mut walks = self.lock();
        if let Some(walk) = walks.get(&who)
            && walk.goes_on(now)
            && walk.missing.is_none()
            && (walk.stale == id
                || walk.seen.contains(&id)
                || walk.seen.is_empty() && walk.dir == Some(id))
        {
            return Errno::ENOENT;
        }
        if walks.len() >= WALKS_MAX {
            walks.clear();
        }
        let walk = Walk {
            since: now,
            stale: id,
            dir,
            seen: Vec::new(),
            missing: None,
        };
        walks.insert(who, walk);
        self.count.store(walks.len(), Ordering::Relaxed);
        Errno::ESTALE
    }

    /// Whether this is a client's second walk. If he has looked nothing up in it, he is still at its beginning, so where
    /// he was told ESTALE is no name but a descriptor or the working directory: that node.
    pub(super) fn walks_again(&self, who: u32) -> Option<Option<u64>> {
        if !self.any(who) {
            return None;
        }
        let walks = self.lock();
        let now = Instant::now();
        let walk = walks
            .get(&who)
            .filter(|walk| walk.missing.is_none() && walk.goes_on(now))?;
        Some(walk.seen.is_empty().then_some(walk.stale))
    }

    /// The client's system call ends, or goes on with something else than a path.
    pub(super) fn over(&self, who: u32) {
        if self.any(who) {
            self.forget(&mut self.lock(), who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_twice() {
        let retries = Retries::default();
        assert_eq!(retries.gone(7, 10, None), Errno::ESTALE);
        // The second walk finds the node that took the name, which is removed before it is opened.
        retries.looked_up(7, 1, b"a", Some(11));
        assert_eq!(retries.gone(7, 11, None), Errno::ENOENT);
        retries.over(7);
        assert_eq!(retries.gone(7, 11, None), Errno::ESTALE); // from a cache, another time
    }

    #[test]
    fn a_name_that_is_missing_ends_the_walk_unless_it_is_asked_for_again() {
        let retries = Retries::default();
        for (name, second) in [(b"a", Errno::ENOENT), (b"b", Errno::ESTALE)] {
            assert_eq!(retries.gone(7, 10, None), Errno::ESTALE);
            retries.looked_up(7, 1, b"a", None);
            retries.looked_up(7, 1, name, Some(11));
            assert_eq!(retries.gone(7, 11, None), second);
            retries.over(7);
        }
    }

    #[test]
    fn a_walk_of_which_nothing_is_heard_ends_some_time() {
        let retries = Retries::default();
        let gone = |now| retries.gone_at(now, 7, 10, None);
        let now = Instant::now();
        assert_eq!(gone(now), Errno::ESTALE);
        assert_eq!(gone(now + LIFE / 2), Errno::ENOENT);
        assert_eq!(gone(now + LIFE), Errno::ESTALE);
        assert_eq!(gone(now + LIFE), Errno::ENOENT);
    }

    #[test]
    fn a_walk_from_a_removed_directory_ends() {
        let retries = Retries::default();
        assert_eq!(retries.walks_again(7), None);
        assert_eq!(retries.gone(7, 10, None), Errno::ESTALE);
        assert_eq!(retries.walks_again(7), Some(Some(10)));
        assert_eq!(retries.gone(7, 10, None), Errno::ENOENT);
        // By a path: nobody can say that this is the node that is meant.
        retries.looked_up(7, 1, b"a", Some(10));
        assert_eq!(retries.walks_again(7), Some(None));
        assert_eq!(retries.gone(7, 10, None), Errno::ENOENT);
    }

    /// The news of the node's end came between the two walks, so the second one asks about the directory.
    #[test]
    fn a_walk_that_begins_in_the_removed_directory_ends() {
        let retries = Retries::default();
        assert_eq!(retries.gone(7, 10, Some(5)), Errno::ESTALE);
        assert_eq!(retries.gone(7, 5, Some(1)), Errno::ENOENT);
        // Another one may have been found by a name that the kernel remembered.
        assert_eq!(retries.gone(7, 6, Some(1)), Errno::ESTALE);
        retries.looked_up(7, 1, b"a", Some(8));
        assert_eq!(retries.gone(7, 1, None), Errno::ESTALE);
    }

    #[test]
    fn clients_do_not_mix() {
        let retries = Retries::default();
        assert_eq!(retries.gone(7, 10, None), Errno::ESTALE);
        retries.looked_up(8, 1, b"a", Some(11));
        assert_eq!(retries.gone(8, 11, None), Errno::ESTALE);
        assert_eq!(retries.gone(0, 10, None), Errno::ESTALE);
        assert_eq!(retries.gone(0, 10, None), Errno::ESTALE);
    }

    #[test]
    fn forgotten_walks_do_not_pile_up() {
        let retries = Retries::default();
        for who in 1..=2 * u32::try_from(WALKS_MAX).unwrap_or(0) {
            retries.gone(who, 10, None);
        }
        assert!(retries.lock().len() <= WALKS_MAX);
    }
}
