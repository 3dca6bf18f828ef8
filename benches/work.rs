//! What the threads of a round do, and the figures that this gives.

use core::time::Duration;

/// What the threads of a round do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One thread reads.
    Read,
    /// Two threads read.
    ReadByTwo,
    /// One thread updates.
    Update,
    /// One thread updates, another reads.
    UpdateBesideReader,
    /// One thread updates, another reads another pointer.
    UpdateBesideStranger,
    /// Two threads update, each a pointer of its own.
    UpdateByTwo,
}

impl Work {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 6] = [
        Self::Read,
        Self::ReadByTwo,
        Self::Update,
        Self::UpdateBesideReader,
        Self::UpdateBesideStranger,
        Self::UpdateByTwo,
    ];

    /// Whether the leading thread updates.
    pub fn leader_updates(self) -> bool {
        !matches!(self, Self::Read | Self::ReadByTwo)
    }

    /// What its second thread does, if there is one.
    pub fn follower(self) -> Option<Follower> {
        match self {
            Self::Read | Self::Update => None,
            Self::ReadByTwo | Self::UpdateBesideReader => Some(Follower::Reads),
            Self::UpdateBesideStranger => Some(Follower::ReadsAnother),
            Self::UpdateByTwo => Some(Follower::Updates),
        }
    }
}

/// What the second thread does until the first is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follower {
    /// Reads the leader's pointer.
    Reads,
    /// Reads a pointer of its own.
    ReadsAnother,
    /// Updates a pointer of its own.
    Updates,
}

/// How a round is run.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// What the threads do.
    pub work: Work,
    /// The number of the round; chooses the placement of the read loop.
    pub number: usize,
    /// How many blocks the leading thread executes.
    pub blocks: u64,
    /// Whether each thread stays on its own CPU.
    pub pinned: bool,
}

/// Nanoseconds for one operation, as one thread sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Of a read, if somebody read.
    pub read: Option<f64>,
    /// Of an update, if somebody updated: what it costs the caller.
    pub update: Option<f64>,
    /// The same until all old values are freed, if the peer can tell.
    pub freed: Option<f64>,
}

/// What one thread did in a round.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    /// How long it took.
    pub time: Duration,
    /// How many reads or updates that were.
    pub operations: u64,
}

impl Figures {
    /// From what the threads did, and the time from the start until all was freed if that is known.
    pub fn of(work: Work, leader: Share, follower: Option<Share>, freed: Option<Duration>) -> Self {
        let mut figures = Self::default();
        let all: Vec<Share> = [Some(leader), follower].into_iter().flatten().collect();
        if !work.leader_updates() {
            figures.read = per_operation(&all);
            return figures;
        }
        let updaters = if work.follower() == Some(Follower::Updates) {
            &all[..]
        } else {
            figures.read = follower.and_then(|follower| per_operation(&[follower]));
            &all[..1]
        };
        figures.update = per_operation(updaters);
        let operations: u64 = updaters.iter().map(|share| share.operations).sum();
        figures.freed =
            freed.map(|time| time.as_nanos() as f64 * updaters.len() as f64 / operations as f64);
        figures
    }
}

/// `None` if there was none: a thread that was not scheduled in time.
fn per_operation(shares: &[Share]) -> Option<f64> {
    let time: Duration = shares.iter().map(|share| share.time).sum();
    let operations: u64 = shares.iter().map(|share| share.operations).sum();
    (operations > 0).then(|| time.as_nanos() as f64 / operations as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_updaters_freed_is_told_for_one_of_them() {
        let share = |time, operations| Share {
            time: Duration::from_nanos(time),
            operations,
        };
        let freed = Some(Duration::from_nanos(600));
        let figures = Figures::of(
            Work::UpdateByTwo,
            share(300, 100),
            Some(share(100, 100)),
            freed,
        );
        assert_eq!((figures.update, figures.freed), (Some(2.0), Some(6.0)));
        let figures = Figures::of(
            Work::UpdateBesideReader,
            share(300, 100),
            Some(share(100, 100)),
            freed,
        );
        assert_eq!(figures.update, Some(3.0));
        assert_eq!((figures.read, figures.freed), (Some(1.0), Some(6.0)));
        let figures = Figures::of(
            Work::UpdateBesideReader,
            share(300, 100),
            Some(share(100, 0)),
            freed,
        );
        assert_eq!(figures.read, None);
    }
}
