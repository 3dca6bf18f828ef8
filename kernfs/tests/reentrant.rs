//! What callbacks, listeners and drops of the user's do to the tree that calls them.

mod common;

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;

use common::errno;
use kernfs::{
    ChangeFd, Cx, Errno, File, GroupHandle, Has, Node, Object, OpenFlags, Ops, Records, Result,
    Root, Seq, Start, Uevents, Watch, Watching, ro, wo,
};

/// A listener that has something.
struct Holder<T>(T);

impl<T: Send + Sync + 'static> Watch for Holder<T> {
    fn added(&self, _: u64, _: &[u8]) {}
    fn removed(&self, _: u64, _: &[u8], _: u64) {}
    fn notified(&self, _: u64) {}
}

#[test]
fn a_listener_was_dropped_with_the_registrys_lock_held() {
    let root = Root::new();
    let open = root
        .attr("a", ro(|| 1))
        .unwrap()
        .open(OpenFlags::READ)
        .unwrap();
    let fd: ChangeFd = open.change_fd().unwrap();
    let watching = root.watch(Arc::new(Holder(fd))).unwrap();
    drop(watching);
    let other = Root::new();
    let object = Object::new(&other, "of_the_listener").unwrap();
    drop(other.watch(Arc::new(Holder(object))).unwrap());
    assert!(other.find("of_the_listener").is_none());
}

/// On the worker: ends its own registration, then begins and ends another one.
struct Again {
    root: Root,
    own: Mutex<Option<Watching>>,
    done: mpsc::Sender<()>,
}

impl Watch for Again {
    fn added(&self, _: u64, _: &[u8]) {}
    fn removed(&self, _: u64, _: &[u8], _: u64) {}
    fn notified(&self, _: u64) {
        if let Some(own) = self.own.lock().unwrap().take() {
            drop(own);
            drop(self.root.watch(Arc::new(Holder(()))).unwrap());
            let _ = self.done.send(());
        }
    }
}

#[test]
fn a_listener_that_listened_anew_waited_for_a_worker_that_waited_for_it() {
    let root = Root::new();
    let file = root.attr("a", ro(|| 1)).unwrap();
    let (done, told) = mpsc::channel();
    let again = Arc::new(Again {
        root: root.clone(),
        own: Mutex::new(None),
        done,
    });
    // The lock keeps the worker out until its registration is there.
    let mut own = again.own.lock().unwrap();
    *own = Some(root.watch(Arc::<Again>::clone(&again)).unwrap());
    file.notify();
    drop(own);
    told.recv().unwrap();
}

struct Panics;

impl Watch for Panics {
    fn added(&self, _: u64, name: &[u8]) {
        panic!("added {}", name.escape_ascii());
    }
    fn removed(&self, _: u64, name: &[u8], _: u64) {
        panic!("removed {}", name.escape_ascii());
    }
    fn notified(&self, _: u64) {}
}

#[test]
fn a_listener_that_panicked_unwound_who_changed_the_tree() {
    let root = Root::new();
    let _watching = root.watch(Arc::new(Panics)).unwrap();
    let dir = root.create_dir("a", 0o755).unwrap();
    dir.rename(&root, "b").unwrap();
    let file = dir.attr("c", ro(|| 1)).unwrap();
    file.hide().unwrap();
    file.show().unwrap();
    dir.remove().unwrap();
    assert!(root.find("b").is_none());
}

#[test]
fn a_groups_lock_was_held_while_its_callbacks_were_waited_for() {
    static GROUP: OnceLock<GroupHandle> = OnceLock::new();
    static ENTERED: AtomicBool = AtomicBool::new(false);
    let root = Root::new();
    let looked = Arc::new(AtomicUsize::new(0));
    let (count, weak) = (Arc::clone(&looked), root.dir());
    let show = move || {
        if let Some(group) = GROUP.get() {
            ENTERED.store(true, SeqCst);
            // Until the update waits for this.
            while weak.walk("g/a").is_some_and(|node| node.is_active()) {
                thread::yield_now();
            }
            count.fetch_add(usize::from(group.dir().is_none()), SeqCst);
        }
        7
    };
    let group = kernfs::Group::named("g").attr("a", ro(show));
    let group = GROUP.get_or_init(|| root.create_group(group).unwrap());
    let file = root.walk("g/a").and_then(|node| node.as_file()).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    thread::scope(|s| {
        let reader = s.spawn(|| open.read_at(&mut [0; 8], 0));
        while !ENTERED.load(SeqCst) {
            thread::yield_now();
        }
        group.update().unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 2);
    });
    assert_eq!(looked.load(SeqCst), 1, "there is no directory meanwhile");
    assert!(group.dir().is_some());
}

#[test]
fn a_group_lost_its_other_attributes_to_an_update_that_was_refused() {
    static GROUP: OnceLock<GroupHandle> = OnceLock::new();
    let root = Root::new();
    let update = |_: String| GROUP.get().map_or(Ok(()), GroupHandle::update);
    let group = kernfs::Group::new()
        .attr("update", wo(update))
        .attr("other", ro(|| 1));
    GROUP.get_or_init(|| root.create_group(group).unwrap());
    let other = root.find("other").unwrap();
    let open = root.find("update").and_then(|node| node.as_file()).unwrap();
    let open = open.open(OpenFlags::WRITE).unwrap();
    assert_eq!(errno(open.write_at(b"1", 0)), Errno::EDEADLK);
    assert!(other.is_active());
}

#[test]
fn a_group_whose_visible_panicked_left_its_attributes_behind() {
    let root = Root::new();
    let panics = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&panics);
    let group = || {
        let panics = Arc::clone(&flag);
        kernfs::Group::new()
            .attr("a", ro(|| 1))
            .attr("b", ro(|| 2))
            .visible(move |name, mode| {
                assert!(name == "a" || !panics.load(SeqCst), "as wanted by the test");
                mode
            })
    };
    let made = catch_unwind(AssertUnwindSafe(|| root.create_group(group())));
    assert!(made.is_err() && root.find("a").is_none());
    panics.store(false, SeqCst);
    let handle = root.create_group(group()).unwrap();
    panics.store(true, SeqCst);
    assert!(catch_unwind(AssertUnwindSafe(|| handle.update())).is_err());
    assert!(root.find("a").is_none());
    panics.store(false, SeqCst);
    handle.update().unwrap();
    assert!(root.find("a").is_some() && root.find("b").is_some());
}

/// Asks how long a write may be, and removes its own file there.
struct Asked(OnceLock<File>);

impl Ops for Asked {
    const HAS: Has = Has::WRITE;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn atomic_write_len(&self) -> usize {
        let removed = self.0.get().map(|file| file.remove());
        usize::from(removed.is_some_and(|removed| errno(removed) == Errno::EDEADLK)) * 7
    }
}

#[test]
fn a_removal_inside_atomic_write_len_waited_for_itself() {
    let root = Root::new();
    let ops = Arc::new(Asked(OnceLock::new()));
    let file = root.create_file("f", 0o200, 0, Arc::clone(&ops)).unwrap();
    ops.0.set(file.clone()).unwrap();
    let open = file.open(OpenFlags::WRITE).unwrap();
    assert_eq!(errno(open.write_at(b"12345678", 0)), Errno::E2BIG);
}

/// Forgets that it has given its protection up, in one record, and gives it up again in the next.
struct Forgetful(Node);

struct Forgets<'a>(&'a Node, u64);

impl Records for Forgets<'_> {
    fn show(&mut self, cx: &mut Cx<'_>, seq: &mut Seq) -> Result<()> {
        core::mem::forget(cx.break_protection());
        if self.1 == 1 {
            self.0.remove()?;
            writeln!(seq, "removed");
        } else {
            seq.skip();
        }
        Ok(())
    }
    fn next(&mut self, _: &mut Cx<'_>) -> Result<Option<u64>> {
        self.1 += 1;
        Ok((self.1 < 2).then_some(self.1))
    }
}

impl Ops for Forgetful {
    const HAS: Has = Has::SEQ;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn start<'a>(&'a self, _: &mut Cx<'_>, (): &'a (), from: u64) -> Result<Option<Start<'a>>> {
        Ok((from == 0).then(|| (0, Box::new(Forgets(&self.0, 0)) as Box<dyn Records>)))
    }
}

#[test]
fn protection_that_was_given_up_twice_in_a_pass_counted_as_held() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o755).unwrap();
    let file = dir.create_file("f", 0o444, 0, Forgetful(dir.clone().into()));
    let open = file.unwrap().open(OpenFlags::READ).unwrap();
    let mut text = [0; 16];
    assert_eq!(open.read_at(&mut text, 0).unwrap(), 8);
    assert!(!dir.is_active());
}

#[test]
fn the_last_root_dropped_in_a_callback_left_the_tree_alive() {
    let root = Root::new();
    let dir = root.dir();
    let last = Arc::new(Mutex::new(None));
    let own = Arc::clone(&last);
    let file = root.attr("end", wo(move |_: String| drop(own.lock().unwrap().take())));
    let open = file.unwrap().open(OpenFlags::WRITE).unwrap();
    *last.lock().unwrap() = Some(root);
    open.write_at(b"1", 0).unwrap();
    while dir.is_active() || dir.find("end").is_some() {
        thread::yield_now();
    }
}

/// Removes its own file in the middle of the records.
struct Ends(Arc<AtomicUsize>);

struct Pass<'a>(&'a AtomicUsize, bool);

impl Records for Pass<'_> {
    fn show(&mut self, cx: &mut Cx<'_>, seq: &mut Seq) -> Result<()> {
        self.0.fetch_add(usize::from(self.1), SeqCst);
        writeln!(seq, "record");
        self.1 = cx.remove_self()?;
        Ok(())
    }
    fn next(&mut self, _: &mut Cx<'_>) -> Result<Option<u64>> {
        self.0.fetch_add(usize::from(self.1), SeqCst);
        Ok(Some(1))
    }
}

impl Ops for Ends {
    const HAS: Has = Has::SEQ;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn start<'a>(&'a self, _: &mut Cx<'_>, (): &'a (), from: u64) -> Result<Option<Start<'a>>> {
        Ok((from == 0).then(|| (0, Box::new(Pass(&self.0, false)) as Box<dyn Records>)))
    }
}

/// I1, R3: a pass over records had callbacks that began after the removal.
#[test]
fn records_were_shown_after_the_file_had_removed_itself() {
    let root = Root::new();
    let after = Arc::new(AtomicUsize::new(0));
    let file = root.create_file("f", 0o444, 0, Ends(Arc::clone(&after)));
    let mut open = file.unwrap().open(OpenFlags::READ).unwrap();
    let mut text = String::new();
    let end = open.read_to_string(&mut text).unwrap_err();
    assert_eq!(kernfs::Error::from(end).errno(), Errno::ENODEV);
    assert_eq!((text.as_str(), after.load(SeqCst)), ("record\n", 0));
}

#[test]
fn a_node_that_was_renamed_away_was_removed_by_its_old_name() {
    let root = Root::new();
    let other = root.create_dir("other", 0o755).unwrap();
    for _ in 0..common::rounds(40) {
        let node = root.create_dir("tmp", 0o755).unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                while root.remove_by_name("tmp").is_err() {
                    thread::yield_now();
                }
            });
            // Not until it is removed: the remover may never come while it is "tmp".
            for _ in 0..30 {
                if node.rename(&other, "final").is_err() {
                    break;
                }
                thread::yield_now();
                // Nobody removes what is called "final".
                node.rename(&root, "tmp").unwrap();
            }
        });
        assert!(!node.is_active());
    }
}

#[test]
fn an_event_has_no_variables_of_its_subsystem() {
    let uevents = Uevents::new();
    let error = uevents.send(kernfs::Action::Add, "/a", "net\0SEQNUM=0", &[]);
    assert_eq!(errno(error), Errno::EINVAL);
    let error = uevents.send(kernfs::Action::Add, "/a\0SEQNUM=0", "net", &[]);
    assert_eq!(errno(error), Errno::EINVAL);
    // A name was changed on its way.
    let subscriber = uevents.subscribe().unwrap();
    uevents
        .send(kernfs::Action::Add, "/it's", "net", &[])
        .unwrap();
    assert_eq!(subscriber.recv().unwrap().get("DEVPATH"), Some("/it's"));
}

/// The directory that a forked child must not touch.
#[test]
fn a_forked_child_hung_at_the_end_of_its_parents_tree() {
    let root = Root::new();
    let dir = root.create_dir("dir", 0o755).unwrap();
    let (inside, go) = (mpsc::channel(), mpsc::channel::<()>());
    let (entered, wait) = (inside.0, Mutex::new(go.1));
    let file = root.attr(
        "slow",
        wo(move |_: String| {
            let _ = entered.send(());
            let _ = wait.lock().map(|wait| wait.recv());
        }),
    );
    let open = file.unwrap().open(OpenFlags::WRITE).unwrap();
    thread::scope(|s| {
        s.spawn(|| open.write_at(b"1", 0).unwrap());
        inside.1.recv().unwrap();
        // SAFETY: the child uses malloc, which glibc repairs at fork, and this tree.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: takes an integer. A child that hangs is ended.
            unsafe { libc::alarm(60) };
            let refused = dir
                .remove()
                .is_err_and(|error| error.errno() == Errno::ENOTCONN);
            // The callback runs on a thread that the child has not.
            drop(root);
            // SAFETY: ends the child without running what belongs to the parent.
            unsafe { libc::_exit(i32::from(!refused)) };
        }
        go.0.send(()).unwrap();
        let mut status = 0;
        // SAFETY: waits for our own child.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
    });
}
