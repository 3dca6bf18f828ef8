//! The models of kernfs: active references and the drain, removing oneself, the end of an open file, the bell of an
//! open node, the queue of notified files.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use loom::sync::Mutex;
use loom::thread;

use crate::active::ActiveWord;
use crate::atomic::{AtomicU32, Ordering};
use crate::bell::{self, Bell};
use crate::life::{Claim, Life};
use crate::lists::Watched;
use crate::park::Event;
use crate::pending::{Pending, Ticket};
use crate::state::{REMOVED_ITSELF, REMOVES_ITSELF, State, UNLINKED};
use crate::stubs::{Memb, RcuArc};

/// Prints: what is printed before threads start belongs to none of them.
fn touch(what: &impl std::fmt::Debug) {
    let _ = format!("{what:?}");
}

fn active() -> Arc<ActiveWord> {
    let word = Arc::new(ActiveWord::new());
    word.activate();
    touch(&*word);
    word
}

/// Operations beside a removal: what one does is over when the drain returns, and none begins later (I1, I2).
pub(crate) fn drained(operations: usize) {
    let word = active();
    let touched: Vec<_> = (0..operations).map(|_| Arc::new(Watched::new())).collect();
    let operations: Vec<_> = touched
        .iter()
        .map(|touched| {
            let (word, touched) = (Arc::clone(&word), Arc::clone(touched));
            thread::spawn(move || {
                if let Some(_active) = word.get() {
                    touched.set(1);
                }
            })
        })
        .collect();
    word.deactivate();
    word.drain(Duration::MAX, |_| {});
    touched.iter().for_each(|touched| touched.set(2));
    assert!(word.get().is_none() && word.is_drained());
    for operation in operations {
        operation.join().expect("an operation");
    }
    // Who came too late has done nothing.
    assert!(touched.iter().all(|touched| touched.get() == 2));
}

/// One operation of two ends while the drain falls asleep: it does not return before the other.
pub(crate) fn one_of_two_ends() {
    let word = active();
    let touched = Arc::new(Watched::new());
    let events = Arc::new([Event::new(), Event::new()]);
    touch(&*events);
    let operations = {
        let (word, touched, events) = (Arc::clone(&word), Arc::clone(&touched), Arc::clone(&events));
        thread::spawn(move || {
            let [inside, closed] = &*events;
            let (first, second) = (word.get(), word.get());
            assert!(first.is_some() && second.is_some());
            inside.signal();
            closed.wait_while(0, None);
            drop(first);
            touched.set(1);
            drop(second);
        })
    };
    let [inside, closed] = &*events;
    inside.wait_while(0, None);
    word.deactivate();
    closed.signal();
    word.drain(Duration::MAX, |_| {});
    touched.set(2);
    operations.join().expect("the operations");
}

/// S4: an operation gives its reference up and takes it back, beside a removal or a hiding that is undone. The drain
/// waits for what was done before, each reference is put once, and the word is balanced in the end (I3, I10).
pub(crate) fn given_up(hidden_and_shown: bool) {
    let word = active();
    let touched = Arc::new(Watched::new());
    let operation = {
        let (word, touched) = (Arc::clone(&word), Arc::clone(&touched));
        thread::spawn(move || {
            let Some(active) = word.get() else { return };
            let another = word.get();
            touched.set(1);
            assert!(active.give_up());
            // This one is forgotten; its end knows.
            assert!(another.is_none_or(|another| another.give_up()));
            active.take_back();
        })
    };
    word.deactivate();
    word.drain(Duration::MAX, |_| {});
    touched.set(2);
    if hidden_and_shown {
        // Taken back by now or not, what is not drained any more may be shown.
        word.activate();
        let another = word.get();
        assert!(another.is_some());
        drop(another);
        word.deactivate();
        word.drain(Duration::MAX, |_| {});
    }
    operation.join().expect("an operation");
    assert!(word.is_drained());
}

/// S3, R8: two callbacks remove their own node. One wins; the other returns after the winner's whole operation.
pub(crate) fn removes_itself() {
    struct Node {
        active: ActiveWord,
        state: State,
        tree: Mutex<()>,
        /// How many are inside.
        inside: Event,
        done: Watched,
    }
    // SAFETY: `Watched` is checked by loom, the rest is shared as its owner shares it.
    unsafe impl Sync for Node {}
    let node = Arc::new(Node {
        active: ActiveWord::new(),
        state: State::new(0),
        tree: Mutex::new(()),
        inside: Event::new(),
        done: Watched::new(),
    });
    node.active.activate();
    touch(&node.active);
    touch(&node.state);
    touch(&node.inside);
    // As in `self_removal.rs`.
    let callback = |node: &Node| {
        let active = node.active.get().expect("nobody has removed it");
        node.inside.signal();
        while node.inside.value() < 2 {
            node.inside.wait_while(1, None);
        }
        active.give_up();
        let first = {
            let _locked = node.tree.lock().expect("models do not poison");
            let first = !node.state.set(REMOVES_ITSELF);
            if first {
                node.active.deactivate();
            }
            first
        };
        if first {
            node.active.drain(Duration::MAX, |_| {});
            node.state.set(UNLINKED);
            active.take_back();
            node.state.announce(REMOVED_ITSELF);
            node.done.set(1); // still inside
        } else {
            node.state.wait_for(REMOVED_ITSELF);
            node.active.drain(Duration::MAX, |_| {});
            assert_eq!(node.done.get(), 1, "the winner is inside still");
            active.take_back();
        }
        first
    };
    let other = {
        let node = Arc::clone(&node);
        thread::spawn(move || callback(&node))
    };
    let mine = callback(&node);
    let other = other.join().expect("a callback");
    assert_ne!(mine, other, "one wins");
    assert!(node.active.is_drained());
}

/// A close and a drain end one file: `release` runs once, and both return after it (I8).
pub(crate) fn ended_once() {
    let (life, opened, released) = (Life::new(), Watched::new(), Watched::new());
    touch(&life);
    let file = Arc::new((life, opened, released));
    let end = |(life, opened, released): &(Life, Watched, Watched)| {
        match life.claim() {
            Claim::Ours => {
                // What `open` returned is seen.
                assert_eq!(opened.get(), 1);
                released.set(released.get() + 1);
                life.end();
            }
            Claim::Theirs => life.wait(Duration::MAX, |_| {}),
            Claim::Nothing => return,
        }
        assert_eq!((released.get(), life.is_over()), (1, true));
    };
    let drains: Vec<_> = (0..2)
        .map(|_| {
            let file = Arc::clone(&file);
            thread::spawn(move || end(&file))
        })
        .collect();
    file.1.set(1);
    file.0.begin();
    end(&file);
    for drain in drains {
        drain.join().expect("a drain");
    }
}

/// Somebody waits for a change of a file that was notified, with or without a bed from an earlier sleeper.
pub(crate) fn rung(slept_before: bool) {
    let bell = Arc::new(Bell::new());
    touch(&*bell);
    if slept_before {
        touch(&*bell.bed());
    }
    let changed = Arc::new(Watched::new());
    let sleeper = {
        let (bell, changed) = (Arc::clone(&bell), Arc::clone(&changed));
        thread::spawn(move || {
            let bed = bell.bed();
            loop {
                let since = bed.value();
                if bell.event() != 1 {
                    break;
                }
                bed.wait_while(since, None);
            }
            changed.get()
        })
    };
    changed.set(7);
    bell.ring(&Memb::read_lock());
    assert_eq!(sleeper.join().expect("the sleeper"), 7);
}

/// A file is opened and read for the first time beside a notification: what is read is new, or the event is counted.
pub(crate) fn opened() {
    let (place, value) = (Arc::new(RcuArc::null()), Arc::new(AtomicU32::new(0)));
    touch(&*place);
    touch(&*value);
    let bell = Arc::new(Bell::new());
    touch(&*bell);
    let notifier = {
        let (place, value) = (Arc::clone(&place), Arc::clone(&value));
        thread::spawn(move || {
            value.store(1, Ordering::Relaxed);
            let guard = Memb::read_lock();
            bell::ring_found(&guard, || place.dereference(&guard));
        })
    };
    bell::hang(|| place.assign(Arc::clone(&bell)));
    // Without a look at the event, which loom takes for a fence.
    let read = value.load(Ordering::Relaxed);
    notifier.join().expect("the notifier");
    assert!(read == 1 || bell.event() == 2, "neither new nor told");
}

/// One file is notified twice beside the worker: the last change is delivered, whatever was merged (S6, R7).
pub(crate) fn last_change() {
    let pending = Arc::new(Pending::new());
    touch(&*pending);
    pending.listen();
    // Used once, so that its first values belong to nobody.
    let ticket: Ticket = Arc::new(crate::llist::Linked::new(3));
    pending.push(&ticket);
    pending.pass(|_| (), || true);
    let value = Arc::new(AtomicU32::new(0));
    touch(&*value);
    let relaxed = Ordering::Relaxed;
    let notifier = {
        let (pending, ticket, value) = (Arc::clone(&pending), Arc::clone(&ticket), Arc::clone(&value));
        thread::spawn(move || {
            for change in [1, 2] {
                value.store(change, relaxed);
                pending.push(&ticket);
            }
        })
    };
    let (mut told, mut deliveries) = (0, 0);
    while told != 2 {
        let last = Cell::new(0);
        pending.pass(
            |file| {
                assert_eq!(file, 3);
                last.set(value.load(relaxed));
                deliveries += 1;
            },
            || last.get() == 2,
        );
        told = told.max(last.get());
    }
    assert!(deliveries <= 2);
    notifier.join().expect("the notifier");
}

/// Two files from two threads: the list ends, and each is delivered.
pub(crate) fn two_files() {
    let pending = Arc::new(Pending::new());
    touch(&*pending);
    pending.listen();
    let tickets: Vec<Ticket> = [1, 2].map(|id| Arc::new(crate::llist::Linked::new(id))).into();
    tickets.iter().for_each(|ticket| pending.push(ticket));
    pending.pass(|_| (), || true);
    let notifier = {
        let (pending, tickets) = (Arc::clone(&pending), tickets.clone());
        // The second one again: it may be queued anew while the worker is at it.
        thread::spawn(move || [0, 1, 1].map(|n: usize| pending.push(&tickets[n])))
    };
    let mut told = [0; 2];
    let mut passes = 0;
    while told.contains(&0) {
        // A change in the middle of a delivery: the file is queued again, once.
        let mut again = passes == 0;
        let all = Cell::new(0);
        pending.pass(
            |file| {
                told[file as usize - 1] += 1;
                all.set(all.get() + 1);
                assert!(all.get() <= 2, "the list does not end");
                if std::mem::take(&mut again) {
                    pending.push(&tickets[file as usize - 1]);
                }
            },
            || all.get() > 0,
        );
        passes += 1;
    }
    notifier.join().expect("the notifier");
}

/// A listener comes beside a notification: it is told, or reads what is new (the fences of `push` and `listen`).
pub(crate) fn a_listener_comes() {
    let pending = Arc::new(Pending::new());
    touch(&*pending);
    let ticket: Ticket = Arc::new(crate::llist::Linked::new(1));
    pending.listen();
    pending.push(&ticket);
    pending.pass(|_| (), || true);
    pending.forsake();
    let value = Arc::new(AtomicU32::new(0));
    touch(&*value);
    let relaxed = Ordering::Relaxed;
    let notifier = {
        let (pending, value) = (Arc::clone(&pending), Arc::clone(&value));
        thread::spawn(move || {
            value.store(1, relaxed);
            pending.push(&ticket);
        })
    };
    pending.listen();
    let read = value.load(relaxed);
    notifier.join().expect("the notifier");
    let mut told = 0;
    pending.pass(|_| told += 1, || true);
    assert!(read == 1 || told == 1, "neither told nor new");
}
