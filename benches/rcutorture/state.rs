//! What all threads of one run share.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};

use crate::faults::Faults;
use crate::mail::Mail;
use crate::options::Options;
use crate::pool::{ByAge, Element, PIPE, Pool};
use crate::stutter::Stutter;
use crate::weather::Weather;
use benches::dice::Dice;

/// What one reader counts. Only its thread writes it, so nothing here is a locked instruction: those drain
/// the store buffer, and would hide what a missing barrier shows.
#[repr(align(128))]
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) sections: AtomicU64,
    /// Sections by the age of what they held at their end.
    pub(crate) ages: ByAge,
    /// Some sections by how many grace periods ended meanwhile.
    pub(crate) batches: ByAge,
    pub(crate) posted: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) polled: AtomicU64,
}

impl Tally {
    fn new() -> Self {
        Self {
            sections: AtomicU64::new(0),
            ages: [const { AtomicU64::new(0) }; PIPE + 1],
            batches: [const { AtomicU64::new(0) }; PIPE + 1],
            posted: AtomicU64::new(0),
            received: AtomicU64::new(0),
            polled: AtomicU64::new(0),
        }
    }
}

/// Counts one up where only this thread counts.
pub(crate) fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// What is done seldom enough to be counted by everybody in one place.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    /// Updates: must grow, or grace periods have stopped.
    pub(crate) version: AtomicU64,
    pub(crate) fake_waits: AtomicU64,
    pub(crate) parcels: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) leaks: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) barrier_rounds: AtomicU64,
    pub(crate) read_exits: AtomicU64,
    pub(crate) signals: AtomicU64,
    pub(crate) forks: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) pauses: AtomicU64,
    pub(crate) progress_tests: AtomicU64,
    pub(crate) flooded: AtomicU64,
    pub(crate) most_pending: AtomicU64,
}

/// Counts one up where several threads count.
pub(crate) fn count(deed: &AtomicU64) {
    deed.fetch_add(1, Relaxed);
}

/// One run over one flavor. Leaked: callbacks that a failed run left behind may still come.
#[derive(Debug)]
pub(crate) struct Torture {
    pub(crate) options: Options,
    pub(crate) pool: Pool,
    /// The number of the element that readers find.
    current: AtomicUsize,
    over: AtomicBool,
    weather: AtomicU32,
    /// Readers, then the handlers on each reader, then guests.
    pub(crate) tallies: Vec<Tally>,
    inboxes: Vec<Mail>,
    pub(crate) stutter: Stutter,
    pub(crate) deeds: Deeds,
    pub(crate) faults: Faults,
}

impl Torture {
    /// With one element published.
    pub(crate) fn new(options: Options) -> &'static Self {
        let readers = options.readers as usize;
        let tallies = 2 * readers + options.read_exit as usize;
        let pool = Pool::new();
        let first = pool.take(&mut Dice::new(options.seed, 0)).unwrap_or(0);
        Box::leak(Box::new(Self {
            pool,
            current: AtomicUsize::new(first),
            over: AtomicBool::new(false),
            weather: AtomicU32::new(0),
            tallies: (0..tallies).map(|_| Tally::new()).collect(),
            inboxes: (0..readers).map(|_| Mail::new()).collect(),
            stutter: Stutter::default(),
            deeds: Deeds::default(),
            faults: Faults::default(),
            options,
        }))
    }

    /// The stream of random numbers with this name and number.
    pub(crate) fn dice(&self, name: &str, number: usize) -> Dice {
        let name = name.bytes().fold(0, |hash: u64, byte| {
            hash.wrapping_mul(131) + u64::from(byte)
        });
        Dice::new(self.options.seed, name.wrapping_add(number as u64))
    }

    pub(crate) fn readers(&self) -> usize {
        self.inboxes.len()
    }

    pub(crate) fn handler_tally(&self, reader: usize) -> &Tally {
        &self.tallies[self.readers() + reader]
    }

    pub(crate) fn guest_tally(&self, guest: usize) -> &Tally {
        &self.tallies[2 * self.readers() + guest]
    }

    pub(crate) fn inbox(&self, reader: usize) -> &Mail {
        &self.inboxes[reader]
    }

    pub(crate) fn inboxes(&self) -> &[Mail] {
        &self.inboxes
    }

    /// `rcu_dereference`. Acquire pairs with `publish`.
    pub(crate) fn current(&self) -> &Element {
        self.pool.element(self.current.load(Acquire))
    }

    /// Publishes an element and removes the old one.
    pub(crate) fn publish(&self, new: usize) -> &Element {
        let old = self.pool.element(self.current.swap(new, AcqRel));
        self.removed(old);
        old
    }

    /// The pointer to this element is gone.
    pub(crate) fn removed(&self, element: &Element) {
        count(&self.pool.circulation[0]);
        element.removed();
    }

    /// A grace period has passed for a removed element. True: it is at home.
    pub(crate) fn advance(&self, element: &Element) -> bool {
        self.pool.advance(element, &self.inboxes)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    pub(crate) fn end(&self) {
        self.over.store(true, Relaxed);
        self.stutter.go_on();
    }

    pub(crate) fn weather(&self) -> Weather {
        Weather::from_raw(self.weather.load(Relaxed))
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.weather.store(weather as u32, Relaxed);
    }

    /// A sum over all tallies.
    pub(crate) fn total(&self, of: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        self.tallies
            .iter()
            .map(|tally| of(tally).load(Relaxed))
            .sum()
    }
}
