//! A2: no qsbr function announces or goes offline for a handle that it does not hold as `&mut Thread`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use urcu::{Mb, Memb, Qsbr, Rcu};

fn refused(f: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(f)).expect_err("it waited");
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn a02_waits_without_the_handle_panic_while_it_is_online() {
    static P: Rcu<u32, Qsbr> = Rcu::null();
    P.assign(1);
    let mut thread = Qsbr::register();
    {
        let guard = thread.read_lock();
        let value = P.dereference(&guard).unwrap();
        assert!(refused(Qsbr::synchronize).contains("online registration"));
        assert!(refused(Qsbr::barrier).contains("barrier"));
        let old = P.replace(2).unwrap();
        refused(|| drop(old.synchronize()));
        assert_eq!(*value, 1, "what the misuse left is freed later, not now");
    }
    let old = P.replace(3).unwrap();
    assert_eq!(*old.synchronize_with(&mut thread), 2);
    // Offline, and after it, the forms without a handle are as good as any.
    thread.offline(|| {
        Qsbr::synchronize();
        Qsbr::barrier();
    });
    drop(thread);
    Qsbr::synchronize();
}

#[test]
fn a02_a_second_online_handle_of_the_thread_is_found() {
    let mut one = Qsbr::register();
    let mut two = Qsbr::register();
    assert!(refused(|| one.synchronize()).contains("never return"));
    refused(|| one.barrier());
    refused(|| one.offline(Qsbr::synchronize));
    // The refusal has not put anybody offline: both still are what a grace period waits for.
    assert!(Qsbr::read_lock_held());
    two.offline(|| one.synchronize());
    drop(two);
    one.synchronize();
}

// The same for the counting flavors: the guard of one handle, or of the thread itself, and a wait through
// another handle.
#[test]
fn a02_a_section_of_another_handle_is_found() {
    let mut one = Memb::register();
    let two = Memb::register();
    let guard = two.read_lock();
    refused(|| one.synchronize());
    refused(|| one.barrier());
    refused(Memb::synchronize);
    drop(guard);
    let guard = Memb::read_lock();
    refused(|| one.synchronize());
    drop(guard);
    one.synchronize();
    let mut forgets = Mb::register();
    std::mem::forget(forgets.read_lock());
    refused(|| forgets.synchronize());
}

// Another domain's section is no obstacle.
#[test]
fn a02_a_section_of_another_flavor_does_not_hinder() {
    let _memb = Memb::read_lock();
    let mut qsbr = Qsbr::register();
    let _online = qsbr.read_lock();
    Mb::synchronize();
    Mb::barrier();
    drop(_online);
    qsbr.synchronize();
}
