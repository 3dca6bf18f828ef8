//! The backlog of a domain: its shards, what may wait in them, and what has.
//!
//! A thread pushes to the shard of its number, and each shard has a worker of its own, so that as many
//! processors free as retire. Limits count bytes over all shards (rule A11).

use crate::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::arena::thread_id;
use crate::cpus::cpus;
use crate::pad::Padded;
use crate::park::Event;
use crate::queue::Queue;
use crate::shard::{LANES, Shard};
use crate::stats::{Counter, Stats};

/// Shards of a domain, at most.
const MOST: usize = 16;
/// After a start that failed, the time until a thread that only queues or asks tries again.
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// How long lazy callbacks wait, unless told otherwise: as in the kernel.
pub(crate) const LONGEST_LAZY: Duration = Duration::from_secs(10);

/// How many bytes may wait for a grace period in one domain: callbacks with what they hold, and retired
/// objects, each with what an allocator adds to it (counted as of glibc's: a word, rounded up to 16 bytes).
/// Set by [`Domain::set_limits`](crate::Domain::set_limits); without it there is no limit.
///
/// ```
/// use urcu::{Limits, Mb};
/// Mb::set_limits(Limits { soft: 1 << 20, hard: 1 << 24 });
/// Mb::set_limits(Limits::NONE);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Beyond this the workers hurry: no pause between grace periods, lazy callbacks are lazy no more.
    pub soft: u64,
    /// Beyond this `try_call` and `try_free` refuse. What never waits and cannot be refused (`call`, `free`,
    /// dropping a `Retired`) goes beyond it, and is counted and told.
    pub hard: u64,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        soft: u64::MAX,
        hard: u64::MAX,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::NONE
    }
}

/// What everybody reads and hardly anybody writes.
#[derive(Debug)]
struct Settings {
    soft: AtomicU64,
    hard: AtomicU64,
    lazy_ms: AtomicU32,
    /// Work may wait in a shard without a worker: none could be started, or this is a forked child.
    stranded: AtomicBool,
    /// When the last start of a worker failed, in milliseconds; 0: none has since one succeeded.
    failed_ms: AtomicU64,
}

/// What is written beyond a limit, and by workers.
#[derive(Debug)]
struct Tally {
    peak: AtomicU64,
    /// Since the backlog crossed the hard limit, until a worker finds it below again.
    over: AtomicBool,
    over_limit: Counter,
    refused: Counter,
    /// Signalled when a worker has run some callbacks.
    relief: Event,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Backlog {
    shards: [Padded<Shard>; MOST],
    settings: Padded<Settings>,
    tally: Padded<Tally>,
}

/// How many shards are in use: one for each processor. Never changes: a thread must find its callbacks' shard
/// again.
fn used() -> usize {
    cpus().min(MOST)
}

impl Backlog {
    pub(crate) const fn new() -> Self {
        Self {
            shards: [const { Padded::new(Shard::new()) }; MOST],
            settings: Padded::new(Settings {
                soft: AtomicU64::new(Limits::NONE.soft),
                hard: AtomicU64::new(Limits::NONE.hard),
                lazy_ms: AtomicU32::new(LONGEST_LAZY.as_millis() as u32), // CAST: 10 000
                stranded: AtomicBool::new(false),
                failed_ms: AtomicU64::new(0),
            }),
            tally: Padded::new(Tally {
                peak: AtomicU64::new(0),
                over: AtomicBool::new(false),
                over_limit: Counter::new(),
                refused: Counter::new(),
                relief: Event::new(),
            }),
        }
    }

    /// The shards in use.
    pub(crate) fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards[..used()].iter().map(|shard| &**shard)
    }

    pub(crate) fn shard(&self, index: usize) -> &Shard {
        &self.shards[index]
    }

    /// Which shard the calling thread pushes to.
    #[inline]
    pub(crate) fn mine(&self) -> usize {
        // CAST: the low half decides as well, and is divided faster.
        (thread_id() as u32 % used() as u32) as usize
    }

    fn lanes(&self) -> impl Iterator<Item = &Queue> {
        self.shards().flat_map(Shard::lanes)
    }

    /// Whether the calling thread is inside a callback of this domain, or in the grace period before one.
    pub(crate) fn is_consumer(&self) -> bool {
        let me = thread_id();
        self.shards().any(|shard| shard.is_consumer(me))
    }

    /// Bytes of what is pending.
    pub(crate) fn bytes(&self) -> u64 {
        self.lanes().map(Queue::bytes).sum()
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            soft: self.settings.soft.load(Ordering::Relaxed),
            hard: self.settings.hard.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.settings.soft.store(limits.soft, Ordering::Relaxed);
        self.settings.hard.store(limits.hard, Ordering::Relaxed);
    }

    /// Whether there is any limit.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.limits() != Limits::NONE
    }

    pub(crate) fn lazy_delay(&self) -> Duration {
        Duration::from_millis(self.settings.lazy_ms.load(Ordering::Relaxed).into())
    }

    pub(crate) fn set_lazy_delay(&self, delay: Duration) {
        let ms = delay.min(LONGEST_LAZY).as_millis();
        let ms = u32::try_from(ms).unwrap_or(u32::MAX);
        self.settings.lazy_ms.store(ms, Ordering::Relaxed);
    }

    /// Where [`throttle`](crate::Domain::throttle) is content: not at the hard limit itself, or its caller
    /// would be back at once.
    pub(crate) fn comfortable(&self) -> u64 {
        let Limits { soft, hard } = self.limits();
        if hard == u64::MAX {
            soft
        } else {
            soft.min(hard / 2)
        }
    }

    /// Whether so many bytes more are within the hard limit. If not, counts the refusal. Callers that ask at
    /// the same time may go beyond it by one callback each.
    pub(crate) fn admits(&self, bytes: u64) -> bool {
        let hard = self.settings.hard.load(Ordering::Relaxed);
        let fits = hard == u64::MAX || self.bytes().saturating_add(bytes) <= hard;
        if !fits {
            self.tally.refused.add_one();
        }
        fits
    }

    /// Looks at the bytes that are pending, and notes the highest.
    pub(crate) fn measure(&self) -> u64 {
        let bytes = self.bytes();
        // The load first: most of the time there is nothing to write.
        if bytes > self.tally.peak.load(Ordering::Relaxed) {
            self.tally.peak.fetch_max(bytes, Ordering::Relaxed);
        }
        bytes
    }

    /// Counts a callback that was queued beyond the hard limit; whether it is the first of its episode.
    pub(crate) fn note_excess(&self) -> bool {
        self.tally.over_limit.add_one();
        !self.tally.over.swap(true, Ordering::Relaxed)
    }

    /// A worker has run some callbacks.
    pub(crate) fn relieved(&self) {
        if self.tally.over.load(Ordering::Relaxed) && self.bytes() <= self.limits().hard {
            self.tally.over.store(false, Ordering::Relaxed);
        }
        self.tally.relief.signal();
    }

    /// Signalled when a worker has run some callbacks, and when none could be started.
    pub(crate) fn relief(&self) -> &Event {
        &self.tally.relief
    }

    /// Whether work may wait in a shard without a worker.
    #[inline]
    pub(crate) fn is_stranded(&self) -> bool {
        self.settings.stranded.load(Ordering::Relaxed)
    }

    /// Notes that what the caller has queued, or left, waits in a shard without a worker.
    pub(crate) fn strand(&self) {
        // Release: behind the push; pairs with the Acquire of `look_after_stranded`. An exchange, which goes on with the
        // release of a note that it writes over.
        self.settings.stranded.swap(true, Ordering::Release);
    }

    /// The caller looks at all shards next.
    pub(crate) fn look_after_stranded(&self) {
        // An exchange: either it reads a note, and with Acquire all is seen that was pushed before that and before those
        // which it had written over, or the note is later, and stands.
        self.settings.stranded.swap(false, Ordering::Acquire);
    }

    /// Whether it is time to try a start, `now` being the time: none has failed, or not just now.
    pub(crate) fn may_start(&self, now: Duration) -> bool {
        let failed = self.settings.failed_ms.load(Ordering::Relaxed);
        failed == 0 || now.saturating_sub(Duration::from_millis(failed)) >= RETRY_AFTER
    }

    /// A start failed at that time.
    pub(crate) fn start_failed(&self, now: Duration) {
        let ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(1);
        self.settings.failed_ms.store(ms, Ordering::Relaxed);
        self.strand();
    }

    /// A worker was started.
    pub(crate) fn start_succeeded(&self) {
        self.settings.failed_ms.store(0, Ordering::Relaxed);
    }

    /// Fills in what a backlog counts.
    pub(crate) fn add_to(&self, stats: &mut Stats) {
        for lane in self.lanes() {
            // In this order: what runs meanwhile is missing from both, and not counted twice.
            let pending = lane.pending().count();
            stats.callbacks_pending += pending;
            stats.callbacks_run += lane.run();
        }
        stats.callbacks_queued = stats.callbacks_run + stats.callbacks_pending;
        stats.bytes_pending = self.measure();
        stats.bytes_peak = self.tally.peak.load(Ordering::Relaxed);
        stats.over_limit = self.tally.over_limit.get();
        stats.refused = self.tally.refused.get();
    }

    /// Before a fork: nobody takes or pops. The holders of these locks wait for nothing.
    pub(crate) fn lock_for_fork(&self) {
        self.shards().for_each(Shard::lock_for_fork);
    }

    /// In the parent.
    pub(crate) fn unlock_after_fork(&self) {
        self.shards().for_each(Shard::unlock_after_fork);
    }

    /// In the child: how many callbacks were running in threads that are not here.
    pub(crate) fn after_fork_in_child(&self, me: u64) -> u64 {
        self.tally.relief.forget_waiters_after_fork();
        self.settings.failed_ms.store(0, Ordering::Relaxed);
        let lost = |shard: &Shard| u64::from(shard.after_fork_in_child(me));
        let lost = self.shards().map(lost).sum();
        // Not started here: other libraries' hooks have still to run.
        if self.shards().any(Shard::is_stranded) {
            self.strand();
        }
        lost
    }

    /// What a barrier has to wait for: the sums of all lanes, each read once.
    pub(crate) fn targets(&self) -> Targets {
        let mut targets = Targets([[0; LANES.len()]; MOST]);
        for (sums, shard) in targets.0.iter_mut().zip(self.shards()) {
            for (sum, lane) in sums.iter_mut().zip(shard.lanes()) {
                *sum = lane.queued();
            }
        }
        targets
    }
}

/// See [`Backlog::targets`].
#[derive(Debug)]
pub(crate) struct Targets([[u64; LANES.len()]; MOST]);

impl Targets {
    /// Whether this shard has run everything that was queued then.
    pub(crate) fn are_met(&self, shard: &Shard, index: usize) -> bool {
        let mut lanes = shard.lanes().iter().zip(self.0[index]);
        lanes.all(|(lane, sum)| lane.is_done(sum))
    }

    /// The same, and if not, wants to be told by the shard's [progress](Shard::progress): a call before each
    /// sleep.
    pub(crate) fn are_met_or_wanted(&self, shard: &Shard, index: usize) -> bool {
        let mut lanes = shard.lanes().iter().zip(self.0[index]);
        // One lane that is not done is enough: who is told of it looks again.
        lanes.all(|(lane, sum)| lane.is_done(sum) || lane.want(sum))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Callback;
    use crate::queue::Haste;
    use crate::shard::Lane;

    fn backlog() -> &'static Backlog {
        Box::leak(Box::new(Backlog::new()))
    }

    fn push(backlog: &Backlog, bytes: usize) {
        let callback = Callback::claiming(|| {}, bytes);
        let shard = backlog.shard(backlog.mine());
        shard.push(callback, Lane::Main, Haste::Prompt);
    }

    #[test]
    fn a_thread_keeps_its_shard_and_neighbours_use_all() {
        let backlog = backlog();
        let mine = backlog.mine();
        assert_eq!(mine, backlog.mine());
        let mut seen = std::collections::BTreeSet::from([mine]);
        while seen.len() < backlog.shards().count() {
            let other = std::thread::spawn(|| backlog.mine()).join().unwrap();
            seen.insert(other);
        }
        assert!(seen.into_iter().all(|index| index < used()));
    }

    #[test]
    fn the_hard_limit_refuses_what_does_not_fit_and_counts_it() {
        let backlog = backlog();
        assert!(backlog.admits(u64::MAX));
        backlog.set_limits(Limits {
            soft: 1 << 10,
            hard: 1 << 20,
        });
        assert!(backlog.admits(1 << 20) && !backlog.admits((1 << 20) + 1));
        push(backlog, 1 << 19);
        assert!(backlog.admits(1 << 18) && !backlog.admits(1 << 19));
        let mut stats = Stats::default();
        backlog.add_to(&mut stats);
        assert_eq!(stats.refused, 2);
        assert_eq!((stats.callbacks_pending, stats.callbacks_queued), (1, 1));
        assert!(stats.bytes_pending > 1 << 19 && stats.bytes_peak == stats.bytes_pending);
    }

    #[test]
    fn an_episode_beyond_the_limit_begins_once_and_ends_below_it() {
        let backlog = backlog();
        backlog.set_limits(Limits {
            soft: 0,
            hard: 1000,
        });
        push(backlog, 2000);
        assert!(backlog.note_excess() && !backlog.note_excess());
        backlog.relieved();
        assert!(!backlog.note_excess(), "it is still beyond");
        let shard = backlog.shard(backlog.mine());
        shard.begin_pass();
        shard.pop(Lane::Main).unwrap().run();
        shard.ran(Lane::Main);
        backlog.relieved();
        assert!(backlog.note_excess());
    }

    // One call in 64 tried again, however long ago the failure was.
    #[test]
    fn a_start_that_failed_is_tried_again_when_its_time_has_passed() {
        let backlog = backlog();
        let second = Duration::from_secs(1);
        assert!(backlog.may_start(Duration::ZERO) && !backlog.is_stranded());
        backlog.start_failed(second);
        assert!(backlog.is_stranded());
        assert!(!backlog.may_start(second));
        assert!(!backlog.may_start(second + RETRY_AFTER - Duration::from_millis(1)));
        assert!(backlog.may_start(second + RETRY_AFTER));
        backlog.start_failed(second + RETRY_AFTER);
        assert!(!backlog.may_start(second + RETRY_AFTER));
        backlog.start_succeeded();
        assert!(backlog.may_start(second));
    }

    // What a child inherited waited for a barrier.
    #[test]
    fn a_child_knows_whether_it_has_inherited_work() {
        let inherits = |backlog: &Backlog| {
            backlog.lock_for_fork();
            assert_eq!(backlog.after_fork_in_child(thread_id()), 0);
            backlog.is_stranded()
        };
        let backlog = backlog();
        assert!(!inherits(backlog));
        push(backlog, 1);
        assert!(inherits(backlog));
        backlog.look_after_stranded();
        backlog.shard(backlog.mine()).begin_pass();
        assert!(inherits(backlog), "a batch that was taken");
    }

    #[test]
    fn throttle_is_content_well_below_the_hard_limit() {
        let backlog = backlog();
        for (soft, hard, expected) in [
            (100, 1000, 100),
            (800, 1000, 500),
            (100, u64::MAX, 100),
            (u64::MAX, u64::MAX, u64::MAX),
        ] {
            backlog.set_limits(Limits { soft, hard });
            assert_eq!(backlog.comfortable(), expected);
        }
    }

    #[test]
    fn lazy_delays_are_at_most_ten_seconds() {
        let backlog = backlog();
        assert_eq!(backlog.lazy_delay(), LONGEST_LAZY);
        backlog.set_lazy_delay(Duration::from_millis(5));
        assert_eq!(backlog.lazy_delay(), Duration::from_millis(5));
        backlog.set_lazy_delay(Duration::MAX);
        assert_eq!(backlog.lazy_delay(), LONGEST_LAZY);
    }
}
