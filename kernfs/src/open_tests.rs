//! Tests of the open node that stays: of each hashed mutex, that of the file which was closed last.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use urcu::Memb;

use crate::attr::ro;
use crate::flags::{OpenFlags, PollFlags};
use crate::inner::FileBody;
use crate::locks::testing::alone;
use crate::node::{Dir, File};
use crate::open::OpenFile;
use crate::root::Root;
use crate::step::at_steps;

fn file(dir: &Dir, name: &str) -> File {
    dir.attr(name, ro(|| 1)).unwrap()
}

fn body(file: &File) -> &FileBody {
    file.0.0.file().unwrap()
}

fn opened(file: &File) -> OpenFile {
    file.open(OpenFlags::READ).unwrap()
}

/// Another file of the same mutex.
fn neighbour(dir: &Dir, of: &File) -> File {
    let alike = |file: &File| body(file).slot.is(body(of).slot);
    (0..)
        .map(|n| file(dir, &format!("n{n}")))
        .find(alike)
        .unwrap()
}

fn counts(file: &File) -> usize {
    Arc::strong_count(&file.0.0)
}

// The open node of the file that was closed last stays, with a count of the node; one of each mutex.
#[test]
fn who_opens_a_file_again_finds_its_open_node() {
    let _alone = alone();
    let root = Root::new();
    let one = file(&root, "one");
    let other = neighbour(&root, &one);
    let closed = counts(&one);
    let address = |file: &File| {
        let guard = Memb::read_lock();
        body(file).open.dereference(&guard).map(core::ptr::from_ref)
    };
    let open = opened(&one);
    let first = address(&one);
    assert!(first.is_some() && counts(&one) == closed + 1);
    drop(open);
    assert_eq!((address(&one), counts(&one)), (first, closed + 1));
    let (open, second) = (opened(&one), opened(&one));
    assert_eq!((address(&one), counts(&one)), (first, closed + 2));
    drop(open);
    assert_eq!(counts(&one), closed + 1);
    drop(second);
    assert_eq!((address(&one), counts(&one)), (first, closed + 1));
    drop(opened(&other));
    assert_eq!((address(&one), counts(&one)), (None, closed));
    assert!(address(&other).is_some());
}

// What stays does not outlast removal or hiding, nor does a close leave it behind after that.
#[test]
fn nothing_of_a_removed_file_is_kept_by_its_mutex() {
    let _alone = alone();
    let root = Root::new();
    for close_first in [true, false] {
        for hide in [true, false] {
            let file = file(&root, "file");
            let closed = counts(&file);
            let mut open = Some(opened(&file));
            if close_first {
                open = None;
            }
            if hide {
                file.hide().unwrap();
                drop(open.take());
                assert_eq!((body(&file).open.is_null(), counts(&file)), (true, closed));
                file.show().unwrap();
                drop(opened(&file));
                assert!(!body(&file).open.is_null());
            }
            file.remove().unwrap();
            drop(open);
            assert!(body(&file).open.is_null());
            Memb::barrier();
            assert_eq!(counts(&file), 1);
        }
    }
}

// The same where the close meets the removal.
#[test]
fn a_close_beside_the_removal_keeps_nothing() {
    let _alone = alone();
    let root = Root::new();
    for _ in 0..300 {
        let file = file(&root, "file");
        let open = opened(&file);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(open));
            file.remove().unwrap();
        });
        assert!(body(&file).open.is_null());
    }
    Memb::barrier();
    assert_eq!(root.stats().nodes, 1);
}

// A close that meets the whole removal or hiding just before it takes the mutex.
#[test]
fn what_is_closed_while_its_node_is_hidden_keeps_nothing() {
    let _alone = alone();
    let root = Root::new();
    let file = file(&root, "file");
    let closed = counts(&file);
    let open = opened(&file);
    let mut hides = Some(File::clone(&file));
    let meanwhile = move |step: &str| {
        if step == "to be taken off"
            && let Some(file) = hides.take()
        {
            file.hide().unwrap();
        }
    };
    at_steps(meanwhile, || drop(open));
    assert!(!file.is_active());
    assert_eq!((body(&file).open.is_null(), counts(&file)), (true, closed));
}

#[test]
fn a_file_whose_open_node_stays_is_not_open() {
    let _alone = alone();
    let root = Root::new();
    let file = file(&root, "file");
    let is_open = || {
        (
            body(&file).is_open(),
            format!("{:?}", body(&file)).contains("open: true"),
        )
    };
    assert_eq!(is_open(), (false, false));
    let open = opened(&file);
    assert_eq!(is_open(), (true, true));
    drop(open);
    assert!(!body(&file).open.is_null());
    assert_eq!(is_open(), (false, false));
}

// The open node comes and goes with each round. Who notifies finds it, or what is read is new.
#[test]
fn what_is_opened_beside_a_notification_reads_the_new_or_has_changed() {
    let _alone = alone();
    const ROUNDS: u32 = 1000;
    let root = Root::new();
    let value = Arc::new(AtomicU32::new(0));
    let shown = Arc::clone(&value);
    let one = root.attr("one", ro(move || shown.load(Relaxed))).unwrap();
    let other = neighbour(&root, &one);
    let (begun, done) = (AtomicU32::new(0), AtomicU32::new(0));
    let wait = |word: &AtomicU32, round| {
        while word.load(Acquire) != round {
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                wait(&begun, round);
                value.store(round, Relaxed);
                one.notify();
                done.store(round, Release);
            }
        });
        let mut wrong = 0;
        for round in 1..=ROUNDS {
            drop(opened(&other));
            wrong += u32::from(!body(&one).open.is_null());
            begun.store(round, Release);
            let open = opened(&one);
            let mut text = [0; 16];
            let n = open.read_at(&mut text, 0).unwrap();
            let is_new = text[..n] == *format!("{round}\n").as_bytes();
            wait(&done, round);
            wrong += u32::from(!is_new && !open.poll().contains(PollFlags::ERR));
        }
        assert_eq!(wrong, 0);
    });
}
