//! Thread-local words by the initial-exec model: one load from a shared object too, no call, no allocation.
//!
//! `thread_local!` in a shared object is a call of `__tls_get_addr` at each access (one read by a function of
//! a plugin: 4.7 ns with it, 2.9 without), and the call may allocate, so the first use by a thread would not
//! be allowed in a signal handler. Initial-exec words lie at a distance from the thread pointer
//! that the dynamic linker stores once; Rust has no stable name for that model, so it is written in assembly.
//!
//! The price: the words of an object opened by dlopen(3) come out of a reserve that glibc keeps for the
//! whole process (1664 bytes with glibc 2.36), and all thread-locals of that object with them. Hence each
//! flavor has 8 bytes here, and the slots are in the arena. A test holds a plugin to 128 bytes, std included.
//!
//! Elsewhere, and with `--cfg urcu_std_tls`, the same words are made by `thread_local!`. That is for a process
//! whose reserve is used up, and for a Rust `dylib`: these symbols are not exported from one.

/// A word that each thread has for itself: only the thread and its signal handlers reach it.
///
/// Never cached by the compiler from one access to the next: code that moves to another stack, and so to
/// another thread, finds the word of the thread it runs on.
pub(crate) trait ThreadWord {
    /// What the word holds.
    type Value: Copy;
    /// The calling thread's value. Async-signal-safe with initial-exec words.
    fn get() -> Self::Value;
    /// Replaces the calling thread's value.
    fn set(value: Self::Value);
    /// Stores `new` if the word holds `expected`, and tells so. Against signal handlers of the thread this
    /// is one step: a handler comes before and is seen, or after.
    fn replace(expected: Self::Value, new: Self::Value) -> bool;
}

/// `thread_word!(Name: *mut Target = &STATIC, "symbol")` or `thread_word!(Name: u64 = 0, "symbol")`: a
/// [`ThreadWord`] that starts with the address, or the number. A macro, because a static cannot be generic.
macro_rules! thread_word {
    ($name:ident: *mut $target:ty = &$first:ident, $symbol:literal) => {
        $crate::tls::thread_word!(
            @make $name, *mut $target, $crate::atomic::AtomicPtr<$target>, $symbol,
            sym $first, (&raw const $first).cast_mut()
        );
    };
    ($name:ident: u64 = $first:literal, $symbol:literal) => {
        $crate::tls::thread_word!(
            @make $name, u64, $crate::atomic::AtomicU64, $symbol, const $first, $first
        );
    };
    (@make $name:ident, $value:ty, $atomic:ty, $symbol:literal, $kind:ident $operand:tt, $first:expr) => {
        enum $name {}

        // Hidden: two objects of one process have a word each. Global: code inlined into another crate names
        // it. The version is part of the name, so that two versions in one object share nothing (rule A21).
        #[cfg(all(target_arch = "x86_64", target_env = "gnu", not(urcu_std_tls)))]
        core::arch::global_asm!(
            ".pushsection .tdata,\"awT\",@progbits",
            ".balign 8",
            concat!(".globl ", $crate::tls::symbol!($symbol)),
            concat!(".hidden ", $crate::tls::symbol!($symbol)),
            concat!(".type ", $crate::tls::symbol!($symbol), ",@object"),
            concat!(".size ", $crate::tls::symbol!($symbol), ",8"),
            concat!($crate::tls::symbol!($symbol), ":"),
            ".quad {first}",
            ".popsection",
            first = $kind $operand
        );

        #[cfg(all(target_arch = "x86_64", target_env = "gnu", not(urcu_std_tls)))]
        impl $name {
            /// Where the word is, seen from the thread pointer: the same for all threads, for ever.
            #[inline(always)]
            fn offset() -> usize {
                let offset;
                // SAFETY: loads what the dynamic linker stored in the GOT before any code of this object
                // ran and nobody changes; in an executable the linker makes it an immediate. So the result
                // is a constant, and may be kept and computed early.
                unsafe {
                    core::arch::asm!(
                        concat!("mov {}, qword ptr [rip + ", $crate::tls::symbol!($symbol), "@GOTTPOFF]"),
                        out(reg) offset,
                        options(pure, nomem, nostack, preserves_flags)
                    );
                }
                offset
            }
        }

        #[cfg(all(target_arch = "x86_64", target_env = "gnu", not(urcu_std_tls)))]
        impl $crate::tls::ThreadWord for $name {
            type Value = $value;

            #[inline(always)]
            fn get() -> $value {
                let value: $value;
                // SAFETY: reads the 8 bytes at `offset`, which hold a `$value` in every thread: the first
                // by `global_asm!`, later ones by `set` and `replace`. Not `pure`: another thread's word
                // must not stand in for ours.
                unsafe {
                    core::arch::asm!(
                        "mov {value}, qword ptr fs:[{offset}]",
                        offset = in(reg) Self::offset(),
                        value = lateout(reg) value,
                        options(readonly, nostack, preserves_flags)
                    );
                }
                value
            }

            #[inline]
            fn set(value: $value) {
                // SAFETY: writes the 8 bytes at `offset`, which are this word's, in one instruction.
                unsafe {
                    core::arch::asm!(
                        "mov qword ptr fs:[{offset}], {value}",
                        offset = in(reg) Self::offset(),
                        value = in(reg) value,
                        options(nostack, preserves_flags)
                    );
                }
            }

            #[inline]
            fn replace(expected: $value, new: $value) -> bool {
                let found: $value;
                // SAFETY: as `set`. One instruction, so a signal comes before or after it; without `lock`,
                // because no other thread reaches the word.
                unsafe {
                    core::arch::asm!(
                        "cmpxchg qword ptr fs:[{offset}], {new}",
                        offset = in(reg) Self::offset(),
                        new = in(reg) new,
                        inout("rax") expected => found,
                        options(nostack)
                    );
                }
                found == expected
            }
        }

        #[cfg(not(all(target_arch = "x86_64", target_env = "gnu", not(urcu_std_tls))))]
        const _: () = {
            // `const` and without drop glue: no initialisation call, usable in signal handlers, before
            // `main` and in TLS destructors. Atomic against signal handlers only.
            thread_local! {
                static WORD: $atomic = const { <$atomic>::new($first) };
            }

            impl $crate::tls::ThreadWord for $name {
                type Value = $value;

                #[inline(always)]
                fn get() -> $value {
                    WORD.with(|word| word.load($crate::atomic::Ordering::Relaxed))
                }

                fn set(value: $value) {
                    WORD.with(|word| word.store(value, $crate::atomic::Ordering::Relaxed));
                }

                fn replace(expected: $value, new: $value) -> bool {
                    use $crate::atomic::Ordering::Relaxed;
                    WORD.with(|word| word.compare_exchange(expected, new, Relaxed, Relaxed).is_ok())
                }
            }
        };
    };
}
pub(crate) use thread_word;

/// The quoted name of a word in the object file: it says crate, version and word.
#[cfg(all(target_arch = "x86_64", target_env = "gnu", not(urcu_std_tls)))]
macro_rules! symbol {
    ($word:literal) => {
        concat!("\"urcu-", env!("CARGO_PKG_VERSION"), "-", $word, "\"")
    };
}
#[cfg(all(target_arch = "x86_64", target_env = "gnu", not(urcu_std_tls)))]
pub(crate) use symbol;

#[cfg(test)]
mod tests {
    use super::ThreadWord as _;

    static FIRST: u64 = 7;

    thread_word!(Pointer: *mut u64 = &FIRST, "test-pointer");
    thread_word!(Number: u64 = 5, "test-number");

    #[test]
    fn each_thread_starts_with_the_first_value_and_keeps_its_own() {
        let check = |mine: u64| {
            assert_eq!(Number::get(), 5);
            assert!(core::ptr::eq(Pointer::get(), &raw const FIRST));
            assert!(Number::replace(5, mine));
            assert!(!Number::replace(5, 0), "somebody was first");
            assert_eq!(Number::get(), mine);
            Number::set(mine + 1);
            let mut other = mine;
            Pointer::set(&raw mut other);
            assert_eq!(Number::get(), mine + 1);
            assert!(core::ptr::eq(Pointer::get(), &raw const other));
        };
        std::thread::scope(|s| {
            for n in 1..=3 {
                s.spawn(move || check(n * 10));
            }
        });
        std::thread::spawn(move || check(1)).join().unwrap();
    }
}
