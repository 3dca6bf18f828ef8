//! Poll and its wake-ups.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::thread;

use kernfs::fuse::{Mount, Options};
use kernfs::{Cx, Has, OpenFlags, Ops, PollFlags, Result, Root, Seq};

use crate::support::{poll, poll_now, text, with_dir, with_mount};

const QUIET: i16 = 0;
const CHANGED: i16 = libc::POLLPRI | libc::POLLERR;

fn reread(file: &File) -> String {
    let mut text = [0; 64];
    let len = file.read_at(&mut text, 0).expect("readable");
    String::from_utf8_lossy(&text[..len]).into_owned()
}

#[test]
fn a_fresh_file_is_changed_and_a_read_one_is_not() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let mut file = File::open(setup.at("speed")).expect("open");
            assert_eq!(poll_now(&file, libc::POLLPRI), CHANGED);
            let mut line = String::new();
            file.read_to_string(&mut line).expect("readable");
            assert_eq!(poll_now(&file, libc::POLLPRI), QUIET);
            // Text can always be read.
            assert_eq!(poll_now(&file, libc::POLLIN), libc::POLLIN);
        },
    );
}

#[test]
fn notify_wakes_every_sleeper_once() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let file = setup
                .root
                .find("speed")
                .and_then(|node| node.as_file())
                .expect("there");
            let clients = [(); 2].map(|()| File::open(setup.at("speed")).expect("open"));
            for round in 0..50 {
                for client in &clients {
                    reread(client);
                    assert_eq!(poll_now(client, libc::POLLPRI), QUIET);
                }
                thread::scope(|scope| {
                    // They sleep, or are about to: no wake-up may be lost either way.
                    let sleepers = [&clients[0], &clients[1]]
                        .map(|client| scope.spawn(|| poll(client, libc::POLLPRI)));
                    if round % 2 == 0 {
                        thread::yield_now();
                    }
                    file.notify();
                    for sleeper in sleepers {
                        assert_eq!(sleeper.join().expect("no panic"), CHANGED);
                    }
                });
            }
        },
    );
}

#[test]
fn a_write_of_one_client_wakes_another() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let file = File::open(setup.at("speed")).expect("open");
            assert_eq!(reread(&file), "30\n");
            thread::scope(|scope| {
                let sleeper = scope.spawn(|| poll(&file, libc::POLLPRI));
                std::fs::write(setup.at("speed"), "31\n").expect("writable");
                assert_eq!(sleeper.join().expect("no panic"), CHANGED);
            });
            assert_eq!(reread(&file), "31\n");
        },
    );
}

#[test]
fn a_removed_file_is_ready_for_whoever_looks() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let file = File::open(setup.at("speed")).expect("open");
            reread(&file);
            assert_eq!(poll_now(&file, libc::POLLPRI), QUIET);
            setup.root.remove_by_name("speed").expect("there");
            assert_eq!(poll_now(&file, libc::POLLPRI), CHANGED);
        },
    );
}

/// Shows nothing, and counts who looks whether it changed.
struct Looks(Arc<AtomicU32>);

impl Ops for Looks {
    const HAS: Has = Has::SHOW.with(Has::POLL);
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), _: &mut Seq) -> Result<()> {
        Ok(())
    }

    fn poll(&self, _: &mut Cx<'_>, (): &(), generic: PollFlags) -> PollFlags {
        self.0.fetch_add(1, Relaxed);
        generic
    }
}

#[test]
fn notify_after_the_removal_wakes_who_sleeps() {
    with_mount(
        |_| {},
        |setup| {
            for _ in 0..20 {
                let looks = Arc::new(AtomicU32::new(0));
                let file = setup
                    .root
                    .create_file("speed", 0o444, 0, Looks(Arc::clone(&looks)))
                    .expect("new");
                let client = File::open(setup.at("speed")).expect("open");
                assert_eq!(reread(&client), "");
                thread::scope(|scope| {
                    let sleeper = scope.spawn(|| poll(&client, libc::POLLPRI));
                    // Once it was asked for, the client is on the kernel's list of those to wake.
                    while looks.load(Relaxed) == 0 {
                        thread::yield_now();
                    }
                    setup.root.remove_by_name("speed").expect("there");
                    file.notify();
                    assert_eq!(sleeper.join().expect("no panic"), CHANGED);
                });
            }
        },
    );
}

#[test]
fn notify_after_the_last_close_hurts_nobody() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let file = setup
                .root
                .find("speed")
                .and_then(|node| node.as_file())
                .expect("there");
            let client = File::open(setup.at("speed")).expect("open");
            reread(&client);
            assert_eq!(poll_now(&client, libc::POLLPRI), QUIET);
            drop(client);
            file.notify();
            setup.mount.flush();
            assert_eq!(setup.read("speed"), "30\n");
        },
    );
}

#[test]
fn a_callback_on_the_notify_worker_that_flushed_the_mount_waited_for_itself() {
    with_dir(|path| {
        let root = Root::new();
        let file = text(&root, "speed", "30");
        let mount = Mount::new(&root, path, &Options::new()).expect("it worked before");
        let mount = Arc::new(mount);
        let open = file.open(OpenFlags::READ).expect("there");
        let flushed = Arc::downgrade(&mount);
        let (tells, told) = mpsc::channel();
        let callback = open.on_change(move |_| {
            if let Some(mount) = flushed.upgrade() {
                mount.flush();
            }
            let _ = tells.send(());
        });
        file.notify();
        told.recv().expect("it returned");
        mount.flush();
        drop(callback);
        let mount = Arc::into_inner(mount).expect("nobody else has it");
        mount.unmount().expect("ours");
    });
}
