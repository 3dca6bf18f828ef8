//! Changes: poll, epoll, inotify.

use std::fs::File;
use std::mem::MaybeUninit;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::fs::{SeekFrom, seek};

use crate::script::{Case, Script, ready};

const EVENTS: &str = "cgroup.events";
const FREEZE: &str = "cgroup.freeze";
/// POLLPRI.
const PRI: u16 = 2;

pub(crate) const CASES: &[Case] = &[
    ("c.events.poll", |s| {
        let file = s.file(EVENTS);
        s.ready("new", &file);
        s.next("it", &file, 100);
        s.ready("read", &file);
        s.write(FREEZE, "1");
        wait(&file);
        s.ready("changed", &file);
        s.told("seek", seek(&file, SeekFrom::Start(0)));
        s.ready("seeked", &file);
        s.next("it", &file, 100);
        s.ready("read", &file);
        s.write(FREEZE, "1");
        s.ready("written the same", &file);
    }),
    ("c.events.poll.end", |s| {
        // A read at the end shows nothing, so it has seen nothing.
        let file = s.file(EVENTS);
        s.next("it", &file, 100);
        s.write(FREEZE, "1");
        wait(&file);
        s.next("it", &file, 100);
        s.ready("read at the end", &file);
        s.next_at("it", &file, 100, 5);
        s.ready("read elsewhere", &file);
    }),
    ("c.events.poll.each", |s| {
        let (a, b) = (s.file(EVENTS), s.file(EVENTS));
        s.next("a", &a, 100);
        s.next("b", &b, 100);
        s.write(FREEZE, "1");
        wait(&a);
        wait(&b);
        s.next_at("a", &a, 100, 0);
        s.ready("a", &a);
        s.ready("b", &b);
    }),
    ("c.events.poll.masks", |s| {
        let file = s.file(EVENTS);
        for events in [0, 1, 2, 4, 8, 0x10, 0x40, 0x100] {
            let flags = ready(&file, events, false);
            s.saw(&format!("{events:#x}"), format_args!("{flags:#x}"));
        }
    }),
    ("c.events.last", |s| {
        // Changes that come too fast are told together, but the last one is told.
        let file = s.file(EVENTS);
        s.next_at("it", &file, 100, 0);
        let freeze = s.both(FREEZE);
        for n in 0..101 {
            let value: &[u8] = if n % 2 == 0 { b"1" } else { b"0" };
            rustix::io::write(&freeze, value).expect("a switch");
        }
        let told = std::iter::repeat_with(|| {
            wait(&file);
            let mut text = [0; 100];
            let len = rustix::io::pread(&file, &mut text[..], 0).expect("there");
            String::from_utf8_lossy(&text[..len]).into_owned()
        });
        let last = told.into_iter().find(|text| text.contains("frozen 1"));
        s.saw("last", last);
    }),
    ("c.events.poll.below", |s| {
        s.mkdir("a");
        let file = s.file("a/cgroup.events");
        s.next("it", &file, 100);
        s.write(FREEZE, "1");
        wait(&file);
        s.next_at("it", &file, 100, 0);
    }),
    ("c.procs.poll", |s| {
        for name in [
            "cgroup.procs",
            "cgroup.max.depth",
            "cgroup.freeze",
            "cgroup.type",
        ] {
            let file = s.file(name);
            s.ready(name, &file);
            s.next(name, &file, 1000);
            s.ready(name, &file);
        }
    }),
    ("c.events.epoll", |s| {
        let file = s.file(EVENTS);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("descriptors");
        let edge = EventFlags::ET | EventFlags::PRI;
        let answer = epoll::add(&epoll, &file, EventData::new_u64(1), edge);
        s.told("add", answer);
        next_epoll(s, &epoll, true);
        next_epoll(s, &epoll, false);
        s.next_at("it", &file, 100, 0);
        next_epoll(s, &epoll, false);
        s.write(FREEZE, "1");
        next_epoll(s, &epoll, true);
        next_epoll(s, &epoll, false);
    }),
    ("c.inotify.file", |s| {
        let (queue, _) = watch(s, EVENTS, WatchFlags::MODIFY);
        s.write(FREEZE, "1");
        next_inotify(s, &queue, 1);
    }),
    ("c.inotify.directory", |s| {
        let (queue, _) = watch(s, "", WatchFlags::CREATE | WatchFlags::DELETE);
        s.mkdir("a");
        next_inotify(s, &queue, 1);
        s.rmdir("a");
        next_inotify(s, &queue, 1);
    }),
    ("c.inotify.directory.changes", |s| {
        let (queue, _) = watch(s, "", WatchFlags::MODIFY);
        let _file = s.file(EVENTS); // the kernel tells of what somebody knows
        s.write(FREEZE, "1");
        next_inotify(s, &queue, 2);
    }),
    ("c.inotify.write", |s| {
        let (queue, _) = watch(s, FREEZE, WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE);
        s.write(FREEZE, "0");
        next_inotify(s, &queue, 2);
    }),
    ("c.inotify.attributes", |s| {
        use std::os::unix::fs::PermissionsExt as _;
        let (queue, _) = watch(s, FREEZE, WatchFlags::ATTRIB);
        let mode = std::fs::Permissions::from_mode(0o600);
        s.told("chmod", std::fs::set_permissions(s.at(FREEZE), mode));
        next_inotify(s, &queue, 1);
    }),
    ("c.inotify.removed", |s| {
        s.mkdir("a");
        let (queue, _) = watch(s, "a", WatchFlags::DELETE_SELF);
        let (other, _) = watch(s, "", WatchFlags::DELETE);
        s.rmdir("a");
        next_inotify(s, &other, 1);
        s.ready("the queue of the removed one", &queue);
    }),
];

/// Sleeps until it changes.
fn wait(file: &File) {
    ready(file, PRI, true);
}

fn next_epoll(s: &mut Script, epoll: &std::os::fd::OwnedFd, sleep: bool) {
    let mut events = Vec::with_capacity(4);
    let now = rustix::event::Timespec::default();
    let timeout = if sleep { None } else { Some(&now) };
    let answer = epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), timeout);
    let flags: Vec<_> = events
        .iter()
        .map(|event: &epoll::Event| format!("{:#x}", { event.flags }.bits()))
        .collect();
    s.told(&format!("events {flags:?}"), answer);
}

fn watch(s: &mut Script, name: &str, flags: WatchFlags) -> (std::os::fd::OwnedFd, i32) {
    let queue = init(CreateFlags::CLOEXEC).expect("descriptors");
    let watch = add_watch(&queue, s.at(name), flags).expect("there");
    (queue, watch)
}

/// Sleeps for so many events.
fn next_inotify(s: &mut Script, queue: &std::os::fd::OwnedFd, count: usize) {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(queue, &mut buffer);
    let mut events: Vec<_> = (0..count)
        .map(|_| {
            let event = reader.next().expect("an event");
            let name = event
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            format!("{:?} {name:?}", event.events())
        })
        .collect();
    events.sort();
    s.saw("heard", events);
}
