//! fork(2): parent and child both go on, without a call by the user (rule A6).
//!
//! The child has one thread. It sheds the other threads' slots, clears the leadership that another thread
//! may have held, keeps the callbacks that were queued or taken (the one that was running is lost, and
//! counted), and starts a worker anew with its next `call` or `barrier`. Sequence and round numbers stay:
//! a section that the forking thread is inside of goes on to hold grace periods back.
//!
//! No lock is held while waiting for readers, so `prepare` takes only the queues' spin bits, whose holders
//! wait for nothing. The child's hook walks the slots and the queued callbacks. References that other threads' sections protected are dead in the child; that is part of fork's own
//! contract.

use crate::arena::thread_id;
use crate::flavor::{Mb, Memb, Qsbr, engine};
use crate::gp::Engine;
use crate::stall;
use crate::sys;

fn engines() -> [&'static Engine; 3] {
    [engine::<Memb>(), engine::<Mb>(), engine::<Qsbr>()]
}

unsafe extern "C" fn prepare() {
    for engine in engines() {
        engine.queue.lock_taking();
    }
}

unsafe extern "C" fn parent() {
    for engine in engines() {
        engine.queue.unlock_taking();
    }
}

unsafe extern "C" fn child() {
    stall::after_fork_in_child();
    for engine in engines() {
        let me = thread_id();
        engine.arena.keep_only(me);
        engine.after_fork_in_child(me);
        if engine.queue.after_fork_in_child(me) {
            engine.counters.callbacks_lost.add_one();
        }
    }
}

extern "C" fn register_hooks_at_load() {
    if !sys::at_fork(prepare, parent, child) {
        sys::die("urcu: no memory for the fork hooks\n");
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static REGISTER_HOOKS_AT_LOAD: extern "C" fn() = register_hooks_at_load;
