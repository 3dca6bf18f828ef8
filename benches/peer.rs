//! What a contender is: a shared [`Object`] behind a pointer that readers follow and updaters replace.
//!
//! The shape is that of seize's stack bench: a small trait, and one generic loop that every peer runs.

/// What is protected: 64 bytes without drop glue, a small record.
#[derive(Debug)]
pub struct Object([u64; 8]);

impl Object {
    /// An object of that value.
    #[inline]
    pub const fn new(value: u64) -> Self {
        Self([value; 8])
    }

    /// Its value.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0[0]
    }
}

/// Something that protects one shared object.
pub trait Peer: Sync + Sized {
    /// What a thread needs to read and update: a registration, a handle, or only the reference.
    type Reader<'a>: Reader
    where
        Self: 'a;

    /// The name in the table.
    fn name(&self) -> &'static str;

    /// The same kind with a pointer of its own, for a second updater; what frees is shared.
    fn another(&self) -> Self;

    /// Brings the calling thread in.
    fn reader(&self) -> Self::Reader<'_>;

    /// Waits until all replaced objects are freed, as far as the peer can.
    fn settle(&self) -> Settled;
}

/// What [`Peer::settle`] achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Every object that was replaced is freed, but for a bounded number that a thread keeps.
    AllFreed,
    /// The peer has no way to wait for that, or frees nothing.
    Unknown,
}

/// A thread of a [`Peer`].
pub trait Reader {
    /// One section: enter, follow the pointer, read, leave.
    fn read(&mut self) -> u64;

    /// One section that lasts as long as `inside` runs.
    fn hold(&mut self, inside: &mut dyn FnMut());

    /// Replaces the object by a new one; the old one is freed now or later.
    fn update(&mut self, new: u64);

    /// A moment in which the thread holds no reference: quiescent-state flavors announce it.
    fn pause(&mut self) {}
}
