//! A removal that waits for a callback is told, and goes on when the callback ends. One test at a time: the hook is the
//! process's.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use common::errno;
use kernfs::{Cx, Errno, Has, OpenFlags, Ops, Result, Root, Seq, SlowRemoval};

/// Held by the test whose hook is set.
static HOOK: Mutex<()> = Mutex::new(());

/// Each callback waits for the next report of a removal: for what the remover holds, in effect (R24).
struct Stuck {
    entered: mpsc::Sender<()>,
    reports: Arc<AtomicUsize>,
    release: Arc<AtomicBool>,
}

impl Stuck {
    fn wait(&self) {
        let before = self.reports.load(SeqCst);
        self.entered.send(()).unwrap();
        while self.reports.load(SeqCst) < before + 2 {
            thread::yield_now();
        }
    }
}

impl Ops for Stuck {
    const HAS: Has = Has::SHOW.with(Has::RELEASE);
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn show(&self, _: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        self.wait();
        Ok(())
    }
    fn release(&self, _: &mut Cx<'_>, (): &()) {
        if self.release.load(SeqCst) {
            self.wait();
        }
    }
}

#[test]
fn a_removal_that_waits_says_for_which_callback_on_which_thread() {
    let _mine = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let reports = Arc::new(AtomicUsize::new(0));
    let told: Arc<Mutex<Vec<SlowRemoval>>> = Arc::default();
    let (count, list) = (Arc::clone(&reports), Arc::clone(&told));
    // The callbacks end because of the reports: how long that takes does not matter.
    kernfs::on_slow_removal(Duration::from_millis(1), move |report| {
        list.lock().unwrap().push(report.clone());
        count.fetch_add(1, SeqCst);
    });
    for in_release in [false, true] {
        let root = Root::new();
        let (entered, is_entered) = mpsc::channel();
        let stuck = Stuck {
            entered,
            reports: Arc::clone(&reports),
            release: Arc::new(AtomicBool::new(in_release)),
        };
        let dir = root.create_dir("dir", 0o755).unwrap();
        let file = dir.create_file("stuck", 0o444, 0, stuck).unwrap();
        let open = file.open(OpenFlags::READ).unwrap();
        told.lock().unwrap().clear();
        // A callback of another file runs all the time: it is not to blame.
        let (may_end, end) = mpsc::channel::<()>();
        let (inside, is_inside) = mpsc::channel();
        let end = Mutex::new(end);
        let beside = root
            .attr(
                "beside",
                kernfs::ro(move || {
                    inside.send(()).unwrap();
                    end.lock().unwrap().recv().is_err()
                }),
            )
            .unwrap();
        let beside = beside.open(OpenFlags::READ).unwrap();
        thread::scope(|s| {
            s.spawn(move || beside.read_at(&mut [0; 8], 0).unwrap());
            is_inside.recv().unwrap();
            let user = move || match in_release {
                true => drop(open),
                false => {
                    open.read_at(&mut [0; 8], 0).unwrap();
                    assert_eq!(errno(open.read_at(&mut [0; 8], 0)), Errno::ENODEV);
                }
            };
            thread::Builder::new()
                .name("the user".into())
                .spawn_scoped(s, user)
                .unwrap();
            is_entered.recv().unwrap();
            dir.remove().unwrap();
            drop(may_end);
        });
        let told = told.lock().unwrap();
        let first = &told[0];
        let op = if in_release { "release" } else { "show" };
        assert_eq!(first.path, b"/dir/stuck");
        assert_eq!(first.callbacks.len(), 1, "{first}");
        assert_eq!(
            (first.callbacks[0].op, &*first.callbacks[0].thread),
            (op, "the user")
        );
        let text = first.to_string();
        assert!(text.contains(&format!("; {op} runs on thread ")), "{text}");
        assert!(told[1].waited > first.waited);
    }
}

#[test]
fn a_node_whose_hiding_was_told_to_a_hook_that_panicked_was_never_shown_again() {
    let _mine = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let reports = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reports);
    kernfs::on_slow_removal(Duration::from_millis(1), move |_| {
        count.fetch_add(1, SeqCst);
        std::panic::resume_unwind(Box::new("a hook"));
    });
    let root = Root::new();
    let (entered, is_entered) = mpsc::channel();
    let stuck = Stuck {
        entered,
        reports,
        release: Arc::default(),
    };
    let file = root.create_file("stuck", 0o444, 0, stuck).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    thread::scope(|s| {
        s.spawn(|| open.read_at(&mut [0; 8], 0).unwrap());
        is_entered.recv().unwrap();
        let hidden = std::panic::catch_unwind(|| file.hide().is_ok());
        file.show().unwrap();
        assert!(file.is_active());
        assert!(matches!(hidden, Ok(true)));
    });
}
