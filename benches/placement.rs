//! Two pieces of the read loop that are not Rust: its address, and the use of the value.
//!
//! The address is chosen, so that code layout is averaged out instead of measured.
//!
//! A function that begins with [`pad`] has its loop `16 * PLACE` bytes behind a 128-byte boundary (the
//! compiler aligns loop heads to 16). Instantiated for each `PLACE` below [`PLACES`], the loop has been in
//! the first and the last part of a fetch window, and across two.

/// How many placements there are.
pub const PLACES: usize = 5;

/// `black_box` in a register. The one in `core::hint` stores its argument to the stack: the plain load
/// hides that store, a section has stores of its own and would pay for it.
#[inline(always)]
pub fn consume(value: u64) {
    // SAFETY: a comment. Without `nomem` it is a compiler barrier too, as `black_box` is.
    unsafe { core::arch::asm!("/* {0} */", in(reg) value, options(nostack, preserves_flags)) };
}

/// Moves the code that follows it; executes as nothing but a few `nop`s, once.
#[inline(always)]
pub fn pad<const PLACE: usize>() {
    // SAFETY: alignment padding and `nop`s: no register, flag, memory or stack is touched.
    unsafe {
        core::arch::asm!(
            ".balign 128",
            ".rept {nops}",
            "nop",
            ".endr",
            nops = const 16 * PLACE / NOP_BYTES,
            options(nomem, nostack, preserves_flags)
        );
    }
}

const NOP_BYTES: usize = if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
    1
} else {
    4
};
