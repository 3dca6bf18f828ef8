//! What a contender is: a shared `u64` behind a pointer that readers follow and updaters replace.
//!
//! The shape is that of seize's stack bench: a small trait, and one generic loop that every peer runs.

/// Something that protects one shared value.
pub trait Peer: Sync {
    /// What a thread needs to read and update: a registration, a handle, or only the reference.
    type Reader<'a>: Reader
    where
        Self: 'a;

    /// The name in the table.
    fn name(&self) -> &'static str;

    /// Brings the calling thread in.
    fn reader(&self) -> Self::Reader<'_>;

    /// Waits until all replaced values are freed, as far as the peer can.
    fn settle(&self) -> Settled;
}

/// What [`Peer::settle`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Every value that was replaced is freed.
    AllFreed,
    /// The peer has no way to wait for that, or frees nothing.
    Unknown,
}

/// A thread of a [`Peer`].
pub trait Reader {
    /// One section: enter, follow the pointer, read, leave.
    fn read(&mut self) -> u64;

    /// Replaces the value; the old one is freed now or later.
    fn update(&mut self, new: u64);

    /// A moment in which the thread holds no reference: quiescent-state flavors announce it.
    fn pause(&mut self) {}
}
