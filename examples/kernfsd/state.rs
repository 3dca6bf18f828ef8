//! What the threads share: the settings, the tables, the counters.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};

use urcu::{Event, Memb, Rcu};

use super::options::INTERVAL_MS;
use super::table::{Arm, Backend, Tables};

/// Longest process name: TASK_COMM_LEN is 16 with the NUL, kernel workers show up to 63.
const FILTER_MAX: usize = 63;

/// What `config/` holds. Setters check first and change nothing when they refuse.
#[derive(Debug)]
pub(super) struct Config {
    interval_ms: AtomicU32,
    filter: Rcu<String>,
    /// 0 while the schedule chooses, else 1 + the index in `BACKENDS`.
    backend: AtomicUsize,
}

const BACKENDS: [Backend; 2] = [Backend::Rcu, Backend::RwLock];

/// A value that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl Config {
    pub(super) fn interval_ms(&self) -> u32 {
        self.interval_ms.load(Relaxed)
    }

    pub(super) fn set_interval_ms(&self, value: u32) -> Result<(), Refused> {
        if !INTERVAL_MS.contains(&value) {
            return Err(Refused);
        }
        self.interval_ms.store(value, Relaxed);
        Ok(())
    }

    /// Only processes whose name contains it are shown.
    pub(super) fn filter(&self) -> String {
        let guard = Memb::read_lock();
        self.filter.dereference(&guard).cloned().unwrap_or_default()
    }

    pub(super) fn set_filter(&self, value: &str) -> Result<(), Refused> {
        let printable = value.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if value.len() > FILTER_MAX || !printable {
            return Err(Refused);
        }
        self.filter.assign(value.to_owned());
        Ok(())
    }

    /// The backend that the user chose, if he did.
    pub(super) fn backend(&self) -> Option<Backend> {
        let chosen = self.backend.load(Relaxed).checked_sub(1)?;
        BACKENDS.get(chosen).copied()
    }

    pub(super) fn set_backend(&self, value: Backend) {
        let index = BACKENDS.iter().position(|&backend| backend == value);
        self.backend.store(index.map_or(0, |i| i + 1), Relaxed);
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rcu => "rcu",
            Self::RwLock => "rwlock",
        })
    }
}

impl FromStr for Backend {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        match text {
            "rcu" => Ok(Self::Rcu),
            "rwlock" => Ok(Self::RwLock),
            _ => Err(Refused),
        }
    }
}

/// The lookups of one reader, by [`Arm::index`]. On cache lines that nobody else writes.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Lookups([AtomicU64; Arm::ALL.len()]);

impl Lookups {
    /// Only its reader calls this, so load and store lose nothing.
    pub(super) fn add(&self, arm: Arm, lookups: u64) {
        let counter = &self.0[arm.index()];
        counter.store(counter.load(Relaxed) + lookups, Relaxed);
    }
}

/// What all threads share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) tables: Tables,
    /// Signalled when the sampler shall look at `config` or `stopped`.
    pub(super) wake: Event,
    /// Signalled after each sampling.
    pub(super) sampled: Event,
    pub(super) lookups: Box<[Lookups]>,
    pub(super) updates: AtomicU64,
    pub(super) lookups_per_s: AtomicU64,
    pub(super) processes: AtomicU64,
    /// The table in use, by [`Arm::index`].
    arm: AtomicUsize,
    stopped: AtomicBool,
}

impl State {
    pub(super) fn new(interval_ms: u32, readers: usize) -> Self {
        Self {
            config: Config {
                interval_ms: AtomicU32::new(interval_ms),
                filter: Rcu::new(String::new()),
                backend: AtomicUsize::new(0),
            },
            tables: Tables::new(),
            wake: Event::new(),
            sampled: Event::new(),
            lookups: (0..readers).map(|_| Lookups::default()).collect(),
            updates: AtomicU64::new(0),
            lookups_per_s: AtomicU64::new(0),
            processes: AtomicU64::new(0),
            arm: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        }
    }

    /// The table in use. Acquire, with the Release in [`State::set_arm`]: it is filled already.
    pub(super) fn arm(&self) -> Arm {
        let index = self.arm.load(Acquire);
        Arm::ALL[index % Arm::ALL.len()]
    }

    pub(super) fn set_arm(&self, arm: Arm) {
        self.arm.store(arm.index(), Release);
    }

    pub(super) fn total_lookups(&self, arm: Arm) -> u64 {
        let of = |reader: &Lookups| reader.0[arm.index()].load(Relaxed);
        self.lookups.iter().map(of).sum()
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.wake.signal();
        self.sampled.signal();
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_and_changes_nothing() {
        let config = State::new(100, 1).config;
        for value in [0, 9, 60_001, u32::MAX] {
            assert_eq!(config.set_interval_ms(value), Err(Refused));
        }
        assert_eq!(config.interval_ms(), 100);
        assert_eq!(config.set_interval_ms(10), Ok(()));
        assert_eq!(config.interval_ms(), 10);

        assert_eq!(config.set_filter("ssh"), Ok(()));
        for value in ["a\tb", "\0", "n\u{e4}h", &"x".repeat(64)] {
            assert_eq!(config.set_filter(value), Err(Refused), "{value}");
        }
        assert_eq!(config.filter(), "ssh");
        assert_eq!(config.set_filter(""), Ok(()));
        assert_eq!(config.filter(), "");

        assert_eq!(config.backend(), None);
        for backend in BACKENDS {
            config.set_backend(backend);
            assert_eq!(config.backend(), Some(backend));
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        assert_eq!("mutex".parse::<Backend>(), Err(Refused));
    }
}
