//! The service threads: each reads requests from its own channel and runs the callbacks in place.
//!
//! At least two threads, so that one callback that blocks does not stop the mount, and INTERRUPT is
//! still read; more where all of them block ([`super::threads`]). The callback of a client that gets a signal is told
//! through `Cx::interrupted`. If it does not return soon, or its file says that it may block, the client is answered EINTR,
//! and what the callback answers in the end is dropped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::abi::{
    self, AttrOut, EntryOut, Field, GetxattrOut, InHeader, OpenOut, PollOut, StatfsOut, WriteOut,
    fopen,
};
use super::adapter::Adapter;
use super::channel::{Channel, Received};
use super::limit::{self, Duties, Hook, LateCallback, Limit};
use super::listing::{self, Listing};
use super::load::Load;
use super::notifier::{LONG, Notifier, Reply};
use super::options::Options;
use super::request::{self, Request};
use super::slot::{Begun, Slot};
use super::table::News;
use crate::caught::caught;
use crate::cred::{Caller, Cancel, Cred};
use crate::error::Errno;
use crate::mode::Stat;
use crate::readdir;
use crate::slow::{RunningCallback, running_on};
use crate::sys::mounting as sys;

/// What the threads of one mount share.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) adapter: Arc<Adapter>,
    pub(super) notifier: Arc<Notifier>,
    channel: Arc<Channel>,
    /// Of the threads that there are, and room for those that may come.
    slots: Box<[OnceLock<Slot>]>,
    pub(super) load: Load,
    /// How long callbacks may keep their clients waiting.
    limit: Limit,
    /// Who is told of those that take longer.
    hook: Option<Hook>,
    /// The mount is being taken down: nothing runs callbacks any more.
    closing: AtomicBool,
    /// How long the kernel may believe a name and its attributes; removals are told at once.
    ttl: Duration,
    /// Whether there are extended attributes.
    xattrs: bool,
    /// The process that it was made in.
    process: u32,
}

/// The name of service thread `index`.
pub(super) fn service_name(index: usize) -> String {
    format!("kernfs-fuse-{index}")
}

/// Memory of a service thread, kept from request to request.
#[derive(Debug, Default)]
struct Scratch {
    reply: Vec<u8>,
    /// What a READ is filled into. Not cleared: clients ask for much and get little.
    data: Vec<u8>,
    /// Entries of a directory on their way into the reply.
    batch: readdir::Listing,
}

/// What a request left in the reply buffer.
enum Outcome {
    /// The payload is in the buffer.
    Done,
    /// A LOOKUP was counted: give it back if the reply is not taken.
    Found(u64),
    /// A file was opened: close it if the reply is not taken.
    Opened(u64),
    /// No reply.
    Silent,
}

impl Session {
    pub(super) fn new(
        adapter: Arc<Adapter>,
        notifier: Arc<Notifier>,
        channel: Arc<Channel>,
        options: &Options,
    ) -> Self {
        let most = options.most_threads.max(options.threads);
        Self {
            adapter,
            notifier,
            slots: (0..most).map(|_| OnceLock::new()).collect(),
            channel,
            load: Load::default(),
            limit: Limit::new(options.callback_limit),
            hook: options.late.clone(),
            closing: AtomicBool::new(false),
            ttl: options.cache,
            xattrs: options.xattrs,
            process: crate::sys::process(),
        }
    }

    /// Tells the callbacks that run that nobody waits for them any more; from now on requests are answered
    /// ENODEV, if the connection outlives its mount.
    pub(super) fn close(&self) {
        // Relaxed: a request that does not see it runs as if it had come a little earlier, and what it opens is closed
        // with the session. Its callback is told below: the lock of its slot orders its `begin` before this or after.
        self.closing.store(true, Ordering::Relaxed);
        for slot in self.slots() {
            slot.interrupt(|_| true, sys::ENODEV);
        }
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter_map(OnceLock::get)
    }

    /// How many threads are in callbacks whose clients were not to wait any longer.
    pub(super) fn late(&self) -> usize {
        self.slots().filter(|slot| slot.is_late()).count()
    }

    /// The body of the thread that answers the clients of callbacks that take too long.
    pub(super) fn enforce_limit(&self) {
        self.limit.run(self);
    }

    pub(super) fn end_limit(&self) {
        self.limit.close();
    }

    /// Makes room for thread `index`, the next one; `false`: there is none.
    pub(super) fn open(&self, index: usize) -> bool {
        // Where a device cannot be cloned the threads share one: correct, with more contention.
        let channel = || match index {
            0 => Arc::clone(&self.channel),
            _ => {
                let own = self.channel.try_clone().map(Arc::new);
                own.unwrap_or_else(|| Arc::clone(&self.channel))
            }
        };
        let room = self.slots.get(index);
        room.map(|slot| slot.get_or_init(|| Slot::new(channel())))
            .is_some()
    }

    /// The body of service thread `index`: returns when the connection has ended.
    pub(super) fn serve(&self, index: usize) {
        let Some(slot) = self.slots.get(index).and_then(OnceLock::get) else {
            return;
        };
        slot.arrive();
        let mut buffer = Channel::buffer();
        let mut scratch = Scratch::default();
        loop {
            match slot.channel.receive(&mut buffer) {
                Received::Request(len) => {
                    self.load.begins();
                    let bytes = buffer.get(..len).unwrap_or_default();
                    self.guarded(slot, bytes, &mut scratch);
                    if self.process != crate::sys::process() {
                        return; // that child again: its descriptors are closed
                    }
                    self.load.ends();
                }
                Received::Again => {}
                Received::Ended => return,
            }
        }
    }

    /// Callbacks that panic are caught where they are called; this is for what a user's value does when it
    /// is dropped. The thread must live: a mount without service threads hangs its clients.
    fn guarded(&self, slot: &Slot, bytes: &[u8], scratch: &mut Scratch) {
        if caught(|| self.one(slot, bytes, scratch)).is_err()
            && !slot.end()
            && let Some(header) = InHeader::take(&mut &bytes[..])
        {
            let _ = slot.channel.reply_error(header.unique, sys::EIO);
        }
    }

    fn one(&self, slot: &Slot, bytes: &[u8], scratch: &mut Scratch) {
        match request::parse(bytes) {
            Some(Ok((header, Request::Interrupt { unique }))) => {
                self.interrupt(header.unique, unique);
            }
            Some(Ok((header, request))) => self.answer(slot, &header, request, scratch),
            // The request was read, so an unanswered client would wait for ever.
            Some(Err(header)) => drop(slot.channel.reply_error(header.unique, sys::EIO)),
            None => {}
        }
    }

    fn answer(&self, slot: &Slot, header: &InHeader, request: Request<'_>, scratch: &mut Scratch) {
        let unique = header.unique;
        scratch.reply.clear();
        let callback = request.callback();
        // Not mkdir, rmdir and rename: the kernel holds locks of directories, for which the invalidations wait.
        let may_wait = matches!(request, Request::Read { .. } | Request::Write { .. });
        let is_plain = may_wait || callback.is_none();
        let before = Notifier::changes();
        let cancel = match callback {
            None => Arc::default(),
            Some(op) => {
                let node = header.nodeid;
                let cancel = slot.begin(unique, node, self.limit.begin(node, op));
                self.limit.begun();
                cancel
            }
        };
        let outcome = match self.perform(header, request, &cancel, scratch) {
            // Said by a callback. The kernel would not ask again, of no file of the mount.
            Err(sys::ENOSYS) if !is_plain => Err(sys::EOPNOTSUPP),
            outcome => outcome,
        };
        if self.process != crate::sys::process() {
            return; // a callback has forked, and the child came back: the answer is the parent's to give
        }
        let stale = self.adapter.take_stale();
        if !stale.is_empty() {
            self.notifier.push(stale);
        }
        if callback.is_some() && slot.end() {
            self.undo(&outcome);
            return;
        }
        if matches!(outcome, Ok(Outcome::Silent)) {
            return;
        }
        if may_wait && Notifier::changes() != before {
            // The callback changed the tree: whoever sees this answer must also see the change. READ and WRITE hold no
            // directory lock in the kernel, so the invalidations do not wait for us. If they do for somebody else, the
            // answer goes without them.
            let payload = match outcome {
                Ok(_) => Ok(std::mem::take(&mut scratch.reply)),
                Err(errno) => Err(errno),
            };
            let channel = Arc::clone(&slot.channel);
            self.notifier.defer(Reply {
                channel,
                unique,
                payload,
            });
            self.limit.look_within(LONG);
            return;
        }
        let sent = match &outcome {
            Ok(_) => slot.channel.reply(unique, &scratch.reply),
            Err(errno) => slot.channel.reply_error(unique, *errno),
        };
        if sent.is_err() {
            self.undo(&outcome);
        }
    }

    /// Takes back what the kernel will never give back, because it did not get the reply.
    fn undo(&self, outcome: &Result<Outcome, i32>) {
        match outcome {
            Ok(Outcome::Found(id)) => self.adapter.forget(*id, 1),
            Ok(Outcome::Opened(fh)) => self.adapter.release(*fh),
            _ => {}
        }
    }

    /// The client of request `target` got a signal.
    fn interrupt(&self, unique: u64, target: u64) {
        for slot in self.slots() {
            let Some(node) = slot.runs(target) else {
                continue;
            };
            // A callback that is quick may have done its work: then that is the answer.
            let heard = match self.adapter.may_block(node) {
                true => slot.interrupt(|running| running == target, sys::EINTR),
                false => slot.signal(target, self.limit.now()),
            };
            if heard {
                self.limit.signalled();
                return;
            }
        }
        if self.notifier.hurry(target) {
            return; // it was answered, behind news that may take long
        }
        // Not in a callback: just read, about to be answered, or answered; or it waits for something else, perhaps for
        // long. EAGAIN makes the kernel send this again unless it was answered.
        self.limit.again(unique);
    }

    fn perform(
        &self,
        header: &InHeader,
        request: Request<'_>,
        cancel: &Cancel,
        scratch: &mut Scratch,
    ) -> Result<Outcome, i32> {
        let Scratch {
            reply: out,
            data,
            batch,
        } = scratch;
        let (id, who) = (header.nodeid, header.pid);
        let cred = Cred {
            uid: header.uid,
            gid: header.gid,
            pid: who,
        };
        let caller = Caller::from(cred).cancelled_by(cancel);
        let tree = &*self.adapter;
        let gives_back = matches!(
            request,
            Request::Forget { .. }
                | Request::BatchForget { .. }
                | Request::Release { .. }
                | Request::Releasedir { .. }
        );
        if self.closing.load(Ordering::Relaxed) && !gives_back {
            return Err(sys::ENODEV);
        }
        match request {
            Request::Lookup { name } => {
                let stat = tree.lookup(who, id, name).map_err(Errno::raw)?;
                self.put_entry(&stat, self.ttl, out);
                return Ok(Outcome::Found(stat.id));
            }
            Request::Forget { nlookup } => {
                tree.forget(id, nlookup);
                return Ok(Outcome::Silent);
            }
            Request::BatchForget { items } => {
                for item in items {
                    tree.forget(item.nodeid, item.nlookup);
                }
                return Ok(Outcome::Silent);
            }
            Request::Getattr => {
                let stat = tree.getattr(id).map_err(Errno::raw)?;
                put_attr(&stat, self.ttl, out);
            }
            Request::Setattr { new } => {
                let stat = tree.setattr(cred, id, &new).map_err(Errno::raw)?;
                // Unlike those of other replies the kernel takes these attributes whatever it was told since they were
                // read. So they are good for once only.
                put_attr(&stat, Duration::ZERO, out);
            }
            Request::Getxattr { .. }
            | Request::Listxattr { .. }
            | Request::Setxattr { .. }
            | Request::Removexattr { .. }
                if !self.xattrs =>
            {
                return Err(sys::ENOSYS); // the kernel does not ask again
            }
            Request::Getxattr { name, room } => {
                let value = tree.getxattr(who, id, name).map_err(Errno::raw)?;
                put_sized(&value, room, out)?;
            }
            Request::Listxattr { room } => {
                let names = tree.listxattr(who, cred.uid, id).map_err(Errno::raw)?;
                put_sized(&names, room, out)?;
            }
            Request::Setxattr { name, value, flags } => tree
                .setxattr(who, id, name, value, flags)
                .map_err(Errno::raw)?,
            Request::Removexattr { name } => {
                tree.removexattr(who, id, name).map_err(Errno::raw)?;
            }
            Request::Readlink => *out = tree.readlink(who, id).map_err(Errno::raw)?,
            Request::Mkdir { name, mode } => {
                let stat = tree
                    .mkdir(who, (id, name), mode, caller)
                    .map_err(Errno::raw)?;
                self.put_entry(&stat, Duration::ZERO, out); // as for SETATTR
                return Ok(Outcome::Found(stat.id));
            }
            Request::Rmdir { name } => tree.rmdir(who, (id, name), caller).map_err(Errno::raw)?,
            Request::Rename {
                name,
                new_parent,
                new_name,
            } => {
                tree.rename(who, (id, name), (new_parent, new_name), caller)
                    .map_err(Errno::raw)?;
                // The kernel gives the new name to what it knew by the old one, and remembers that: whatever the owner
                // has done. It forgets when it has; its lock of the directory keeps the two apart.
                self.notifier.push([News::Moved {
                    parent: new_parent,
                    name: new_name.into(),
                }]);
            }
            Request::Open { flags } => {
                let fh = tree.open(cred, id, flags).map_err(Errno::raw)?;
                let open_flags = fopen::DIRECT_IO | fopen::NOFLUSH | fopen::PARALLEL_DIRECT_WRITES;
                put_open(fh, open_flags, out);
                return Ok(Outcome::Opened(fh));
            }
            Request::Opendir => {
                let fh = tree.opendir(who, id).map_err(Errno::raw)?;
                put_open(fh, 0, out);
                return Ok(Outcome::Opened(fh));
            }
            Request::Read {
                fh,
                offset,
                size,
                pages,
            } => {
                let size = size.min(abi::MAX_WRITE) as usize;
                if data.len() < size {
                    data.resize(size, 0);
                }
                let data = data.get_mut(..size).unwrap_or_default();
                let read = match pages {
                    true => tree.fill(fh, offset, data, caller),
                    false => tree.read(fh, offset, data, caller),
                };
                let len = read.map_err(Errno::raw)?;
                out.extend_from_slice(data.get(..len).unwrap_or_default());
            }
            Request::Write { fh, offset, data } => {
                let len = tree.write(fh, offset, data, caller).map_err(Errno::raw)?;
                let size = u32::try_from(len).unwrap_or(u32::MAX);
                WriteOut { size, padding: 0 }.put(out);
            }
            Request::Readdir { fh, offset, size } => {
                let mut listing = Listing::new(out, size as usize);
                tree.readdir(fh, offset, batch, |entry| listing.add(entry))
                    .map_err(Errno::raw)?;
            }
            Request::Poll { fh, kh } => {
                let revents = tree.poll(fh, kh).map_err(Errno::raw)?.bits();
                PollOut {
                    revents,
                    padding: 0,
                }
                .put(out);
            }
            Request::Release { fh } | Request::Releasedir { fh } => tree.release(fh),
            Request::Statfs => StatfsOut {
                bsize: 4096,
                frsize: 4096,
                namelen: 255, // what sysfs says, though longer names work
                ..StatfsOut::default()
            }
            .put(out),
            Request::Accept => {}
            Request::Refuse(errno) => return Err(errno),
            Request::Init(_) => return Err(sys::EIO), // once only, before the threads
            Request::Interrupt { .. } | Request::Ignore => return Ok(Outcome::Silent),
        }
        Ok(Outcome::Done)
    }

    fn put_entry(&self, stat: &Stat, attributes: Duration, out: &mut Vec<u8>) {
        EntryOut {
            nodeid: stat.id,
            generation: 0,
            entry_valid: self.ttl.as_secs(),
            entry_valid_nsec: self.ttl.subsec_nanos(),
            attr_valid: attributes.as_secs(),
            attr_valid_nsec: attributes.subsec_nanos(),
            attr: listing::attr(stat),
        }
        .put(out);
    }
}

impl Duties for Session {
    fn slots(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.slots().enumerate()
    }

    fn is_late(&self, index: usize, begun: Begun) {
        let slot = self.slots.get(index).and_then(OnceLock::get);
        let tid = slot.map_or(0, |slot| slot.tid.load(Ordering::Relaxed));
        let node = self.adapter.node(begun.node);
        let late = LateCallback {
            path: node.map(|node| node.path()).unwrap_or_default(),
            callback: running_on(tid).unwrap_or_else(|| RunningCallback {
                op: begun.op,
                thread: service_name(index),
                tid,
            }),
            limit: self.limit.after(),
        };
        limit::tell(self.hook.as_ref(), &late);
    }

    fn again(&self, unique: u64) {
        // Only the channel that has the request accepts it.
        for slot in self.slots() {
            if slot.channel.reply_error(unique, sys::EAGAIN).is_ok() {
                return;
            }
        }
    }

    fn relieve(&self) -> Option<Duration> {
        self.notifier.relieve(Instant::now())
    }
}

fn put_attr(stat: &Stat, valid: Duration, out: &mut Vec<u8>) {
    AttrOut {
        attr_valid: valid.as_secs(),
        attr_valid_nsec: valid.subsec_nanos(),
        dummy: 0,
        attr: listing::attr(stat),
    }
    .put(out);
}

/// What fits into the client's `room`, or for one without room how much he needs.
fn put_sized(bytes: &[u8], room: u32, out: &mut Vec<u8>) -> Result<(), i32> {
    match room {
        0 => GetxattrOut {
            size: u32::try_from(bytes.len()).map_err(|_| sys::ERANGE)?,
            padding: 0,
        }
        .put(out),
        room if bytes.len() > room as usize => return Err(sys::ERANGE),
        _ => out.extend_from_slice(bytes),
    }
    Ok(())
}

fn put_open(fh: u64, open_flags: u32, out: &mut Vec<u8>) {
    OpenOut {
        fh,
        open_flags,
        backing_id: 0,
    }
    .put(out);
}
