//! Waiting for another thread, in the models: it runs.

/// As in the real one.
#[derive(Debug)]
pub(crate) struct Backoff;

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self
    }

    pub(crate) fn wait(&mut self) {
        loom::thread::yield_now();
    }
}
