//! The asymmetric barrier of the models: full fences on both sides, which loom lets meet each other only.

use crate::flavor::{Fault, has};

pub(crate) fn light() {
    if !has(Fault::NoLightBarrier) {
        loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
    }
}

pub(crate) fn heavy() {
    if !has(Fault::NoHeavyBarrier) {
        loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
    }
}
