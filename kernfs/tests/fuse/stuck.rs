//! Callbacks that block in more threads than the mount began with.

use std::fs;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use kernfs::fuse::Options;
use kernfs::{Cx, Has, Ops, Result, Root, Seq};

use crate::support::{text, with_options};

const CLIENTS: usize = 6;

/// Its `show` waits until it is let go.
#[derive(Default)]
pub(crate) struct Stuck {
    /// How many are inside; whether they may leave.
    state: Mutex<(usize, bool)>,
    changed: Condvar,
}

impl Stuck {
    pub(crate) fn change(&self, change: impl FnOnce(&mut (usize, bool))) {
        change(&mut self.state.lock().expect("no panic under it"));
        self.changed.notify_all();
    }

    pub(crate) fn inside(&self) -> usize {
        self.state.lock().expect("no panic under it").0
    }

    pub(crate) fn wait(&self, until: impl Fn(&(usize, bool)) -> bool) {
        let state = self.state.lock().expect("no panic under it");
        let wait = self.changed.wait_while(state, |state| !until(state));
        drop(wait.expect("no panic under it"));
    }
}

impl Ops for Stuck {
    const HAS: Has = Has::SHOW.with(Has::MAY_BLOCK);
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        self.change(|state| state.0 += 1);
        self.wait(|state| state.1);
        seq.put(b"passed\n");
        Ok(())
    }
}

/// Lets them go if the test fails.
pub(crate) struct Opens<'a>(pub(crate) &'a Stuck);

impl Drop for Opens<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.1 = true);
    }
}

/// It panicked, and left a mount that nobody served.
#[test]
fn any_number_of_threads_may_be_asked_for() {
    with_options(
        Root::new(),
        &Options::new().most_threads(usize::MAX),
        |root| drop(text(root, "speed", "30")),
        |setup| assert_eq!(setup.read("speed"), "30\n"),
    );
}

#[test]
fn a_mount_waited_for_callbacks_that_blocked_in_all_its_threads() {
    let stuck = Arc::new(Stuck::default());
    let ops = Arc::clone(&stuck);
    with_options(
        Root::new(),
        &Options::new().threads(2),
        |root| {
            root.create_file("stuck", 0o444, 0, ops).expect("new");
            text(root, "speed", "30");
        },
        |setup| {
            thread::scope(|scope| {
                let _opens = Opens(&stuck);
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|_| scope.spawn(|| fs::read(setup.at("stuck")).expect("let go")))
                    .collect();
                stuck.wait(|state| state.0 == CLIENTS);
                // And another one serves.
                assert_eq!(setup.read("speed"), "30\n");
                stuck.change(|state| state.1 = true);
                for client in clients {
                    assert_eq!(client.join().expect("a client"), b"passed\n");
                }
            });
        },
    );
}
