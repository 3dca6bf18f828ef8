//! Pauses: now and then every thread stops, and all that was removed must come home.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Crew {
    members: usize,
    parked: usize,
}

/// The place where threads stop.
#[derive(Debug, Default)]
pub(crate) struct Stutter {
    wanted: AtomicBool,
    crew: Mutex<Crew>,
    changed: Condvar,
}

impl Stutter {
    fn crew(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calling thread takes part in pauses until the result is dropped.
    pub(crate) fn join(&self) -> Member<'_> {
        self.crew().members += 1;
        Member(self)
    }

    /// Stops all members; returns when they have stopped.
    pub(crate) fn pause(&self) {
        self.wanted.store(true, Relaxed);
        let crew = self.crew();
        let all = self
            .changed
            .wait_while(crew, |crew| crew.parked < crew.members);
        drop(all.unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets them go on.
    pub(crate) fn go_on(&self) {
        let crew = self.crew();
        self.wanted.store(false, Relaxed);
        drop(crew);
        self.changed.notify_all();
    }
}

/// A thread that stops when it is asked to.
#[derive(Debug)]
pub(crate) struct Member<'a>(&'a Stutter);

impl Member<'_> {
    /// Whether a pause is wanted.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.wanted.load(Relaxed)
    }

    /// Stops until the pause is over.
    pub(crate) fn park(&self) {
        let mut crew = self.0.crew();
        crew.parked += 1;
        self.0.changed.notify_all();
        while self.is_asked() {
            let woken = self.0.changed.wait(crew);
            crew = woken.unwrap_or_else(PoisonError::into_inner);
        }
        crew.parked -= 1;
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.0.crew().members -= 1;
        self.0.changed.notify_all();
    }
}
