//! Files of many records.

mod common;

use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;

use common::errno;
use kernfs::{Cx, Errno, Has, OpenFlags, Ops, PollFlags, Records, Result, Root, Seq, Start};

/// What the records of a file are, and what happened to them.
#[derive(Default)]
struct Table {
    rows: Mutex<Vec<(u64, String)>>,
    starts: AtomicUsize,
    stops: AtomicUsize,
    panics: AtomicBool,
}

struct Rows<'a> {
    table: &'a Table,
    /// Held from start to stop, as owners do.
    rows: MutexGuard<'a, Vec<(u64, String)>>,
    at: usize,
}

impl Records for Rows<'_> {
    fn show(&mut self, cx: &mut Cx<'_>, seq: &mut Seq) -> Result<()> {
        let text = &self.rows[self.at].1;
        match &**text {
            "skip" => seq.skip(),
            "fail" => return Err(Errno::EAGAIN.into()),
            "notify" => cx.notify(),
            _ => {}
        }
        if self.table.panics.load(SeqCst) {
            panic!("as wanted by the test");
        }
        writeln!(seq, "{text}");
        Ok(())
    }
    fn next(&mut self, _: &mut Cx<'_>) -> Result<Option<u64>> {
        self.at += 1;
        Ok(self.rows.get(self.at).map(|row| row.0))
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        self.table.stops.fetch_add(1, SeqCst);
    }
}

struct Tabular(Arc<Table>);

impl Ops for Tabular {
    const HAS: Has = Has::SEQ;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn start<'a>(&'a self, _: &mut Cx<'_>, (): &'a (), position: u64) -> Result<Option<Start<'a>>> {
        let rows = self.0.rows.lock().unwrap_or_else(|e| e.into_inner());
        let at = rows.partition_point(|row| row.0 < position);
        if rows.get(at).is_some_and(|row| row.1 == "no start") {
            return Err(Errno::ENODEV.because("of the test"));
        }
        if at == rows.len() {
            return Ok(None);
        }
        self.0.starts.fetch_add(1, SeqCst);
        let table = &self.0;
        Ok(Some((rows[at].0, Box::new(Rows { table, rows, at }))))
    }
}

fn table(root: &Root, rows: &[(u64, &str)]) -> (kernfs::File, Arc<Table>) {
    let table = Arc::new(Table::default());
    *table.rows.lock().unwrap() = rows.iter().map(|(n, s)| (*n, (*s).to_owned())).collect();
    let file = root.create_file("table", 0o444, 0, Tabular(Arc::clone(&table)));
    (file.unwrap(), table)
}

fn balanced(table: &Table) {
    assert_eq!(table.starts.load(SeqCst), table.stops.load(SeqCst));
}

#[test]
fn positions_may_have_gaps_and_each_start_has_its_stop() {
    let root = Root::new();
    let (file, table) = table(&root, &[(3, "three"), (7, "skip"), (1 << 40, "far")]);
    let mut text = String::new();
    let mut open = file.open(OpenFlags::READ).unwrap();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "three\nfar\n");
    balanced(&table);
    assert_eq!(table.starts.load(SeqCst), 1, "the end is no record");
    // A row behind the end is a later read's.
    table.rows.lock().unwrap().push((u64::MAX, "last".into()));
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text, "three\nfar\nlast\n");
    balanced(&table);
}

#[test]
fn stop_runs_after_an_error_and_after_a_panic() {
    let root = Root::new();
    let (file, table) = table(&root, &[(0, "a"), (1, "fail")]);
    let open = file.open(OpenFlags::READ).unwrap();
    let mut buffer = [0; 64];
    assert_eq!(open.read_at(&mut buffer, 0).unwrap(), 2);
    assert_eq!(errno(open.read_at(&mut buffer, 2)), Errno::EAGAIN);
    balanced(&table);
    table.panics.store(true, SeqCst);
    assert_eq!(errno(open.read_at(&mut buffer, 0)), Errno::EIO);
    balanced(&table);
    table.panics.store(false, SeqCst);
    table.rows.clear_poison();
    assert_eq!(open.read_at(&mut buffer, 0).unwrap(), 2);
}

/// The kernel could not tell an owner's ENODEV from its own: stop must run for the former only.
#[test]
fn an_owners_enodev_is_not_the_nodes() {
    let root = Root::new();
    let (file, table) = table(&root, &[(0, "no start")]);
    let open = file.open(OpenFlags::READ).unwrap();
    let mut buffer = [0; 64];
    let error = open.read_at(&mut buffer, 0).unwrap_err();
    assert_eq!(error.errno(), Errno::ENODEV);
    assert!(error.to_string().contains("of the test"), "{error}");
    assert!(open.poll().contains(PollFlags::IN) && file.is_active());
    table.rows.lock().unwrap()[0].1 = "now".into();
    assert_eq!(open.read_at(&mut buffer, 0).unwrap(), 4);
    file.remove().unwrap();
    let starts = table.starts.load(SeqCst);
    assert_eq!(errno(open.read_at(&mut buffer, 0)), Errno::ENODEV);
    assert_eq!(table.starts.load(SeqCst), starts);
    balanced(&table);
}

#[test]
fn a_change_while_records_are_shown_makes_the_file_ready_again() {
    let root = Root::new();
    let (file, table) = table(&root, &[(0, "notify")]);
    let open = file.open(OpenFlags::READ).unwrap();
    let mut buffer = [0; 64];
    open.read_at(&mut buffer, 0).unwrap();
    assert_eq!(open.poll(), PollFlags::CHANGED);
    table.rows.lock().unwrap()[0].1 = "quiet".into();
    open.read_at(&mut buffer, 0).unwrap();
    assert_eq!(open.poll(), PollFlags::QUIET);
}

#[test]
fn one_pass_is_one_active_reference() {
    // The removal waits until the last record that the read wants was shown.
    struct Slow(
        mpsc::Sender<()>,
        Mutex<mpsc::Receiver<()>>,
        Arc<AtomicUsize>,
    );
    struct Pass<'a>(&'a Slow, u64);
    impl Records for Pass<'_> {
        fn show(&mut self, _: &mut Cx<'_>, seq: &mut Seq) -> Result<()> {
            if self.1 == 0 {
                self.0.0.send(()).unwrap();
                self.0.1.lock().unwrap().recv().unwrap();
            }
            writeln!(seq, "{}", self.1);
            Ok(())
        }
        fn next(&mut self, _: &mut Cx<'_>) -> Result<Option<u64>> {
            self.1 += 1;
            Ok(Some(self.1).filter(|n| *n < 100))
        }
    }
    impl Drop for Pass<'_> {
        fn drop(&mut self) {
            self.0.2.fetch_add(1, SeqCst);
        }
    }
    impl Ops for Slow {
        const HAS: Has = Has::SEQ;
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> Result<()> {
            Ok(())
        }
        fn start<'a>(
            &'a self,
            _: &mut Cx<'_>,
            (): &'a (),
            position: u64,
        ) -> Result<Option<Start<'a>>> {
            Ok((position < 100)
                .then(|| (position, Box::new(Pass(self, position)) as Box<dyn Records>)))
        }
    }
    let root = Root::new();
    let (entered, is_entered) = mpsc::channel();
    let (let_go, go) = mpsc::channel();
    let stops = Arc::new(AtomicUsize::new(0));
    let slow = Slow(entered, Mutex::new(go), Arc::clone(&stops));
    let file = root.create_file("slow", 0o444, 0, slow).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    thread::scope(|s| {
        let let_go = let_go; // dropped if this fails: then the callback ends
        let mut buffer = [0; 4096];
        let reader = s.spawn(move || {
            let n = open.read_at(&mut buffer, 0).unwrap();
            let end = open.read_at(&mut buffer, n as u64);
            (n, errno(end))
        });
        is_entered.recv().unwrap();
        let remover = s.spawn(|| {
            file.remove().unwrap();
            stops.load(SeqCst)
        });
        while file.is_active() {
            thread::yield_now();
        }
        let_go.send(()).unwrap();
        assert_eq!(remover.join().unwrap(), 1, "returned before the stop");
        let (n, end) = reader.join().unwrap();
        assert_eq!((n, end), (290, Errno::ENODEV), "all records, then the end");
    });
}
