//! Readers write nothing shared: while they run, everything that the process can write is read-only, but the
//! reader's own stack and the pages of its own slots.
//!
//! Not only urcu's statics: the heap and libc too. Excepted are the first
//! use of a thread, which claims a slot, and nesting; no grace period waits. A slot shares its page with other
//! slots; the first chunk of the arena lies inside the engine and is filled first, so that our slots are in
//! mapped pages of their own, and the engine with all it holds is read-only.
//!
//! A reader of srcu writes two things, if it has one guard of the domain at a time and drops it itself: the word and
//! the place in the slot that its thread keeps, and in memory of that thread's own whether it has the slot or a
//! guard has. (A guard more claims a slot by a CAS, which others contend for.)

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::libc_calls::{fork_and_wait, kill_me_after};
use super::subject::{scale, whole_machine};
use crate::arena::thread_id;
use crate::flavor::{Flavor, engine};
use crate::gp::Engine;
use crate::srcu::keeper_address;
use crate::{Guard, Mb, Memb, Qsbr, Rcu, Srcu, Thread};

/// Slots in the first chunk of an arena.
const FIRST_CHUNK: usize = 64;
const PAGE: usize = 4096;

/// `/proc/self/maps`, in a string that did not grow while it was read: to grow is to free.
fn maps() -> String {
    for capacity in (16..).map(|bits| 1 << bits) {
        let mut text = String::with_capacity(capacity);
        let mut file = File::open("/proc/self/maps").unwrap();
        file.read_to_string(&mut text).unwrap();
        if text.len() < capacity / 2 {
            return text;
        }
    }
    unreachable!("there is a longest text")
}

/// What this process can write, as `maps` has it.
fn writable(maps: &str) -> Vec<Range<usize>> {
    let mut all = Vec::with_capacity(maps.lines().count());
    all.extend(maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        rest.starts_with("rw").then(|| number(start)..number(end))
    }));
    all
}

/// `from` without `hole`.
fn without(from: &[Range<usize>], hole: &Range<usize>) -> Vec<Range<usize>> {
    let split = |range: &Range<usize>| {
        let before = range.start..range.end.min(hole.start).max(range.start);
        let after = range.start.max(hole.end).min(range.end)..range.end;
        [before, after]
    };
    let mut rest = Vec::with_capacity(2 * from.len());
    rest.extend(
        from.iter()
            .flat_map(split)
            .filter(|range| !range.is_empty()),
    );
    rest
}

/// The mapping with this address.
fn mapping_of(maps: &[Range<usize>], address: usize) -> Range<usize> {
    let found = maps.iter().find(|range| range.contains(&address));
    found.expect("the address is writable").clone()
}

/// What may be done with pages that are mapped.
#[derive(Clone, Copy, Debug)]
enum Access {
    ReadOnly,
    ReadWrite,
}

/// # Safety
/// 1. The pages are mapped for reading and writing. Until they are that again, a write to them ends the
///    process by SIGSEGV.
unsafe fn protect(pages: &Range<usize>, access: Access) {
    let protection = match access {
        Access::ReadOnly => libc::PROT_READ,
        Access::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
    };
    let at = core::ptr::with_exposed_provenance_mut(pages.start);
    // SAFETY: clause 1; contents do not change.
    let result = unsafe { libc::mprotect(at, pages.len(), protection) };
    assert_eq!(result, 0, "mprotect of {pages:x?}");
}

/// Runs `f` with everything read-only but this thread's stack and thread-local words, and the pages `kept`.
fn with_all_read_only(kept: &[usize], read_only: &[usize], f: impl FnOnce()) {
    thread_local! {
        static LOCAL: AtomicU64 = const { AtomicU64::new(0) };
    }
    // Nothing is freed before all can be written again: malloc may give pages back to the system that the text
    // still has. So every list is kept, and none grows.
    let text = maps();
    let all = writable(&text);
    let on_stack = 0_u8;
    let stack = mapping_of(&all, (&raw const on_stack).addr());
    let local = LOCAL.with(|local| mapping_of(&all, core::ptr::from_ref(local).addr()));
    let pages = kept
        .iter()
        .map(|at| at / PAGE * PAGE..at / PAGE * PAGE + PAGE);
    let mut lists: Vec<Vec<_>> = Vec::with_capacity(kept.len() + 2);
    for hole in pages.chain([stack, local]) {
        let rest = without(lists.last().unwrap_or(&all), &hole);
        lists.push(rest);
    }
    let protected = lists.last().unwrap_or(&all);
    for address in read_only {
        mapping_of(protected, *address);
    }
    for range in protected {
        // SAFETY: clause 1: mapped `rw`, see `writable`. This process has no other thread.
        unsafe { protect(range, Access::ReadOnly) };
    }
    f();
    for range in protected {
        // SAFETY: clause 1: as above.
        unsafe { protect(range, Access::ReadWrite) };
    }
}

/// The slots of this thread that are inside a section, or online.
fn slots_inside<F: Flavor>() -> Vec<usize> {
    let me = thread_id();
    let mine = engine::<F>()
        .arena
        .slots()
        .filter(|slot| slot.belongs_to(me) && slot.word().depth() != 0);
    mine.map(|slot| core::ptr::from_ref(slot).addr()).collect()
}

/// So many sections, each with a look at the object.
fn sections<'t, F: Flavor>(
    count: usize,
    shared: &Rcu<u64, F>,
    mut lock: impl FnMut() -> Guard<'t, F>,
) {
    for _ in 0..count {
        let guard = lock();
        black_box(shared.dereference(&guard).copied());
        drop(guard);
    }
}

/// Makes things until one of them is not on the pages of these addresses.
fn on_other_pages<T>(
    addresses: &[usize],
    make: impl Fn() -> T,
    place: impl Fn(&T) -> Range<usize>,
) -> T {
    let mut others = Vec::new();
    loop {
        let made = make();
        let place = place(&made);
        let pages = place.start / PAGE..=(place.end - 1) / PAGE;
        if !addresses.iter().any(|at| pages.contains(&(at / PAGE))) {
            return made;
        }
        others.push(made); // or the next one would take its place
    }
}

/// Sections of every flavor, automatic and by hand. `also` is done once while all is read-only.
fn all_flavors(also: impl FnOnce()) {
    let default = if cfg!(debug_assertions) {
        1_000_000
    } else {
        100_000_000
    };
    let count = scale("URCU_SECTIONS", default);
    // Fills the first chunks.
    let memb: Vec<Thread<Memb>> = (0..FIRST_CHUNK).map(|_| Memb::register()).collect();
    let mb: Vec<Thread<Mb>> = (0..FIRST_CHUNK).map(|_| Mb::register()).collect();
    let qsbr: Vec<Thread<Qsbr>> = (0..FIRST_CHUNK).map(|_| Qsbr::register()).collect();
    let by_hand = (Memb::register(), Mb::register());
    let guards = (
        Memb::read_lock(),
        by_hand.0.read_lock(),
        Mb::read_lock(),
        by_hand.1.read_lock(),
    );
    let mut kept = slots_inside::<Memb>();
    kept.extend(slots_inside::<Mb>());
    drop(guards);
    let others = slots_inside::<Qsbr>();
    let mut online = Qsbr::register();
    kept.extend(
        slots_inside::<Qsbr>()
            .iter()
            .filter(|slot| !others.contains(slot)),
    );
    assert_eq!(kept.len(), 5, "a slot for each way to read");

    // This thread's memory for srcu is somewhere on the heap.
    drop(Srcu::new().read_lock());
    kept.push(keeper_address().unwrap());
    let srcu = on_other_pages(&kept, Srcu::new, |srcu| {
        let start = core::ptr::from_ref(srcu.engine_in_tests()).addr();
        start..start + size_of::<Engine>()
    });
    let open = |srcu: &Srcu| -> Vec<usize> {
        let slots = srcu.engine_in_tests().arena.slots();
        let open = slots.filter(|slot| slot.word().depth() != 0);
        open.map(|slot| core::ptr::from_ref(slot).addr()).collect()
    };
    let others: Vec<_> = (0..FIRST_CHUNK).map(|_| srcu.read_lock()).collect();
    let of_others = open(&srcu);
    let guard = srcu.read_lock();
    kept.extend(open(&srcu).iter().filter(|slot| !of_others.contains(slot)));
    drop(guard);
    assert_eq!(kept.len(), 7, "two for the reader of srcu");

    let of_memb = on_other_pages(
        &kept,
        || Rcu::new(1),
        |p| p.as_ptr().addr()..p.as_ptr().addr() + 8,
    );
    let (of_mb, of_qsbr) = (Rcu::new(2), Rcu::new(3));
    let of_srcu = srcu.new_ptr(4);
    let read_only = [
        core::ptr::from_ref(engine::<Memb>()).addr(),
        core::ptr::from_ref(engine::<Mb>()).addr(),
        core::ptr::from_ref(engine::<Qsbr>()).addr(),
        core::ptr::from_ref(srcu.engine_in_tests()).addr(),
        of_memb.as_ptr().addr(),
    ];
    with_all_read_only(&kept, &read_only, || {
        also();
        sections(count, &of_memb, Memb::read_lock);
        sections(count, &of_memb, || by_hand.0.read_lock());
        sections(count, &of_mb, Mb::read_lock);
        sections(count, &of_mb, || by_hand.1.read_lock());
        for _ in 0..count {
            let guard = online.read_lock();
            black_box(of_qsbr.dereference(&guard).copied());
            drop(guard);
            online.quiescent_state();
        }
        for _ in 0..count {
            let guard = srcu.read_lock();
            black_box(of_srcu.dereference(&guard).copied());
            drop(guard);
        }
    });
    drop(others);
    drop((memb, mb, qsbr, by_hand, online));
}

/// A process with this thread alone runs the body; gives its exit status.
fn alone(body: impl FnOnce()) -> i32 {
    let _machine = whole_machine();
    fork_and_wait(|| {
        kill_me_after(600); // at most ten seconds, on a machine that has nothing else to do
        body();
    })
}

#[test]
fn readers_write_nothing_shared() {
    let status = alone(|| all_flavors(|| ()));
    assert_eq!(status, 0, "a reader wrote what it shares with others");
}

/// What `fork_and_wait` gives for a child that signal 11 ended.
const SIGSEGV: i32 = 128 + 11;

#[test]
fn control_a_write_to_a_static_is_caught() {
    static SHARED: AtomicU64 = AtomicU64::new(0);
    let status = alone(|| {
        all_flavors(|| black_box(&SHARED).store(1, Relaxed));
    });
    assert_eq!(status, SIGSEGV);
}

#[test]
fn control_a_write_to_the_engine_is_caught() {
    let status = alone(|| {
        all_flavors(|| engine::<Memb>().counters.shared.add_one());
    });
    assert_eq!(status, SIGSEGV);
}

#[test]
fn control_a_write_to_the_engine_of_srcu_is_caught() {
    let status = alone(|| {
        // One of them is on no page of this thread's.
        let domains: [Srcu; 3] = std::array::from_fn(|_| Srcu::new());
        all_flavors(|| {
            for srcu in &domains {
                srcu.engine_in_tests().counters.shared.add_one();
            }
        });
    });
    assert_eq!(status, SIGSEGV);
}

#[test]
fn control_a_write_to_the_heap_is_caught() {
    let status = alone(|| {
        // Two pages: in the middle is one that nothing else is on.
        let shared: Vec<_> = (0..PAGE / 4).map(|_| AtomicU64::new(0)).collect();
        all_flavors(|| black_box(&shared)[PAGE / 8].store(1, Relaxed));
    });
    assert_eq!(status, SIGSEGV);
}
