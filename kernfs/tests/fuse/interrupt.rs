//! Clients that get a signal while a callback of the daemon blocks.

use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::{fs, io};

use kernfs::{Cred, Cx, Dir, Errno, Has, Ops, Result, Root, RootFlags, Seq, SyscallCx, SyscallOps};

use crate::support::{StopOnDrop, text, with_mount, with_root};

/// Where a callback stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Before,
    Inside,
    MayLeave,
    Left,
}

/// A file whose `show` waits, until it is let go, or (if it cares) until it is interrupted.
#[derive(Debug, Default)]
struct Gate {
    stage: Mutex<Stage>,
    changed: Condvar,
    cares: bool,
}

impl Gate {
    fn set(&self, stage: Stage) {
        *self.stage.lock().expect("no panic under it") = stage;
        self.changed.notify_all();
    }

    fn wait_for(&self, wanted: Stage) {
        let mut stage = self.stage.lock().expect("no panic under it");
        while *stage != wanted {
            stage = self.changed.wait(stage).expect("no panic under it");
        }
    }

    /// Lets the callback go if the test fails: the unmount waits for it.
    fn opened_at_the_end(&self) -> impl Drop {
        struct Opens<'a>(&'a Gate);
        impl Drop for Opens<'_> {
            fn drop(&mut self) {
                self.0.set(Stage::MayLeave);
            }
        }
        Opens(self)
    }

    fn is(&self, stage: Stage) -> bool {
        *self.stage.lock().expect("no panic under it") == stage
    }
}

impl Ops for Gate {
    const HAS: Has = Has::SHOW;
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, cx: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        if self.is(Stage::Left) {
            seq.put(b"passed\n");
            return Ok(());
        }
        self.set(Stage::Inside);
        if self.cares {
            while !cx.interrupted() {
                std::thread::yield_now();
            }
            self.set(Stage::Left);
            return Err(Errno::EINTR.into());
        }
        self.wait_for(Stage::MayLeave);
        self.set(Stage::Left);
        Ok(())
    }
}

/// A client that dies of SIGINT, also where the tests run in the background of a shell, which has its jobs ignore it.
fn cat(path: &std::path::Path) -> Child {
    let mut client = Command::new("cat");
    client.arg(path).stdout(Stdio::null());
    let heed = || {
        // SAFETY: the default action is valid for every signal but SIGKILL and SIGSTOP.
        let old = unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        if old == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes one system call.
    unsafe { client.pre_exec(heed) };
    client.spawn().expect("cat")
}

fn send(child: &Child, signal: libc::c_int) {
    let pid = libc::pid_t::try_from(child.id()).expect("a pid");
    // SAFETY: our own child, which was not waited for.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

#[test]
fn a_client_dies_at_once_though_the_callback_blocks() {
    for signal in [libc::SIGINT, libc::SIGKILL] {
        let gate = Arc::new(Gate::default());
        let ops = Arc::clone(&gate);
        with_mount(
            |root| {
                root.create_file("gate", 0o444, 0, ops).expect("new");
                text(root, "speed", "30");
            },
            |setup| {
                let mut client = cat(&setup.at("gate"));
                let _open = gate.opened_at_the_end();
                gate.wait_for(Stage::Inside);
                // One thread blocks; the other one serves.
                assert_eq!(setup.read("speed"), "30\n");
                send(&client, signal);
                assert_eq!(client.wait().expect("our child").signal(), Some(signal));
                assert!(gate.is(Stage::Inside));
                gate.set(Stage::MayLeave);
                gate.wait_for(Stage::Left);
                // The late answer was dropped and hurt nobody.
                assert_eq!(setup.read("gate"), "passed\n");
                assert_eq!(fs::read_dir(&setup.path).expect("served").count(), 2);
            },
        );
    }
}

#[test]
fn a_callback_that_cares_hears_of_it() {
    let gate = Arc::new(Gate {
        cares: true,
        ..Gate::default()
    });
    let ops = Arc::clone(&gate);
    with_mount(
        |root| drop(root.create_file("gate", 0o444, 0, ops).expect("new")),
        |setup| {
            let mut client = cat(&setup.at("gate"));
            gate.wait_for(Stage::Inside);
            send(&client, libc::SIGTERM);
            assert_eq!(
                client.wait().expect("our child").signal(),
                Some(libc::SIGTERM)
            );
            gate.wait_for(Stage::Left);
            assert_eq!(setup.read("gate"), "passed\n");
        },
    );
}

/// A write that takes as long as it takes its client to get a signal, and is done all the same.
#[derive(Default)]
struct Stores {
    inside: AtomicBool,
    stored: AtomicUsize,
}

impl Ops for Stores {
    const HAS: Has = Has::WRITE;
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        self.inside.store(true, Relaxed);
        while !cx.interrupted() {
            std::thread::yield_now();
        }
        self.inside.store(false, Relaxed);
        self.stored.fetch_add(1, Relaxed);
        Ok(data.len())
    }
}

extern "C" fn nothing(_: libc::c_int) {}

/// Whoever writes again after EINTR, as all do, stored it twice.
#[test]
fn a_write_was_eintr_and_done() {
    const WRITES: usize = 50;
    // SAFETY: all zeros is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler does nothing; no other test uses this signal.
    let set = unsafe { libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    let file = Arc::new(Stores::default());
    let ops = Arc::clone(&file);
    with_mount(
        |root| drop(root.create_file("file", 0o200, 0, ops).expect("new")),
        |setup| {
            let open = fs::OpenOptions::new().write(true).open(setup.at("file"));
            let open = open.expect("open");
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let (tell, who) = std::sync::mpsc::channel();
                let (over, open) = (&over, &open);
                let client = scope.spawn(move || {
                    // SAFETY: touches no memory.
                    tell.send(unsafe { libc::pthread_self() }).expect("heard");
                    let _over = StopOnDrop(over);
                    let (mut done, mut late) = (0, 0);
                    while done < WRITES {
                        match open.write_at(b"x", 0) {
                            Ok(_) => done += 1,
                            // On a busy machine a callback may come back too late, and those behind it.
                            Err(error) => {
                                assert_eq!(error.raw_os_error(), Some(libc::EINTR));
                                late += 1;
                                assert!(late < 10 * WRITES, "{done} done");
                            }
                        }
                    }
                    done + late
                });
                let client_thread = who.recv().expect("told");
                while !over.load(Relaxed) {
                    if file.inside.load(Relaxed) {
                        // SAFETY: the thread was not joined.
                        unsafe { libc::pthread_kill(client_thread, libc::SIGUSR2) };
                    }
                    std::thread::yield_now();
                }
                let written = client.join().expect("a client");
                // The last one may be late too.
                while file.stored.load(Relaxed) < written {
                    std::thread::yield_now();
                }
                assert_eq!(file.stored.load(Relaxed), written);
            });
        },
    );
}

/// Users make directories as soon as they have lost patience. Tells who it was.
struct Slow(Arc<Gate>, Arc<Mutex<Option<Cred>>>);

impl SyscallOps for Slow {
    fn mkdir(&self, cx: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        *self.1.lock().expect("no panic under it") = Some(cx.caller());
        self.0.set(Stage::Inside);
        while !cx.interrupted() {
            std::thread::yield_now();
        }
        parent.create_dir(name, mode)?;
        self.0.set(Stage::Left);
        Ok(())
    }
}

#[test]
fn who_makes_a_directory_is_known_and_may_give_up() {
    let (gate, who) = (Arc::default(), Arc::default());
    let ops = Slow(Arc::clone(&gate), Arc::clone(&who));
    with_root(
        Root::with_ops(RootFlags::NONE, ops),
        |_| {},
        |setup| {
            let mut client = Command::new("mkdir")
                .args(["-m", "755", "new"])
                .current_dir(&setup.path)
                .spawn()
                .expect("mkdir");
            gate.wait_for(Stage::Inside);
            send(&client, libc::SIGTERM);
            let end = client.wait().expect("our child").signal();
            assert_eq!(end, Some(libc::SIGTERM));
            gate.wait_for(Stage::Left);
            let expected = Cred {
                pid: client.id(),
                ..Cred::process()
            };
            assert_eq!(*who.lock().expect("no panic under it"), Some(expected));
            // It was made after all, and nobody was told otherwise.
            assert!(fs::metadata(setup.at("new")).expect("there").is_dir());
        },
    );
}
