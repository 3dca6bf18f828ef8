//! fork(2): parent and child both go on, without a call by the user (rule A6).
//!
//! The child has one thread. It sheds the other threads' slots, ends the srcu sections that other threads had
//! opened (the slots stay with their guards, which may be in memory that the child has, too), clears the
//! leadership that another thread may have held, keeps the callbacks that were queued or taken (those that
//! were running are lost, and counted), and starts workers anew with its next `call`, `barrier` or look at a cookie.
//! Sequence and round numbers stay: a section that the forking thread is inside of goes on to hold grace periods back.
//!
//! No lock is held while waiting for readers, so `prepare` takes only the queues' spin bits and that of the srcu
//! registry, whose holders wait for nothing, also not for the allocator: its own hook may have come first. The child's
//! hook walks the queued callbacks and all mapped slots, because a thread may have been between its claim and the mark.
//! References that other threads' sections protected are dead in the child; that is part of fork's own contract.

use crate::arena::thread_id;
use crate::flavor::{Mb, Memb, Qsbr, engine};
use crate::gp::Engine;
use crate::identity;
use crate::srcu::{self, registry};
use crate::stall;
use crate::sys;

fn engines() -> [&'static Engine; 3] {
    [engine::<Memb>(), engine::<Mb>(), engine::<Qsbr>()]
}

fn before(engine: &Engine) {
    engine.backlog.lock_for_fork();
}

fn after_in_parent(engine: &Engine) {
    engine.backlog.unlock_after_fork();
}

fn after_in_child(engine: &Engine, me: u64) {
    engine.after_fork_in_child(me);
    let lost = engine.backlog.after_fork_in_child(me);
    engine.counters.callbacks_lost.add(lost);
}

unsafe extern "C" fn prepare() {
    registry::lock_for_fork(before);
    for engine in engines() {
        let abandoned = engine.arena.abandon_for_the_dead();
        engine.counters.abandoned.add(abandoned);
        before(engine);
    }
}

unsafe extern "C" fn parent() {
    engines().into_iter().for_each(after_in_parent);
    // SAFETY: clause 1: the C library calls the hooks of one fork in one thread, `prepare` first.
    unsafe { registry::unlock_after_fork(after_in_parent) };
}

unsafe extern "C" fn child() {
    identity::count_fork();
    stall::after_fork_in_child();
    srcu::after_fork_in_child();
    let me = thread_id();
    for engine in engines() {
        engine.arena.keep_only(me);
        after_in_child(engine, me);
    }
    let shed = |engine: &Engine| {
        engine.arena.shed(me);
        after_in_child(engine, me);
    };
    // SAFETY: clause 1: the C library calls the hooks of one fork in one thread, `prepare` first.
    unsafe { registry::unlock_after_fork(shed) };
}

extern "C" fn register_hooks_at_load() {
    if !sys::at_fork(prepare, parent, child) {
        sys::die("urcu: no memory for the fork hooks\n");
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static REGISTER_HOOKS_AT_LOAD: extern "C" fn() = register_hooks_at_load;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Shard;

    // The child has what memory was at the fork: a batch that was half taken then would be lost.
    #[test]
    fn nobody_takes_a_batch_while_memory_is_copied() {
        // SAFETY: as the C library does around a fork. No other is between the two: the locks are taken in one order.
        unsafe { prepare() };
        let held = engines().map(|engine| engine.backlog.shards().all(Shard::is_locked));
        // SAFETY: as above.
        unsafe { parent() };
        assert_eq!(held, [true; 3]);
    }
}
