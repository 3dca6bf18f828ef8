//! The objects that are published and removed, and how old they are.
//!
//! As in the kernel's rcutorture an element is not freed at the end of its grace period: it goes through a
//! pipe of ten further ones, so that a reader which a grace period missed has a long time to see an age that
//! it must not see. Elements live as long as the process and all their words are atomic: a reader that holds
//! one too long reads nonsense, not freed memory.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize};

use crate::mail::Mail;
use benches::dice::Dice;

/// How many grace periods an element spends between its removal and its next use.
pub(crate) const PIPE: usize = 10;
/// Ten for each stage of the pipe.
const ELEMENTS: usize = 10 * PIPE;

const HOME: u32 = 0;
const OUT: u32 = 1;

/// Counts by age: published, removed, one grace period over, and so on.
pub(crate) type ByAge = [AtomicU64; PIPE + 1];

/// Something that readers find through a pointer.
#[derive(Debug)]
pub(crate) struct Element {
    /// 0: published. 1: removed. From 2 on so many grace periods less one have passed since.
    age: AtomicU32,
    state: AtomicU32,
    /// All four hold the number of this use while the element is out, and 0 at home.
    contents: [AtomicU64; 4],
    /// What a reader asked to be delivered after the next grace period.
    pub(crate) mail: AtomicUsize,
}

impl Element {
    fn new() -> Self {
        Self {
            age: AtomicU32::new(0),
            state: AtomicU32::new(HOME),
            contents: [const { AtomicU64::new(0) }; 4],
            mail: AtomicUsize::new(Mail::NONE),
        }
    }

    /// Which use of the element this is; `None`: its contents are not those of one use, so a reader sees it
    /// before its publication or after its end.
    pub(crate) fn stamp(&self) -> Option<u64> {
        let [first, rest @ ..] = &self.contents;
        let stamp = first.load(Relaxed);
        let whole = rest.iter().all(|word| word.load(Relaxed) == stamp);
        (whole && stamp != 0).then_some(stamp)
    }

    /// The age as a reader may see it: more than 1 is a fault of the grace period.
    pub(crate) fn age(&self) -> usize {
        self.age.load(Relaxed) as usize
    }

    /// The pointer to it is gone, readers may still hold it.
    pub(crate) fn removed(&self) {
        self.age.store(1, Relaxed);
    }

    fn is_home(&self) -> bool {
        self.state.load(Acquire) == HOME
    }
}

/// All elements of a run.
#[derive(Debug)]
pub(crate) struct Pool {
    elements: Vec<Element>,
    uses: AtomicU64,
    /// Requests, and those that found no element at home.
    pub(crate) taken: AtomicU64,
    pub(crate) missed: AtomicU64,
    /// How many elements left each stage of the pipe. Nothing ever leaves the last.
    pub(crate) circulation: ByAge,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Self {
            elements: (0..ELEMENTS).map(|_| Element::new()).collect(),
            uses: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            circulation: [const { AtomicU64::new(0) }; PIPE + 1],
        }
    }

    pub(crate) fn element(&self, index: usize) -> &Element {
        &self.elements[index]
    }

    /// An element that is ready to be published. `None`: all are out.
    pub(crate) fn take(&self, dice: &mut Dice) -> Option<usize> {
        self.taken.fetch_add(1, Relaxed);
        let start = dice.index(ELEMENTS);
        let taken = (0..ELEMENTS)
            .map(|i| (start + i) % ELEMENTS)
            .find(|&index| {
                // Acquire pairs with the Release of `advance`: what the last use wrote comes before.
                let state = &self.elements[index].state;
                state.compare_exchange(HOME, OUT, Acquire, Relaxed).is_ok()
            });
        let Some(index) = taken else {
            self.missed.fetch_add(1, Relaxed);
            return None;
        };
        let element = &self.elements[index];
        element.age.store(0, Relaxed);
        dice.spin(100);
        let stamp = 1 + self.uses.fetch_add(1, Relaxed);
        for word in &element.contents {
            word.store(stamp, Relaxed); // the Release of the publication is what orders these
        }
        Some(index)
    }

    /// A grace period has passed for a removed element. True: that was the last, it is at home again.
    pub(crate) fn advance(&self, element: &Element, inboxes: &[Mail]) -> bool {
        let age = element.age();
        self.circulation[age.min(PIPE)].fetch_add(1, Relaxed);
        element.age.store(age as u32 + 1, Relaxed);
        Mail::deliver(&element.mail, inboxes);
        if age + 1 < PIPE {
            return false;
        }
        for word in &element.contents {
            word.store(0, Relaxed);
        }
        element.state.store(HOME, Release);
        true
    }

    /// How many elements are not at home, not counting these.
    pub(crate) fn missing(&self, but: &[&Element]) -> usize {
        let out = self.elements.iter().filter(|element| !element.is_home());
        out.filter(|element| !but.iter().any(|known| std::ptr::eq(*known, *element)))
            .count()
    }
}
