//! Panics whose payload panics as well, when it is dropped: no thread of the mount ends by them.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use kernfs::fuse::{Mount, Options};
use kernfs::{Cx, Has, Ops, Result, Root, Seq};

use crate::stuck::{Opens, Stuck};
use crate::support::{errno, text, with_dir, with_options};

/// What a panic throws, and panics itself when it is dropped.
struct Bomb;

impl Bomb {
    fn throw() -> ! {
        resume_unwind(Box::new(Self))
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        Self::throw();
    }
}

/// An open file of a [`Bombs`].
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        Bomb::throw();
    }
}

/// A file whose closing panics. It counts them.
#[derive(Clone, Default)]
struct Bombs(Arc<AtomicUsize>);

impl Ops for Bombs {
    const HAS: Has = Has::SHOW;
    type Open = Open;

    fn open(&self, _: &mut Cx<'_>) -> Result<Open> {
        Ok(Open(Arc::clone(&self.0)))
    }

    fn show(&self, _: &mut Cx<'_>, _: &Open, seq: &mut Seq) -> Result<()> {
        seq.put(b"ticks\n");
        Ok(())
    }
}

#[test]
fn an_open_file_that_panicked_when_it_was_closed_ended_a_service_thread() {
    let bombs = Bombs::default();
    let ops = bombs.clone();
    let build = |root: &Root| {
        root.create_file("bomb", 0o444, 0, ops).expect("new");
        text(root, "speed", "30");
    };
    let options = Options::new().threads(2).most_threads(2);
    with_options(Root::new(), &options, build, |setup| {
        for n in 1..=5 {
            assert_eq!(setup.read("bomb"), "ticks\n");
            // The client does not wait for the end of its close.
            while bombs.0.load(SeqCst) < n {
                std::thread::yield_now();
            }
            assert_eq!(setup.read("speed"), "30\n");
        }
    });
}

#[test]
fn an_open_file_that_panicked_when_it_was_closed_kept_the_others_open_at_the_end() {
    with_dir(|path| {
        let root = Root::new();
        let bombs = Bombs::default();
        root.create_file("bomb", 0o444, 0, bombs.clone())
            .expect("new");
        let mount = Mount::new(&root, path, &Options::new()).expect("it worked before");
        let at = path.join("bomb");
        let files: Vec<_> = (0..21).map(|_| File::open(&at).expect("served")).collect();
        match catch_unwind(AssertUnwindSafe(|| mount.unmount())) {
            Ok(ended) => ended.expect("ours"),
            Err(bomb) => std::mem::forget(bomb), // not all are closed
        }
        assert_eq!(bombs.0.load(SeqCst), files.len());
    });
}

#[test]
fn a_hook_that_panicked_ended_the_thread_that_answers_clients() {
    let stuck = Arc::new(Stuck::default());
    let ops = Arc::clone(&stuck);
    let build = |root: &Root| {
        root.create_file("stuck", 0o444, 0, ops).expect("new");
    };
    let options = Options::new()
        .callback_limit(Duration::from_millis(20))
        .on_late_callback(|_| Bomb::throw());
    with_options(Root::new(), &options, build, |setup| {
        let _opens = Opens(&stuck);
        for _ in 0..3 {
            assert_eq!(errno(fs::read(setup.at("stuck"))), libc::ETIMEDOUT);
        }
        stuck.change(|state| state.1 = true);
        while setup.mount.late_callbacks() > 0 {
            std::thread::yield_now();
        }
    });
}
