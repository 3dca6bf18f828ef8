//! Time lost at random in the atomics of this crate, for torture tests: the feature `torture`.
//!
//! Two CPUs hardly interleave. Time lost between two steps of an algorithm shows what an interrupt, a
//! preemption or a cache miss there would show once in a month. Before each operation, and once more after
//! each that stores, the thread may spin, give its CPU away, or sleep some microseconds.
//!
//! Off until [`set_rates`]: a build that has the feature only because another crate asked for it pays a load
//! and a branch. What a thread draws depends on [`seed`] and on how many threads drew before it: the same seed
//! gives the same draws, not the same interleaving.
//!
//! Mostly it spins, and not only because that is cheap: a system call drains the store buffer of x86, and so
//! hides what a missing barrier would show. Litmus tests are for those; this is for the order of steps.
//!
//! Async-signal-safe, and keeps errno, as the operations themselves.
#![doc(hidden)]

pub mod hooked;

use core::sync::atomic::{self as plain, Ordering::Relaxed};
use core::time::Duration;

use crate::sys;

/// How often an operation loses time, in chances of 65 536. All zero: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Up to 63 turns of a spin loop: some microseconds at most.
    pub spin: u16,
    /// `sched_yield`.
    pub give_way: u16,
    /// Up to 64 us, and what the scheduler adds.
    pub sleep: u16,
}

impl Rates {
    /// One operation in 16 spins, one in 512 gives way, one in 16 384 sleeps.
    pub const BRISK: Self = Self {
        spin: 4096,
        give_way: 128,
        sleep: 4,
    };

    const fn pack(self) -> u64 {
        self.spin as u64 | (self.give_way as u64) << 16 | (self.sleep as u64) << 32
    }

    const fn unpack(packed: u64) -> Self {
        Self {
            spin: packed as u16,
            give_way: (packed >> 16) as u16,
            sleep: (packed >> 32) as u16,
        }
    }
}

static RATES: plain::AtomicU64 = plain::AtomicU64::new(0);
static SEED: plain::AtomicU64 = plain::AtomicU64::new(0);
static STREAMS: plain::AtomicU64 = plain::AtomicU64::new(1);

thread_local! {
    /// The state of the thread's stream; 0: not begun. An atomic for the sake of signal handlers.
    static STREAM: plain::AtomicU64 = const { plain::AtomicU64::new(0) };
}

/// Sets what the streams of threads that have not drawn yet begin with.
pub fn seed(seed: u64) {
    SEED.store(seed, Relaxed);
}

/// Switches the hooks on, or off with all rates zero.
pub fn set_rates(rates: Rates) {
    RATES.store(rates.pack(), Relaxed);
}

/// What each operation of [`hooked`] calls.
#[inline]
pub(super) fn hook() {
    let rates = RATES.load(Relaxed);
    if rates != 0 {
        lose_time(Rates::unpack(rates));
    }
}

#[cold]
fn lose_time(rates: Rates) {
    let draw = draw();
    // Disjoint bits for each decision, and for how long.
    let chance = |shift: u32| (draw >> shift) as u16;
    if chance(0) < rates.sleep {
        let never_woken = 0;
        let nap = Duration::from_micros(1 + (draw >> 58));
        sys::futex_wait(&raw const never_woken, never_woken, Some(nap));
    } else if chance(16) < rates.give_way {
        std::thread::yield_now();
    } else if chance(32) < rates.spin {
        for _ in 0..draw >> 58 {
            core::hint::spin_loop();
        }
    }
}

/// The next number of the thread's stream (splitmix64: Steele, Lea, Flood, OOPSLA 2014).
fn draw() -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    STREAM.with(|stream| {
        let state = match stream.load(Relaxed) {
            0 => mix(SEED
                .load(Relaxed)
                .wrapping_add(mix(STREAMS.fetch_add(1, Relaxed)))),
            state => state.wrapping_add(STEP),
        };
        // A handler between load and store: its draws are drawn again, which does no harm.
        stream.store(state, Relaxed);
        mix(state)
    })
}

const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_survive_packing() {
        for rates in [
            Rates::default(),
            Rates::BRISK,
            Rates {
                spin: 1,
                give_way: u16::MAX,
                sleep: 0,
            },
            Rates {
                spin: 0,
                give_way: 0,
                sleep: u16::MAX,
            },
        ] {
            assert_eq!(Rates::unpack(rates.pack()), rates);
        }
        assert_eq!(Rates::default().pack(), 0, "no rates is off");
    }

    #[test]
    fn a_seed_gives_each_thread_its_own_stream_and_the_same_one_again() {
        let first = |from| {
            let draws = move || {
                STREAM.with(|stream| stream.store(from, Relaxed));
                [draw(), draw(), draw()]
            };
            std::thread::spawn(draws).join().unwrap()
        };
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
        // From the seed: two threads never share a stream.
        assert_ne!(first(0), first(0));
    }

    #[test]
    fn an_operation_draws_only_while_rates_are_set() {
        let drew = || {
            STREAM.with(|stream| stream.store(0, Relaxed));
            hooked::AtomicU32::new(0).store(1, Relaxed);
            STREAM.with(|stream| stream.load(Relaxed)) != 0
        };
        assert!(!drew(), "hooks are off until they are switched on");
        set_rates(Rates {
            spin: 1,
            ..Rates::default()
        });
        assert!(drew());
        set_rates(Rates::default());
        assert!(!drew());
    }

    #[test]
    fn draws_are_spread_over_all_chances() {
        let mut low = [0; 3];
        for _ in 0..65_536 {
            let draw = draw();
            for (decision, count) in low.iter_mut().enumerate() {
                let chance = (draw >> (16 * decision)) as u16;
                *count += u32::from(chance < Rates::BRISK.spin);
            }
        }
        for count in low {
            assert!((3_500..4_700).contains(&count), "{low:?} of 4096 expected");
        }
    }
}
