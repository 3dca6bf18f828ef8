//! Debug builds check the order of locks; in release builds all of this is nothing.
//!
//! The crate's own locks have ranks (the table stands in [`crate::tree`]): a hashed mutex is taken by nobody who
//! holds one, and neither the tree lock is, nor does a callback run. That would be our fault, so it panics.
//!
//! The lock of an open file is held over its callbacks, and those may use other open files. Two that use
//! each other's are a deadlock when it comes to it on two threads. As the kernel's lockdep does, this
//! remembers who was used inside whom, and says so the first time that a circle closes, though nothing hangs
//! yet: with the places on both sides.

use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
use core::panic::Location;
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

type Place = &'static Location<'static>;

thread_local! {
    /// Where a hashed mutex was taken that is held now.
    static HASHED: Cell<Option<Place>> = const { Cell::new(None) };
    /// The open files whose locks are held, outermost first.
    static FILES: RefCell<Vec<Use>> = const { RefCell::new(Vec::new()) };
}

/// Ends what it stands for when dropped. Belongs to its thread.
#[must_use]
#[derive(Debug)]
pub(crate) struct Hashed(PhantomData<*mut ()>);

/// A hashed mutex is about to be taken.
#[track_caller]
pub(crate) fn hashed() -> Hashed {
    if cfg!(debug_assertions) {
        nothing_held("a hashed mutex");
        let _ = HASHED.try_with(|held| held.set(Some(Location::caller())));
    }
    Hashed(PhantomData)
}

impl Drop for Hashed {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            let _ = HASHED.try_with(|held| held.set(None));
        }
    }
}

/// What must not happen with a hashed mutex held: to take another lock, to wait, to run a callback.
#[track_caller]
pub(crate) fn nothing_held(what: &str) {
    if cfg!(debug_assertions)
        && let Ok(Some(place)) = HASHED.try_with(Cell::get)
    {
        panic!("{what} with a hashed mutex held, taken at {place}");
    }
}

/// An operation on an open file that takes its lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    /// A number of the open file that no other one had.
    pub(crate) file: u64,
    pub(crate) op: &'static str,
    pub(crate) place: Place,
}

type Graph = HashMap<u64, Vec<(Use, Use)>>;

/// Who was used inside whom, and where: from the outer file to the inner ones.
static INSIDE: Mutex<Option<Graph>> = Mutex::new(None);

fn graph() -> MutexGuard<'static, Option<Graph>> {
    INSIDE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `to` was used inside `from`, perhaps through others: the first step on the way.
fn path(graph: &Graph, from: u64, to: u64) -> Option<(Use, Use)> {
    let mut seen = vec![from];
    let mut next: Vec<(u64, Option<(Use, Use)>)> = vec![(from, None)];
    while let Some((at, first)) = next.pop() {
        for &(outer, inner) in graph.get(&at).into_iter().flatten() {
            let first = first.or(Some((outer, inner)));
            if inner.file == to {
                return first;
            }
            if !seen.contains(&inner.file) {
                seen.push(inner.file);
                next.push((inner.file, first));
            }
        }
    }
    None
}

/// The lock of an open file is held.
#[must_use]
#[derive(Debug)]
pub(crate) struct InFile(PhantomData<*mut ()>);

/// The lock of an open file is about to be taken; `name` gives its path for the report.
pub(crate) fn file(this: Use, name: impl FnOnce() -> Vec<u8>) -> InFile {
    if cfg!(debug_assertions) {
        nothing_held("an open file's lock");
        if let Some(report) = note(this, name) {
            let _ = std::io::stderr().write_all(report.as_bytes());
        }
        let _ = FILES.try_with(|files| files.borrow_mut().push(this));
    }
    InFile(PhantomData)
}

impl Drop for InFile {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            let _ = FILES.try_with(|files| files.borrow_mut().pop());
        }
    }
}

/// Notes that `this` is used inside the innermost open file of the thread; the report if a circle closes.
fn note(this: Use, name: impl FnOnce() -> Vec<u8>) -> Option<String> {
    let outer = FILES
        .try_with(|files| files.borrow().last().copied())
        .ok()??;
    if outer.file == this.file {
        return None; // refused as EDEADLK
    }
    let mut graph = graph();
    let graph = graph.get_or_insert_default();
    let inner = graph.entry(outer.file).or_default();
    if inner.iter().any(|(_, known)| known.file == this.file) {
        return None;
    }
    inner.push((outer, this));
    let (far, near) = path(graph, this.file, outer.file)?;
    Some(format!(
        "kernfs: possible deadlock: {} of {} at {} inside {} at {}, and the other way round {} at {} inside {} at {}\n",
        this.op,
        name().escape_ascii(),
        this.place,
        outer.op,
        outer.place,
        near.op,
        near.place,
        far.op,
        far.place
    ))
}

/// An open file is closed: nobody uses it any more.
pub(crate) fn forget(file: u64) {
    if cfg!(debug_assertions)
        && let Some(graph) = graph().as_mut()
    {
        graph.remove(&file);
        for inner in graph.values_mut() {
            inner.retain(|(_, used)| used.file != file);
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;

    #[track_caller]
    fn of(file: u64, op: &'static str) -> Use {
        let place = Location::caller();
        Use { file, op, place }
    }

    fn used(this: Use) -> (InFile, Option<String>) {
        let report = note(this, || b"/inner".to_vec());
        (file(this, Vec::new), report)
    }

    #[test]
    fn a_circle_is_told_once_with_both_places() {
        // Numbers of no open file. The graph is the process's.
        let [a, b, c] = [u64::MAX, u64::MAX - 1, u64::MAX - 2];
        for (outer, inner) in [(a, b), (b, c), (a, b)] {
            let (_outer, none) = used(of(outer, "show"));
            assert!(none.is_none());
            let (_inner, none) = used(of(inner, "read"));
            assert!(none.is_none(), "{none:?}");
        }
        for told in [true, false] {
            let (_outer, _) = used(of(c, "write"));
            let (_inner, report) = used(of(a, "poll"));
            assert_eq!(report.is_some(), told);
            if let Some(report) = report {
                assert!(report.contains("poll of /inner at"), "{report}");
                assert!(report.contains("inside write at"), "{report}");
                assert!(
                    report.contains("read at") && report.contains("inside show at"),
                    "{report}"
                );
                assert_eq!(report.matches("order.rs").count(), 4, "{report}");
            }
        }
        // What is closed is in no circle any more.
        forget(b);
        let (_outer, _) = used(of(c, "write"));
        let (_inner, report) = used(of(a, "read"));
        assert!(report.is_none());
        forget(a);
        forget(c);
    }

    #[test]
    fn a_hashed_mutex_is_the_last_lock() {
        let held = hashed();
        let second = std::panic::catch_unwind(|| drop(hashed()));
        let callback = std::panic::catch_unwind(|| nothing_held("a callback"));
        for result in [second, callback] {
            let text = result.unwrap_err().downcast::<String>().unwrap();
            assert!(
                text.contains("with a hashed mutex held, taken at") && text.contains("order.rs"),
                "{text}"
            );
        }
        drop(held);
        nothing_held("a callback");
        drop(hashed());
    }
}
