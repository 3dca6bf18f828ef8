//! Callbacks that take longer than their clients are to wait.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use kernfs::fuse::{LateCallback, Options};
use kernfs::{Cx, Errno, Has, Ops, Result, Root, Seq};

use crate::stuck::{Opens, Stuck};
use crate::support::{errno, text, with_options};

/// On a busy machine anything may take that long, so whatever is not stuck is tried again.
const LIMIT: Duration = Duration::from_millis(20);

/// Its `show` waits until its client has gone.
struct Patient(mpsc::Sender<()>);

impl Ops for Patient {
    const HAS: Has = Has::SHOW.with(Has::MAY_BLOCK);
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, cx: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        while !cx.interrupted() {
            thread::yield_now();
        }
        self.0.send(()).map_err(|_| Errno::EIO)?;
        Err(Errno::EINTR.into())
    }
}

fn times_out(path: &Path) {
    assert_eq!(errno(fs::read(path)), libc::ETIMEDOUT);
}

#[test]
fn a_client_waited_for_a_callback_without_an_end() {
    let stuck = Arc::new(Stuck::default());
    let (told, reports) = mpsc::channel::<LateCallback>();
    let told = Mutex::new(told);
    let tell = move |late: &LateCallback| {
        let _ = told.lock().expect("no panic under it").send(late.clone());
    };
    let options = Options::new()
        .threads(2)
        .callback_limit(LIMIT)
        .on_late_callback(tell);
    let (gone, heard) = mpsc::channel();
    let ops = Arc::clone(&stuck);
    let build = |root: &Root| {
        let dir = root.create_dir("dir", 0o755).expect("new");
        dir.create_file("stuck", 0o444, 0, ops).expect("new");
        root.create_file("patient", 0o444, 0, Patient(gone))
            .expect("new");
        text(root, "speed", "30");
    };
    with_options(Root::new(), &options, build, move |setup| {
        let _opens = Opens(&stuck);
        // Late may also be the open, or the read before it is in there. Each is told once.
        let late = loop {
            times_out(&setup.at("dir/stuck"));
            let late = reports.recv().expect("a report");
            if late.callback.op == "show" {
                break late;
            }
        };
        // It is in there still.
        assert!(setup.mount.late_callbacks() >= 1);
        assert_eq!((&*late.path, late.limit), (&b"/dir/stuck"[..], LIMIT));
        assert!(late.callback.thread.starts_with("kernfs-fuse-"), "{late}");
        assert_ne!(late.callback.tid, 0);
        let said = late.to_string();
        assert!(said.starts_with("show of /dir/stuck has run"), "{said}");
        // The others are served.
        while fs::read(setup.at("speed")).is_err() {}
        stuck.change(|state| state.1 = true);
        while setup.mount.late_callbacks() > 0 {
            thread::yield_now();
        }
        // What it answered in the end is not what the next one reads.
        while fs::read(setup.at("speed")).map_or(true, |text| text != b"30\n") {}
        while heard.try_recv().is_err() {
            times_out(&setup.at("patient"));
        }
    });
}

#[test]
fn who_is_not_late_is_left_alone() {
    let hour = Duration::from_secs(3600);
    let tell = |late: &LateCallback| panic!("{late}");
    let options = Options::new().callback_limit(hour).on_late_callback(tell);
    let build = |root: &Root| drop(text(root, "speed", "30"));
    with_options(Root::new(), &options, build, |setup| {
        for _ in 0..100 {
            assert_eq!(setup.read("speed"), "30\n");
        }
        assert_eq!(setup.mount.late_callbacks(), 0);
    });
}
