//! arc-swap: readers borrow a debt slot or count up, the updater pays the debts and frees at once.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::peer::{Object, Peer, Reader, Settled};

pub(super) struct Swap(ArcSwap<Object>);

impl Swap {
    pub(super) fn new() -> Self {
        Self(ArcSwap::from_pointee(Object::new(1)))
    }
}

impl Peer for Swap {
    type Reader<'a> = &'a Self;

    fn name(&self) -> &'static str {
        "arc-swap"
    }

    fn another(&self) -> Self {
        Self::new()
    }

    fn reader(&self) -> &Self {
        self
    }

    fn settle(&self) -> Settled {
        Settled::AllFreed
    }
}

impl Reader for &Swap {
    #[inline]
    fn read(&mut self) -> u64 {
        self.0.load().value()
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        let _guard = self.0.load();
        inside();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        self.0.store(Arc::new(Object::new(new)));
    }
}
