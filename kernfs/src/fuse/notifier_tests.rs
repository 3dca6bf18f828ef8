//! What is queued for the kernel, and what is said of it in the end.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::abi::{Field, NotifyInvalEntry, NotifyInvalInode, OutHeader, ROOT_ID, notify};
use super::adapter::Adapter;
use super::channel::Channel;
use super::listener::Listener;
use super::notifier::{LONG, Notifier, Reply};
use super::table::News;
use crate::attr::ro;
use crate::cred::Caller;
use crate::cx::SyscallCx;
use crate::error::{Errno, Result};
use crate::flags::RootFlags;
use crate::mode::SetAttr;
use crate::node::Dir;
use crate::notify::Watching;
use crate::root::Root;
use crate::step::at_steps;
use crate::syscalls::SyscallOps;

const WHO: u32 = 77;

/// What a pipe takes, see pipe(7).
const PIPE: usize = 65536;

/// How long something may take before it counts as what hangs: much more than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A mount without a kernel.
struct Setup {
    root: Root,
    adapter: Arc<Adapter>,
    notifier: Arc<Notifier>,
    watching: Watching,
}

impl Setup {
    fn new(root: Root) -> Self {
        let adapter = Arc::new(Adapter::new(root.dir(), None));
        let notifier = Arc::new(Notifier::new(adapter.nodes()));
        let nowhere = File::options().write(true).open("/dev/null").unwrap();
        let watching = root
            .watch(Arc::new(Listener {
                notifier: Arc::clone(&notifier),
                adapter: Arc::clone(&adapter),
                channel: Arc::new(Channel::new(nowhere.into())),
                poker: None,
            }))
            .unwrap();
        Self {
            root,
            adapter,
            notifier,
            watching,
        }
    }

    fn lookup(&self, name: &str) -> Result<u64, Errno> {
        let stat = self.adapter.lookup(WHO, ROOT_ID, name.as_bytes())?;
        Ok(stat.id)
    }

    /// What is queued, as the kernel reads it.
    fn told(&self) -> Vec<String> {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let channel = Channel::new(File::from(OwnedFd::from(writer)).into());
        self.notifier.close();
        self.notifier.run(&self.adapter, &channel);
        drop(channel);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        let mut rest = &bytes[..];
        let mut told = Vec::new();
        while let Some(header) = OutHeader::take(&mut rest) {
            let (mut body, tail) = rest.split_at(header.len as usize - size_of::<OutHeader>());
            rest = tail;
            told.push(match header.error {
                notify::INVAL_ENTRY => {
                    let entry = NotifyInvalEntry::take(&mut body).unwrap();
                    let name = body.strip_suffix(b"\0").unwrap().escape_ascii();
                    format!("entry {} {name}", entry.parent)
                }
                notify::INVAL_INODE => {
                    let inode = NotifyInvalInode::take(&mut body).unwrap();
                    format!("inode {}", inode.ino)
                }
                other => panic!("{other}"),
            });
        }
        told
    }
}

fn mode(mode: u32) -> SetAttr {
    SetAttr {
        mode: Some(mode),
        ..SetAttr::default()
    }
}

#[test]
fn what_the_kernel_had_never_heard_of_was_queued() {
    let setup = Setup::new(Root::new());
    for n in 0..1000 {
        let file = setup.root.attr(format!("f{n}"), ro(|| 1)).unwrap();
        file.setattr(&mode(0o400)).unwrap();
        file.notify();
        file.rename(&setup.root, format!("g{n}")).unwrap();
        file.remove().unwrap();
    }
    setup.watching.flush();
    assert_eq!(setup.told(), ["inode 1"]);
}

#[test]
fn the_same_news_were_queued_again_and_again() {
    let setup = Setup::new(Root::new());
    let file = setup.root.attr("a", ro(|| 1)).unwrap();
    let id = setup.lookup("a").unwrap();
    for n in 0..1000 {
        file.setattr(&mode(0o400 + n % 8)).unwrap();
        file.notify();
        file.rename(&setup.root, ["b", "a"][n as usize % 2])
            .unwrap();
        assert_eq!(setup.lookup(["b", "a"][n as usize % 2]), Ok(id));
        let moved = News::Moved {
            parent: ROOT_ID,
            name: b"c"[..].into(),
        };
        setup.notifier.push([moved]);
    }
    setup.watching.flush();
    let mut told = setup.told();
    told.sort();
    let inode = format!("inode {id}");
    assert_eq!(
        told,
        ["entry 1 a", "entry 1 b", "entry 1 c", "inode 1", &inode]
    );
}

#[test]
fn what_is_told_may_have_to_be_told_again() {
    let setup = Setup::new(Root::new());
    let nodes = setup.adapter.nodes();
    let file = setup.root.attr("a", ro(|| 1)).unwrap();
    let id = setup.lookup("a").unwrap();
    let (parent, name) = (ROOT_ID, b"a"[..].into());
    let entry = News::Entry {
        parent,
        name,
        node: id,
    };
    for news in [News::Attributes { id }, entry] {
        assert!(nodes.queue(&news) && !nodes.queue(&news), "{news:?}");
        assert!(nodes.take(&news) && !nodes.take(&news), "{news:?}");
        setup.lookup("a").unwrap();
        assert!(!nodes.wants(&news) && nodes.queue(&news) && nodes.wants(&news));
        nodes.take(&news);
    }
    drop(file);
}

#[test]
fn what_the_kernel_has_forgotten_is_not_told() {
    let setup = Setup::new(Root::new());
    for name in ["a", "b"] {
        setup.root.attr(name, ro(|| 1)).unwrap();
    }
    let ids = ["a", "b"].map(|name| setup.lookup(name).unwrap());
    setup.root.remove_by_name("a").unwrap();
    setup.root.remove_by_name("b").unwrap();
    setup.adapter.forget(ids[0], 1);
    let inode = format!("inode {}", ids[1]);
    assert_eq!(setup.told(), ["inode 1", "entry 1 b", &inode]);
}

struct Groups;

impl SyscallOps for Groups {
    fn mkdir(&self, _: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        let dir = parent.create_dir(name, mode)?;
        dir.attr("members", ro(|| 1)).map(drop)
    }
    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        let _unprotected = cx.break_protection();
        dir.remove()
    }
}

#[test]
fn users_who_make_and_remove_directories_filled_the_queue() {
    let setup = Setup::new(Root::with_ops(RootFlags::NONE, Groups));
    let mut most = 0;
    for n in 0..5_000 {
        let name = format!("d{n}");
        let of = (ROOT_ID, name.as_bytes());
        let made = setup.adapter.mkdir(WHO, of, 0o755, Caller::default());
        let (id, who) = (made.unwrap().id, Caller::default());
        let members = setup.adapter.lookup(WHO, id, b"members").unwrap().id;
        setup.adapter.rmdir(WHO, of, who).unwrap();
        most = most.max(setup.notifier.len());
        // What the kernel does then.
        setup.adapter.forget(members, 1);
        setup.adapter.forget(id, 1);
    }
    assert!(most < 5000, "{most}");
    assert_eq!(setup.told(), ["inode 1"]);
}

/// The rename found the name not told, the kernel was told it a moment later, and nobody ever took it back.
#[test]
fn a_name_that_is_taken_away_under_a_lookup_is_not_found() {
    for again in [false, true] {
        let setup = Setup::new(Root::new());
        setup.root.attr("a", ro(|| 1)).unwrap();
        let (root, node) = (setup.root.clone(), setup.root.find("a").unwrap());
        let id = node.id();
        let mut first = true;
        let rename = move |step: &str| {
            if step == "found" && std::mem::take(&mut first) {
                node.rename(&root, "b").unwrap();
                if again {
                    root.attr("a", ro(|| 2)).unwrap();
                }
            }
        };
        let found = at_steps(rename, || setup.lookup("a"));
        assert!(!setup.adapter.is_known(id));
        if again {
            let new = setup.root.find("a").unwrap().id();
            assert_eq!(found, Ok(new));
        } else {
            assert_eq!(found, Err(Errno::ENOENT));
        }
    }
}

/// A signal for its client was answered EAGAIN again and again, as long as the reply waited behind news.
#[test]
fn a_reply_that_waits_is_sent_when_its_client_gets_a_signal() {
    let setup = Setup::new(Root::new());
    let (mut reader, writer) = std::io::pipe().unwrap();
    let channel = Arc::new(Channel::new(File::from(OwnedFd::from(writer)).into()));
    setup.root.attr("a", ro(|| 1)).unwrap();
    setup.lookup("a").unwrap();
    setup.root.remove_by_name("a").unwrap();
    let before = setup.notifier.len();
    setup.notifier.defer(Reply {
        channel,
        unique: 7,
        payload: Err(5),
    });
    assert!(!setup.notifier.hurry(6) && setup.notifier.len() == before + 1);
    assert!(setup.notifier.hurry(7) && setup.notifier.len() == before);
    let mut bytes = [0; 16];
    reader.read_exact(&mut bytes).unwrap();
    let header = OutHeader::take(&mut &bytes[..]).unwrap();
    assert_eq!((header.unique, header.error), (7, -5));
    assert!(!setup.notifier.hurry(7));
}

#[test]
fn what_others_change_is_not_this_threads_doing() {
    let setup = Setup::new(Root::new());
    let before = Notifier::changes();
    thread::scope(|scope| {
        scope.spawn(|| setup.root.create_dir("a", 0o755).unwrap());
    });
    assert_eq!(Notifier::changes(), before);
    setup.root.create_dir("b", 0o755).unwrap();
    assert_ne!(Notifier::changes(), before);
}

/// A job that was taken out was none that is done.
#[test]
fn who_flushed_slept_on_when_a_signal_took_the_last_job() {
    let setup = Setup::new(Root::new());
    let nowhere = File::options().write(true).open("/dev/null").unwrap();
    let channel = Arc::new(Channel::new(nowhere.into()));
    setup.notifier.defer(Reply {
        channel: Arc::clone(&channel),
        unique: 7,
        payload: Err(5),
    });
    let (done, watched) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let flushed = scope.spawn(|| {
            setup.notifier.flush();
            drop(done);
        });
        // It sleeps by now, or will find nothing: the second way shows nothing, and is rare.
        (0..100).for_each(|_| thread::yield_now());
        assert!(setup.notifier.hurry(7));
        scope.spawn(|| setup.notifier.run(&setup.adapter, &channel));
        let slept_on = watched.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        setup.notifier.close(); // which wakes it in any case
        flushed.join().unwrap();
        assert!(!slept_on, "{PATIENCE:?} have passed");
    });
}

// Nobody relieves it any more when the mount ends, and its thread may be kept by a client for as long as that likes.
#[test]
fn a_reply_behind_news_waited_on_when_the_mount_had_ended() {
    let setup = Setup::new(Root::new());
    setup.root.attr("a", ro(|| 1)).unwrap();
    setup.lookup("a").unwrap();
    setup.root.remove_by_name("a").unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let channel = Arc::new(Channel::new(File::from(OwnedFd::from(writer)).into()));
    setup.notifier.defer(Reply {
        channel,
        unique: 7,
        payload: Err(5),
    });
    let news = setup.notifier.len() - 1;
    setup.notifier.close(); // and no thread runs it
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap(); // its end: the reply is gone
    let header = OutHeader::take(&mut &bytes[..]).unwrap();
    assert_eq!((header.unique, header.error), (7, -5));
    assert_eq!(setup.notifier.len(), news);
}

/// A client who kept a directory locked kept the writes of others waiting, and `flush`.
#[test]
fn replies_waited_for_what_the_kernel_did_not_take() {
    let setup = Setup::new(Root::new());
    setup.root.attr("a", ro(|| 1)).unwrap();
    setup.lookup("a").unwrap();
    setup.root.remove_by_name("a").unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let channel = Arc::new(Channel::new(File::from(OwnedFd::from(writer)).into()));
    setup.notifier.defer(Reply {
        channel,
        unique: 7,
        payload: Err(5),
    });
    // Nobody reads it, and it is full.
    let (mut full, filled) = std::io::pipe().unwrap();
    let kernel = File::from(OwnedFd::from(filled));
    (&kernel).write_all(&[0; PIPE]).unwrap();
    let kernel = Channel::new(kernel.into());
    assert_eq!(
        setup.notifier.relieve(Instant::now() + LONG),
        Some(LONG),
        "it is not stuck"
    );
    thread::scope(|scope| {
        let (notifier, adapter) = (&setup.notifier, &setup.adapter);
        let runs = scope.spawn(|| {
            notifier.run(adapter, &kernel);
            drop(kernel);
        });
        while notifier.relieve(Instant::now() + LONG).is_some() {
            thread::yield_now();
        }
        let mut bytes = [0; 16];
        reader.read_exact(&mut bytes).unwrap();
        let header = OutHeader::take(&mut &bytes[..]).unwrap();
        assert_eq!((header.unique, header.error), (7, -5));
        notifier.flush_within(Duration::ZERO);
        assert!(!runs.is_finished());
        notifier.close();
        full.read_to_end(&mut Vec::new()).unwrap();
    });
}
