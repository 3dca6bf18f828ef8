//! Tests of passes over many records whose callbacks give their protection up.

use std::mem;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use crate::cx::Cx;
use crate::error::Result;
use crate::flags::{Has, OpenFlags};
use crate::node::{File, Node};
use crate::ops::Ops;
use crate::records::{Records, Start};
use crate::root::Root;
use crate::seq::Seq;

/// Records without an end. The first gives its protection up until the node is deactivated.
struct GivesUp {
    node: OnceLock<Node>,
    given_up: Mutex<Sender<()>>,
    forgets: bool,
    went_on: AtomicU32,
}

impl Ops for Arc<GivesUp> {
    const HAS: Has = Has::SEQ;
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn start<'a>(&'a self, _: &mut Cx<'_>, _: &'a (), _: u64) -> Result<Option<Start<'a>>> {
        Ok(Some((0, Box::new(Arc::clone(self)))))
    }
}

impl Records for Arc<GivesUp> {
    fn show(&mut self, cx: &mut Cx<'_>, seq: &mut Seq) -> Result<()> {
        let unprotected = cx.break_protection();
        self.given_up.lock().unwrap().send(()).unwrap();
        while self.node.get().unwrap().is_active() {
            thread::yield_now();
        }
        match self.forgets {
            true => mem::forget(unprotected),
            false => drop(unprotected),
        }
        seq.put(b"shown\n");
        Ok(())
    }

    fn next(&mut self, _: &mut Cx<'_>) -> Result<Option<u64>> {
        self.went_on.fetch_add(1, Relaxed);
        Ok(None)
    }
}

fn remove_beside(forgets: bool) {
    let root = Root::new();
    let (given_up, told) = channel();
    let ops = Arc::new(GivesUp {
        node: OnceLock::new(),
        given_up: Mutex::new(given_up),
        forgets,
        went_on: AtomicU32::new(0),
    });
    let file: File = root
        .create_file("file", 0o444, 0, Arc::clone(&ops))
        .unwrap();
    ops.node.set(Node::clone(&file)).unwrap();
    let open = file.open(OpenFlags::READ).unwrap();
    thread::scope(|scope| {
        // The drain of the reference is over, that of the open files has not begun.
        let halted = file.0.0.file().unwrap().slot.lock();
        let reader = scope.spawn(|| open.read_at(&mut [0; 64], 0));
        told.recv().unwrap();
        let remover = scope.spawn(|| file.remove().unwrap());
        let _ = reader.join().unwrap();
        assert_eq!(ops.went_on.load(Relaxed), 0);
        drop(halted);
        remover.join().unwrap();
    });
}

#[test]
fn a_pass_went_on_beside_the_release_after_its_protection_was_taken_back() {
    remove_beside(false);
}

#[test]
fn a_pass_went_on_when_it_had_forgotten_to_take_its_protection_back() {
    remove_beside(true);
}
