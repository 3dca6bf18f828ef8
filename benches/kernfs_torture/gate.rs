//! Callbacks that block: a gate that is closed now and then, until as many are stuck at it as there are threads.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use benches::dice::Dice;

/// How often who is stuck looks whether his client has given up.
const LOOK: Duration = Duration::from_millis(5);
/// How long it is closed at most.
const CLOSED: Duration = Duration::from_millis(400);

#[derive(Debug, Default)]
struct State {
    closed: bool,
    stuck: usize,
    most: usize,
    over: bool,
    /// How often all were stuck at once.
    full: u64,
    passed: u64,
}

/// The gate.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A callback comes to it. `false`: its client has given up, and it does not wait on.
    pub(crate) fn pass(&self, mut gives_up: impl FnMut() -> bool) -> bool {
        let mut state = self.lock();
        if !state.closed {
            return true;
        }
        state.stuck += 1;
        state.most = state.most.max(state.stuck);
        self.changed.notify_all();
        let mut waits = true;
        while state.closed && waits {
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            waits = !gives_up();
        }
        state.stuck -= 1;
        state.passed += 1;
        waits || !state.closed
    }

    /// Closes and opens it, until it is over. `threads`: so many can be stuck.
    pub(crate) fn keep(&self, threads: usize, mut dice: Dice) {
        while !self.lock().over {
            thread::sleep(Duration::from_millis(20 + dice.below(100)));
            let mut state = self.lock();
            state.closed = !state.over;
            let began = Instant::now();
            while state.closed && state.stuck < threads {
                let Some(left) = CLOSED.checked_sub(began.elapsed()) else {
                    break;
                };
                let waited = self.changed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.stuck >= threads {
                state.full += 1;
                // Who comes now is not served: he waits too.
                drop(state);
                thread::sleep(Duration::from_millis(dice.below(100)));
                state = self.lock();
            }
            state.closed = false;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Opens it for good.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.over = true;
        state.closed = false;
        drop(state);
        self.changed.notify_all();
    }

    /// How often all were stuck at once, how many callbacks were stuck, and how many of them at once.
    pub(crate) fn counts(&self) -> (u64, u64, usize) {
        let state = self.lock();
        (state.full, state.passed, state.most)
    }
}
