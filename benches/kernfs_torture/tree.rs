//! The tree that is tortured: text that must be whole, callbacks that block, and what users make.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use benches::dice::Dice;
use kernfs::{
    Creation, Cx, Dir, Errno, Has, Limits, Node, OpenFlags, Ops, PollFlags, Result, Root,
    RootFlags, Seq, SyscallCx, SyscallOps, bin, ro, rw, wo,
};

use crate::controls::Broken;
use crate::daemon::Daemon;
use crate::names;
use crate::text;

/// Counts itself as long as it lives.
#[derive(Debug)]
struct Counted(Arc<Daemon>, fn(&Daemon) -> &AtomicI64);

impl Counted {
    fn new(daemon: &Arc<Daemon>, of: fn(&Daemon) -> &AtomicI64) -> Self {
        of(daemon).fetch_add(1, Relaxed);
        Self(Arc::clone(daemon), of)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1(&self.0).fetch_sub(1, Relaxed);
    }
}

/// Shows what was published or written last, whole. Takes nothing that is not.
pub(crate) struct Text {
    value: Mutex<Vec<u8>>,
    long: bool,
    daemon: Arc<Daemon>,
    _counted: Counted,
}

impl Text {
    pub(crate) fn new(daemon: &Arc<Daemon>, long: bool, dice: &mut Dice) -> Arc<Self> {
        Arc::new(Self {
            value: Mutex::new(text::text(daemon.key, text::number(dice, long))),
            long,
            daemon: Arc::clone(daemon),
            _counted: Counted::new(daemon, |daemon| &daemon.objects),
        })
    }

    /// Another text.
    pub(crate) fn publish(&self, dice: &mut Dice) {
        let mut new = text::text(self.daemon.key, text::number(dice, self.long));
        if self.daemon.options.is_broken(Broken::Torn) {
            new.truncate(new.len() / 2);
        }
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }
}

impl Ops for Text {
    const HAS: Has = Has::SHOW.with(Has::WRITE).with(Has::RELEASE);
    type Open = ();

    fn atomic_write_len(&self) -> usize {
        if self.long { text::LONG + 1 } else { 0 }
    }

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        self.daemon.unreleased.fetch_add(1, Relaxed);
        Ok(())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        if self.daemon.options.is_broken(Broken::Errno) {
            return Err(Errno::EDEADLK.into());
        }
        while self.daemon.options.is_broken(Broken::Hang) {
            thread::park();
        }
        seq.put(&self.value.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        if !data.is_empty() {
            if !text::is_whole(self.daemon.key, data) {
                return Err(Errno::EINVAL.into());
            }
            data.clone_into(&mut self.value.lock().unwrap_or_else(PoisonError::into_inner));
            cx.notify();
        }
        Ok(data.len())
    }

    fn release(&self, _: &mut Cx<'_>, (): &()) {
        self.daemon.unreleased.fetch_sub(1, Relaxed);
    }
}

/// Blocks at the gate in one of its callbacks.
struct Stuck {
    at: &'static str,
    daemon: Arc<Daemon>,
    _counted: Counted,
}

impl Stuck {
    /// Half of them do not look whether the client is still there.
    fn wait(&self, at: &str, cx: &Cx<'_>) -> Result<()> {
        let cares = cx.caller().pid.is_multiple_of(2);
        match at != self.at || self.daemon.gate.pass(|| cares && cx.interrupted()) {
            true => Ok(()),
            false => Err(Errno::EINTR.into()),
        }
    }
}

impl Ops for Stuck {
    const HAS: Has = Has::SHOW
        .with(Has::WRITE)
        .with(Has::POLL)
        .with(Has::MAY_BLOCK);
    type Open = ();

    fn open(&self, cx: &mut Cx<'_>) -> Result<()> {
        self.wait("open", cx)
    }

    fn show(&self, cx: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        self.wait("show", cx)?;
        seq.put(b"passed\n");
        Ok(())
    }

    fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        self.wait("write", cx).map(|()| data.len())
    }

    fn poll(&self, cx: &mut Cx<'_>, (): &(), generic: PollFlags) -> PollFlags {
        let _ = self.wait("poll", cx);
        generic
    }
}

/// Makes the directory of the files that block.
pub(crate) fn stuck(daemon: &Arc<Daemon>, root: &Root) -> Result<()> {
    let dir = root.create_dir("stuck", 0o755)?;
    for at in names::STUCK {
        let ops = Stuck {
            at,
            daemon: Arc::clone(daemon),
            _counted: Counted::new(daemon, |daemon| &daemon.objects),
        };
        dir.create_file(at, 0o666, 0, ops)?;
    }
    Ok(())
}

/// Users may do what they like in one place.
struct Users {
    daemon: Arc<Daemon>,
    _counted: Counted,
}

impl Users {
    fn check(node: &Node, itself: bool) -> Result<()> {
        let path = node.path();
        let rest = path.strip_prefix(b"/users");
        match rest {
            Some([b'/', ..]) => Ok(()),
            Some([]) if itself => Ok(()),
            _ => Err(Errno::EPERM.into()),
        }
    }
}

impl SyscallOps for Users {
    fn mkdir(&self, cx: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        Self::check(parent, true)?;
        if name.first() == Some(&names::SLOW) && !self.daemon.gate.pass(|| cx.interrupted()) {
            return Err(Errno::EINTR.into());
        }
        let who = cx.caller();
        let dir = parent.create_dir_with(name, mode, Creation::new().owner(who.uid, who.gid))?;
        // Its maker may be slower than who removes it.
        drop(dir.attr("size", ro(|| 1)));
        Ok(())
    }

    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        Self::check(dir, false)?;
        let _unprotected = cx.break_protection();
        dir.remove()
    }

    fn rename(&self, _: &mut SyscallCx<'_>, node: &Node, to: &Dir, name: &[u8]) -> Result<()> {
        Self::check(node, false)?;
        Self::check(to, true)?;
        node.rename(to, name)
    }
}

/// An empty tree.
pub(crate) fn root(daemon: &Arc<Daemon>) -> Root {
    let flags = RootFlags::SUPPORT_USER_XATTR
        .with(RootFlags::SUPPORT_EXPORTOP)
        .with(RootFlags::EXTRA_OPEN_PERM_CHECK);
    let users = Users {
        daemon: Arc::clone(daemon),
        _counted: Counted::new(daemon, |daemon| &daemon.objects),
    };
    let root = Root::with_ops(flags, users);
    root.set_limits(Limits::NONE.nodes(400).depth(12));
    root
}

/// One of the owner's directories, with all that belongs into it.
pub(crate) fn fill(
    daemon: &Arc<Daemon>,
    root: &Root,
    number: usize,
    dice: &mut Dice,
) -> Result<()> {
    let dir = root.create_dir(names::dir(number), 0o755)?;
    for file in 0..names::FILES {
        dir.create_file(
            names::file(file),
            0o666,
            4096,
            Text::new(daemon, false, dice),
        )?;
    }
    dir.create_file("long", 0o666, 4096, Text::new(daemon, true, dice))?;
    dir.attr("fixed", rw(|| 17, |_: u32| {}))?;
    dir.attr("ro", ro(|| "nothing"))?;
    dir.attr("wo", wo(|_: u32| {}))?;
    dir.attr(
        "bin",
        bin(10_000).read(|buffer, _| {
            buffer.fill(b'b');
            Ok(buffer.len())
        }),
    )?;
    if let Some(target) = root.find(names::dir((number + 1) % names::DIRS)) {
        dir.create_link("link", &target)?;
    }
    Ok(())
}

/// What is there from the beginning to the end.
pub(crate) fn fixed(daemon: &Arc<Daemon>, root: &Root) -> Result<()> {
    root.create_dir(names::USERS, 0o777)?;
    root.create_empty_dir("empty")?;
    for number in 0..names::ODD {
        let dir = root.create_dir(names::odd(number), 0o755)?;
        dir.create_file(
            "f1",
            0o666,
            4096,
            Text::new(daemon, false, &mut daemon.dice(90)),
        )?;
    }
    if daemon.options.stuck {
        stuck(daemon, root)?;
    }
    Ok(())
}

/// What the owner opens himself.
pub(crate) fn read(file: &kernfs::File) -> Result<Vec<u8>> {
    let open = file.open(OpenFlags::READ)?;
    let mut buffer = vec![0; 1 << 17];
    let n = open.read_at(&mut buffer, 0)?;
    buffer.truncate(n);
    Ok(buffer)
}
