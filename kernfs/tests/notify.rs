//! Listeners of a tree, and notification storms.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use common::{Checked, Random, text};
use kernfs::{OpenFlags, Root, Watch, ro};

#[derive(Default)]
struct Listener {
    news: Mutex<Vec<String>>,
    delivered: Mutex<HashMap<u64, usize>>,
}

impl Watch for Listener {
    fn added(&self, parent: u64, name: &[u8]) {
        let name = name.escape_ascii();
        self.news.lock().unwrap().push(format!("+ {parent} {name}"));
    }
    fn removed(&self, parent: u64, name: &[u8], node: u64) {
        let line = format!("- {parent} {} {node}", name.escape_ascii());
        self.news.lock().unwrap().push(line);
    }
    fn notified(&self, file: u64) {
        *self.delivered.lock().unwrap().entry(file).or_default() += 1;
    }
}

#[test]
fn listeners_hear_of_changes_of_the_tree() {
    let root = Root::new();
    root.create_dir("before", 0o755).unwrap();
    let listener = Arc::new(Listener::default());
    let watching = root.watch(listener.clone()).unwrap();
    let dir = root.create_dir("d", 0o755).unwrap();
    let file = dir.attr("f", ro(|| 1)).unwrap();
    dir.attr("f", ro(|| 1)).unwrap_err();
    dir.remove().unwrap();
    dir.remove().unwrap();
    drop(watching);
    root.remove_by_name("before").unwrap();
    let expected = [
        "+ 1 d".to_owned(),
        format!("+ {} f", dir.id()),
        format!("- {} f {}", dir.id(), file.id()),
        format!("- 1 d {}", dir.id()),
    ];
    assert_eq!(*listener.news.lock().unwrap(), expected);
}

#[test]
fn listeners_hear_of_notifications() {
    let root = Root::new();
    let a = root.attr("a", ro(|| 1)).unwrap();
    let b = root.attr("b", ro(|| 1)).unwrap();
    a.notify(); // nobody listens yet
    let first = Arc::new(Listener::default());
    let watching = root.watch(first.clone()).unwrap();
    a.notify();
    watching.flush();
    a.notify();
    b.notify();
    watching.flush();
    let second = Arc::new(Listener::default());
    let other = root.watch(second.clone()).unwrap();
    b.notify();
    other.flush();
    drop(watching);
    a.notify();
    other.flush();
    drop(other);
    a.notify();
    let counts = |l: &Listener| {
        let delivered = l.delivered.lock().unwrap();
        [a.id(), b.id()].map(|id| delivered.get(&id).copied().unwrap_or(0))
    };
    assert_eq!(counts(&first), [2, 2]);
    assert_eq!(counts(&second), [1, 1]);
    assert_eq!(root.stats().delivered, 5);
    // The worker ends with the last listener and comes back with the next.
    let again = root.watch(first.clone()).unwrap();
    a.notify();
    again.flush();
    assert_eq!(counts(&first)[0], 3);
}

#[test]
fn each_notification_wakes_the_worker() {
    struct Tells(mpsc::Sender<u64>);
    impl Watch for Tells {
        fn added(&self, _: u64, _: &[u8]) {}
        fn removed(&self, _: u64, _: &[u8], _: u64) {}
        fn notified(&self, file: u64) {
            self.0.send(file).unwrap();
        }
    }
    let root = Root::new();
    let file = root.attr("f", ro(|| 1)).unwrap();
    let (sender, told) = mpsc::channel();
    let _watching = root.watch(Arc::new(Tells(sender))).unwrap();
    // The worker may be asleep, about to fall asleep, or between delivery and the next look.
    for _ in 0..2000 {
        file.notify();
        assert_eq!(told.recv(), Ok(file.id()));
    }
}

/// Reads its file at each delivery, as a mount's client would.
struct Follower {
    open: Vec<(u64, kernfs::OpenFile)>,
    seen: Vec<AtomicU64>,
    deliveries: AtomicUsize,
}

impl Watch for Follower {
    fn added(&self, _: u64, _: &[u8]) {}
    fn removed(&self, _: u64, _: &[u8], _: u64) {}
    fn notified(&self, file: u64) {
        self.deliveries.fetch_add(1, SeqCst);
        let at = self.open.iter().position(|(id, _)| *id == file).unwrap();
        let now = text(&self.open[at].1).trim_end().parse().unwrap();
        self.seen[at].store(now, SeqCst);
    }
}

#[test]
fn a_storm_on_few_files_ends_and_loses_no_last_change() {
    const FILES: usize = 3;
    const EACH: u64 = 20_000;
    let root = Root::new();
    let values: Arc<[AtomicU64; FILES]> = Arc::default();
    let files: Vec<_> = (0..FILES)
        .map(|n| {
            let values = Arc::clone(&values);
            root.attr(n.to_string(), ro(move || values[n].load(SeqCst)))
                .unwrap()
        })
        .collect();
    let open = files
        .iter()
        .map(|f| (f.id(), f.open(OpenFlags::READ).unwrap()))
        .collect();
    let follower = Arc::new(Follower {
        open,
        seen: (0..FILES).map(|_| AtomicU64::new(0)).collect(),
        deliveries: AtomicUsize::new(0),
    });
    let watching = root.watch(follower.clone()).unwrap();
    thread::scope(|s| {
        for seed in 1..=3 {
            let (files, values) = (&files, &values);
            s.spawn(move || {
                let mut random = Random(seed);
                for _ in 0..EACH {
                    let n = usize::try_from(random.below(FILES as u64)).unwrap();
                    values[n].fetch_add(1, SeqCst);
                    files[n].notify();
                }
            });
        }
    });
    watching.flush();
    for n in 0..FILES {
        assert_eq!(
            follower.seen[n].load(SeqCst),
            values[n].load(SeqCst),
            "file {n}"
        );
    }
    let total: u64 = values.iter().map(|v| v.load(SeqCst)).sum();
    let deliveries = follower.deliveries.load(SeqCst);
    assert_eq!(total, 3 * EACH);
    assert!((FILES..=3 * 20_000).contains(&deliveries), "{deliveries}");
    assert_eq!(root.stats().delivered, deliveries as u64);
}

#[test]
fn notify_runs_beside_open_close_and_removal() {
    let root = Root::new();
    let listener = Arc::new(Listener::default());
    let watching = root.watch(listener).unwrap();
    let dir = root.create_dir("d", 0o755).unwrap();
    let others: Vec<_> = (0..256)
        .map(|n| dir.attr(n.to_string(), ro(|| 1)).unwrap())
        .collect();
    let mut turns = others.iter().cycle();
    for _ in 0..100 {
        let (ops, log) = Checked::new();
        let file = root.create_file("f", 0o644, 0, ops).unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                for _ in 0..500 {
                    file.notify();
                }
            });
            s.spawn(|| {
                // The open node stays, and goes when a file of the same mutex is closed, as some of the others are.
                while let Ok(open) = file.open(OpenFlags::READ) {
                    open.poll();
                    drop(open);
                    let other = turns.next().unwrap();
                    drop(other.open(OpenFlags::READ).unwrap());
                }
            });
            for _ in 0..50 {
                drop(file.open(OpenFlags::READ).unwrap());
            }
            file.remove().unwrap();
            log.poison();
        });
        assert_eq!(log.get(|l| &l.faults), 0);
        assert_eq!(log.get(|l| &l.opens), log.get(|l| &l.releases));
        assert_eq!(log.get(|l| &l.alive), 0);
    }
    watching.flush();
    drop(watching);
    dir.remove().unwrap();
    drop((dir, others));
    for _ in 0..3 {
        urcu::Memb::barrier();
    }
    assert_eq!(root.stats().nodes, 1);
}

#[test]
fn a_listener_may_end_its_own_registration() {
    struct Once(Mutex<Option<kernfs::Watching>>, AtomicUsize);
    impl Watch for Once {
        fn added(&self, _: u64, _: &[u8]) {}
        fn removed(&self, _: u64, _: &[u8], _: u64) {}
        fn notified(&self, _: u64) {
            drop(self.0.lock().unwrap().take());
            self.1.fetch_add(1, SeqCst);
        }
    }
    let root = Root::new();
    let file = root.attr("f", ro(|| 1)).unwrap();
    let once = Arc::new(Once(Mutex::default(), AtomicUsize::new(0)));
    let watching = root.watch(once.clone()).unwrap();
    *once.0.lock().unwrap() = Some(watching);
    file.notify();
    while once.1.load(SeqCst) == 0 {
        thread::yield_now();
    }
    file.notify();
    assert_eq!(once.1.load(SeqCst), 1);
}

/// R7's neighbour: a worker that was started again ran beside the last one, which was still in a listener.
#[test]
fn a_new_worker_begins_when_the_last_one_has_ended() {
    /// Ends its own registration, and with it the worker, and stays inside for a while.
    struct Leaves(
        Mutex<Option<kernfs::Watching>>,
        mpsc::Sender<()>,
        Mutex<mpsc::Receiver<()>>,
        Arc<AtomicUsize>,
    );
    impl Watch for Leaves {
        fn added(&self, _: u64, _: &[u8]) {}
        fn removed(&self, _: u64, _: &[u8], _: u64) {}
        fn notified(&self, _: u64) {
            drop(self.0.lock().unwrap().take());
            self.1.send(()).unwrap();
            self.2.lock().unwrap().recv().unwrap();
            for _ in 0..200 {
                thread::yield_now();
                assert_eq!(self.3.load(SeqCst), 0, "two workers at once");
            }
            self.3.fetch_add(1, SeqCst);
        }
    }
    struct Comes(Arc<AtomicUsize>);
    impl Watch for Comes {
        fn added(&self, _: u64, _: &[u8]) {}
        fn removed(&self, _: u64, _: &[u8], _: u64) {}
        fn notified(&self, _: u64) {
            self.0.fetch_add(10, SeqCst);
        }
    }
    let root = Root::new();
    let file = root.attr("f", ro(|| 1)).unwrap();
    let order = Arc::new(AtomicUsize::new(0));
    let (left, has_left) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let leaves = Arc::new(Leaves(
        Mutex::default(),
        left,
        Mutex::new(may_go),
        Arc::clone(&order),
    ));
    *leaves.0.lock().unwrap() = Some(root.watch(leaves.clone()).unwrap());
    file.notify();
    has_left.recv().unwrap();
    let comes = root.watch(Arc::new(Comes(Arc::clone(&order)))).unwrap();
    file.notify();
    go.send(()).unwrap();
    comes.flush();
    assert_eq!(
        order.load(SeqCst),
        11,
        "the first one's end, then the second"
    );
}
