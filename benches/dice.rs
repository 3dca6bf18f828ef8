//! Random numbers: one stream a thread, all from the seed that the program prints.

use std::hint;

/// A stream of numbers (splitmix64: Steele, Lea, Flood, OOPSLA 2014). Each decision takes a number of its
/// own: two decisions made from one number are not independent, and a fault that needs both hides for ever.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// The stream of this number; equal seeds and streams give equal numbers.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream + 1)))
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Less than `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(n)) >> 64) as u64
    }

    /// An index of something with so many elements.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }

    /// Loses the time of up to so many turns of an empty loop.
    pub fn spin(&mut self, most: u64) {
        for turn in 0..self.below(most) {
            hint::black_box(turn);
        }
    }
}

fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
