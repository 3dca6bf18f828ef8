//! What is still mounted when the process exits without dropping its [`Mount`](super::Mount).
//!
//! A mount that outlives its daemon answers ENOTCONN to everybody until somebody unmounts it. A drop takes
//! it away; so does this, for `std::process::exit` and for a return from `main` while another thread or a
//! static owns the mount. Nothing helps against SIGKILL but the next start.

use std::process;
use std::sync::{Mutex, Once, PoisonError};

use super::place::Place;
use crate::sys::mounting as sys;

struct Left {
    key: u64,
    pid: u32,
    place: Place,
}

struct List {
    last: u64,
    left: Vec<Left>,
}

static LIST: Mutex<List> = Mutex::new(List {
    last: 0,
    left: Vec::new(),
});

/// Notes a mount, returns what to give to [`done`].
pub(super) fn note(place: Place) -> u64 {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| sys::at_exit(at_exit));
    let mut list = LIST.lock().unwrap_or_else(PoisonError::into_inner);
    list.last += 1;
    let key = list.last;
    list.left.push(Left {
        key,
        pid: process::id(),
        place,
    });
    key
}

/// The mount has ended otherwise.
pub(super) fn done(key: u64) {
    let mut list = LIST.lock().unwrap_or_else(PoisonError::into_inner);
    list.left.retain(|left| left.key != key);
}

extern "C" fn at_exit() {
    // try_lock: the thread that holds it may have been the one that exits. In a forked child the mounts
    // are the parent's.
    if let Ok(mut list) = LIST.try_lock() {
        for left in list.left.drain(..) {
            if left.pid == process::id() {
                let _ = left.place.unmount();
            }
        }
    }
}
