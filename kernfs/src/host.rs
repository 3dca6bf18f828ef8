//! What a callback's [`Cx`](crate::Cx) may ask of its node.

use core::panic::Location;
use std::sync::Arc;

use urcu::Memb;

use crate::active::Active;
use crate::cx::{Counted, Host};
use crate::error::Result;
use crate::inner::Inner;
use crate::path;
use crate::self_removal;

impl Host for Inner {
    fn id(&self) -> u64 {
        self.id
    }

    fn name(&self) -> Vec<u8> {
        self.link(&Memb::read_lock()).label.name().to_vec()
    }

    fn path(&self) -> Vec<u8> {
        path::full(self, &Memb::read_lock())
    }

    fn notify(&self) {
        Self::notify(self);
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
}

impl Counted for Arc<Inner> {
    fn remove_self(&self, active: &Active<'_>, place: &'static Location<'static>) -> Result<bool> {
        self_removal::remove_self(self, active, place)
    }
}
