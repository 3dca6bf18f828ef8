//! Values that count how many of them there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

/// How many [`Counted`] values made with it there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<AtomicIsize>);

impl Counter {
    pub(crate) fn value<T>(&self, value: T) -> Counted<T> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted {
            value,
            counter: self.clone(),
        }
    }

    pub(crate) fn alive(&self) -> isize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A value that was made once and is to be dropped once.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    pub(crate) value: T,
    counter: Counter,
}

impl<T> Drop for Counted<T> {
    fn drop(&mut self) {
        self.counter.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A counted value whose drop may panic.
pub(crate) struct Panics(
    #[expect(dead_code, reason = "for its drop")] pub(crate) Counted<()>,
    pub(crate) bool,
);

impl Drop for Panics {
    fn drop(&mut self) {
        assert!(!self.1, "as it should");
    }
}
