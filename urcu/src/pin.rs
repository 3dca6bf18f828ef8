//! The object that contains urcu stays mapped until the process ends.
//!
//! Threads that used urcu run its hook at their end, workers and the reporter run its code, fork(2) calls it:
//! if dlclose(3) unmapped it, the next of these would jump into nothing. So the object pins itself when it
//! is loaded, as the linker's `-z nodelete` would, which a crate cannot ask for. At load time and not at
//! first use, because that may be in a signal handler, where the dynamic linker's lock must not be taken.

use crate::sys;

extern "C" fn pin_at_load() {
    if !sys::pin_object_of((pin_at_load as *const ()).cast()) {
        sys::warn(
            "urcu: the shared object that contains it cannot be kept loaded; do not unload it\n",
        );
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static PIN_AT_LOAD: extern "C" fn() = pin_at_load;
