//! Who keeps an engine: the process for the global flavors, a counted handle for a domain that is a value.

use core::marker::PhantomData;

use crate::gp::{Barriers, Caller, Engine, Global};

/// A way to an engine that keeps it alive. A worker holds one for as long as it runs, and so does nothing
/// else behind the back of whoever owns the domain.
pub(crate) trait Home: Clone + Send + 'static {
    /// The barriers of the engine's readers.
    type B: Barriers;

    /// The engine. The same one for all clones.
    fn engine(&self) -> &Engine;

    /// The calling thread, outside all sections. The default knows of no slot of it, which costs at most a
    /// heavy barrier.
    fn caller(&self) -> Caller<'_> {
        Caller::default()
    }
}

/// The home of a flavor whose engine is a static.
#[derive(Debug)]
pub(crate) struct Process<B>(PhantomData<fn() -> B>);

impl<B> Process<B> {
    pub(crate) const HOME: Self = Self(PhantomData);
}

impl<B> Clone for Process<B> {
    fn clone(&self) -> Self {
        Self::HOME
    }
}

impl<B: Global> Home for Process<B> {
    type B = B;

    #[inline(always)]
    fn engine(&self) -> &Engine {
        B::engine()
    }

    fn caller(&self) -> Caller<'_> {
        Caller::here::<B>(None)
    }
}
