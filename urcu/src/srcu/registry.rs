//! All domains that live, by number: for fork, and for threads that end while they keep a slot.
//!
//! Who holds the lock waits for nothing and runs no code of the user; a forking thread holds it over the fork. Nothing
//! is allocated or freed under it: by then a prefork hook of the allocator's may have taken the allocator's locks. So
//! the domains are chained through members of their own.

use core::iter;
use core::mem;
use core::ptr;

use crate::atomic::{AtomicBool, AtomicPtr, Ordering};
use crate::gp::Engine;

/// By the number's remainder: a few thousand domains make short chains.
const CHAINS: usize = 64;

/// What a domain puts into the registry.
#[derive(Debug)]
pub(super) struct Member {
    /// Never given twice, never 0.
    pub(super) id: u64,
    pub(super) engine: Engine,
    /// The next of its chain. Only under the lock.
    next: AtomicPtr<Member>,
}

impl Member {
    pub(super) fn new(id: u64) -> Self {
        Self {
            id,
            engine: Engine::new(),
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }
}

/// A spin lock that yields: a std mutex could not be given back by another call than the one that took it.
///
/// # Invariants
/// 1. A member lives as long as it is in a chain: whoever frees it removes it first.
/// 2. The chains are read and written through a [`Locked`] only, of which there is one while `taken`. It orders all
///    accesses, so they are Relaxed.
struct Registry {
    taken: AtomicBool,
    chains: [AtomicPtr<Member>; CHAINS],
}

static DOMAINS: Registry = Registry {
    taken: AtomicBool::new(false),
    chains: [const { AtomicPtr::new(ptr::null_mut()) }; CHAINS],
};

/// The right to the chains.
struct Locked(());

fn lock() -> Locked {
    // Acquire pairs with the Release in `drop`.
    while DOMAINS.taken.swap(true, Ordering::Acquire) {
        std::thread::yield_now();
    }
    Locked(())
}

fn chain(id: u64) -> &'static AtomicPtr<Member> {
    &DOMAINS.chains[id as usize % CHAINS]
}

impl Locked {
    fn read<'l>(&'l self, link: &AtomicPtr<Member>) -> Option<&'l Member> {
        // SAFETY: null, or by invariant 1 a member that lives while nobody else may remove it, which `self` sees to.
        unsafe { link.load(Ordering::Relaxed).as_ref() }
    }

    fn members<'l>(&'l self, chain: &AtomicPtr<Member>) -> impl Iterator<Item = &'l Member> {
        iter::successors(self.read(chain), |member| self.read(&member.next))
    }

    fn engines(&self) -> impl Iterator<Item = &Engine> {
        let members = DOMAINS.chains.iter().flat_map(|chain| self.members(chain));
        members.map(|member| &member.engine)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        DOMAINS.taken.store(false, Ordering::Release);
    }
}

/// # Safety
/// 1. `member` is in no chain, and lives, at its address, until after [`remove`] of it.
pub(super) unsafe fn insert(member: &Member) {
    let _locked = lock();
    let chain = chain(member.id);
    member
        .next
        .store(chain.load(Ordering::Relaxed), Ordering::Relaxed);
    // INVARIANT: 1 by clause 1.
    chain.store(ptr::from_ref(member).cast_mut(), Ordering::Relaxed);
}

pub(super) fn remove(member: &Member) {
    let locked = lock();
    let chain = chain(member.id);
    let mut links = iter::once(chain).chain(locked.members(chain).map(|before| &before.next));
    let at = links.find(|link| ptr::eq(link.load(Ordering::Relaxed), member));
    if let Some(link) = at {
        link.store(member.next.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Runs `f` if the domain with this number lives; it does until `f` returns.
pub(super) fn while_it_lives(id: u64, f: impl FnOnce()) {
    let locked = lock();
    if locked.members(chain(id)).any(|member| member.id == id) {
        f();
    }
}

/// Before a fork: takes the lock, and shows each engine to `f`.
pub(crate) fn lock_for_fork(f: impl Fn(&Engine)) {
    let locked = lock();
    locked.engines().for_each(f);
    mem::forget(locked);
}

/// After a fork, in parent or child: shows each engine to `f`, and gives the lock back.
///
/// # Safety
/// 1. The calling thread has called [`lock_for_fork`], and not this since.
pub(crate) unsafe fn unlock_after_fork(f: impl Fn(&Engine)) {
    // INVARIANT: 2 of the registry: by clause 1 this is the one that was forgotten.
    let locked = Locked(());
    locked.engines().for_each(f);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_leave_from_anywhere_in_their_chain() {
        let id = |n: u64| u64::MAX - n * CHAINS as u64; // one chain, and no domain's numbers
        let members: [_; 4] = core::array::from_fn(|n| Box::new(Member::new(id(n as u64))));
        let lives = |n: u64| {
            let mut found = false;
            while_it_lives(id(n), || found = true);
            found
        };
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            for member in &members {
                // SAFETY: clause 1: they are removed below.
                unsafe { insert(member) };
            }
            for (gone, n) in order.into_iter().enumerate() {
                assert!(order[gone..].iter().all(|&n| lives(n)));
                remove(&members[usize::try_from(n).unwrap()]);
                assert!(!order[..=gone].iter().any(|&n| lives(n)));
            }
        }
    }
}
