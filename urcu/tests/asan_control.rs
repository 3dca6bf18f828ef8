//! A deliberate use after free, for the step that runs the tests under AddressSanitizer: it must be caught
//! there, or the step proves nothing. Only with `URCU_ASAN_CONTROL` set; else nothing happens.

use std::hint::black_box;

#[test]
fn a_use_after_free_is_caught() {
    if std::env::var_os("URCU_ASAN_CONTROL").is_none() {
        return;
    }
    let freed = Box::into_raw(Box::new(black_box(7_u64)));
    // SAFETY: from `Box::into_raw` just above.
    drop(unsafe { Box::from_raw(freed) });
    // SAFETY: none. This is the fault that AddressSanitizer ends the process for.
    let value = unsafe { std::ptr::read_volatile(black_box(freed)) };
    println!("read {value} from freed memory, and nobody noticed");
}
