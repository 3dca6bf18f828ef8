//! The layer for daemon authors: atomics, binary attributes, groups, objects, events.

mod common;

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicI8, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Checked, errno, file, text};
use kernfs::{
    Action, Errno, Group, Memory, Object, OpenFlags, Root, RootFlags, Uevents, bin, ro, ro_atomic,
    rw_atomic, wo,
};

#[test]
fn atomics_are_attributes() {
    static SIGNED: AtomicI8 = AtomicI8::new(-5);
    let root = Root::new();
    let flag = Arc::new(AtomicBool::new(true));
    let signed = root.attr("signed", rw_atomic(&SIGNED)).unwrap();
    let flags = root.attr("flag", rw_atomic(Arc::clone(&flag))).unwrap();
    let counter = root
        .attr("counter", ro_atomic(Arc::new(AtomicU64::new(u64::MAX))))
        .unwrap();
    let (signed, flags) = (
        signed.open(OpenFlags::RDWR).unwrap(),
        flags.open(OpenFlags::RDWR).unwrap(),
    );
    assert_eq!(text(&signed), "-5\n");
    signed.write_at(b"-128\n", 0).unwrap();
    assert_eq!(errno(signed.write_at(b"128", 0)), Errno::EINVAL);
    assert_eq!(SIGNED.load(SeqCst), -128);
    assert_eq!(text(&flags), "1\n");
    for (input, value) in [
        ("0", false),
        ("on", true),
        ("n", false),
        ("Y\n", true),
        ("off", false),
    ] {
        flags.write_at(input.as_bytes(), 0).unwrap();
        assert_eq!(flag.load(SeqCst), value, "{input}");
    }
    assert_eq!(errno(flags.write_at(b"2", 0)), Errno::EINVAL);
    assert_eq!(
        text(&counter.open(OpenFlags::READ).unwrap()),
        "18446744073709551615\n"
    );
    assert_eq!((counter.mode(), counter.size()), (0o444, 4096));
}

#[test]
fn binary_attributes_have_an_end() {
    let root = Root::with_flags(RootFlags::NONE);
    let data = Arc::new(Mutex::new(vec![7_u8; 164]));
    let (source, target) = (Arc::clone(&data), Arc::clone(&data));
    let whole = bin(164)
        .read(move |buffer, offset| {
            let from = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(&source.lock().unwrap()[from..from + buffer.len()]);
            Ok(buffer.len())
        })
        .write(move |data, offset| {
            let from = usize::try_from(offset).unwrap();
            target.lock().unwrap()[from..from + data.len()].copy_from_slice(data);
            Ok(data.len())
        });
    let f = root.attr("f", whole).unwrap();
    assert_eq!((f.mode(), f.size()), (0o644, 164));
    let open = f.open(OpenFlags::RDWR).unwrap();
    let mut buffer = [0; 1000];
    assert_eq!(open.read_at(&mut buffer, 0).unwrap(), 164);
    assert_eq!(open.read_at(&mut buffer, 160).unwrap(), 4);
    assert_eq!(open.read_at(&mut buffer, 164).unwrap(), 0);
    assert_eq!(open.read_at(&mut buffer, 1 << 40).unwrap(), 0);
    assert_eq!(open.write_at(&[9; 10], 160).unwrap(), 4, "cut at the end");
    assert_eq!(errno(open.write_at(b"x", 164)), Errno::EFBIG);
    assert_eq!(open.write_at(b"", 164).unwrap(), 0);
    assert_eq!(data.lock().unwrap()[159..], [7, 9, 9, 9, 9]);
    // Without an end, and half of the callbacks.
    let endless = root
        .attr("endless", bin(0).read(|buffer, _| Ok(buffer.len())))
        .unwrap();
    assert_eq!(endless.mode(), 0o444);
    let open = endless.open(OpenFlags::RDWR).unwrap();
    assert_eq!(open.read_at(&mut buffer, 1 << 40).unwrap(), 1000);
    assert_eq!(errno(open.write_at(b"x", 0)), Errno::EINVAL);
    assert_eq!(errno(open.mmap(0, 1, OpenFlags::READ)), Errno::ENODEV);
    assert_eq!(
        root.attr("w", bin(1).write(|d, _| Ok(d.len())))
            .unwrap()
            .mode(),
        0o200
    );
}

#[test]
fn binary_attributes_can_be_mapped() {
    let root = Root::new();
    let memory = Memory::new(5000).unwrap();
    let f = root.attr("f", bin(5000).memory(memory.clone())).unwrap();
    let open = f.open(OpenFlags::RDWR).unwrap();
    open.write_at(b"abc", 4998)
        .unwrap_or_else(|e| panic!("{e}"));
    let mapping = open.mmap(4096, 4096, OpenFlags::RDWR).unwrap();
    let mut tail = [0; 8];
    assert_eq!(mapping.read_at(&mut tail, 902).unwrap(), 2);
    assert_eq!(&tail[..2], b"ab", "cut at the end of the file");
    assert_eq!(errno(mapping.write_at(b"xyz", 902)), Errno::EFBIG);
    assert_eq!(errno(open.mmap(4096, 8192, OpenFlags::READ)), Errno::EINVAL);
    memory.write_at(b"zz", 4998).unwrap();
    assert_eq!(open.read_at(&mut tail, 4998).unwrap(), 2);
    assert_eq!(&tail[..2], b"zz");
}

#[test]
fn a_group_shows_what_is_visible_and_all_of_it_or_nothing() {
    let root = Root::new();
    let level = Arc::new(AtomicUsize::new(1));
    let (asked, shown) = (Arc::clone(&level), Arc::clone(&level));
    let group = || {
        let (asked, shown) = (Arc::clone(&asked), Arc::clone(&shown));
        Group::named("g")
            .attr("a", ro(|| 1))
            .attr("b", ro(|| 2))
            .visible(move |name, mode| match (name, asked.load(SeqCst)) {
                ("b", 1) => 0,
                ("b", _) => 0o400,
                _ => mode,
            })
            .when(move || shown.load(SeqCst) > 0)
    };
    let handle = root.create_group(group()).unwrap();
    let names = || {
        let dir = root.find("g")?.as_dir()?;
        let mut names: Vec<_> = dir.entries().map(|e| e.name).collect();
        names.sort();
        Some(names.concat())
    };
    assert_eq!(names().unwrap(), b"a");
    let old = file(root.walk("g/a")).open(OpenFlags::READ).unwrap();
    level.store(2, SeqCst);
    handle.update().unwrap();
    assert_eq!(names().unwrap(), b"ab");
    assert_eq!(root.walk("g/b").unwrap().mode(), 0o400);
    assert_eq!(
        errno(old.read_at(&mut [0; 8], 0)),
        Errno::ENODEV,
        "made anew"
    );
    level.store(0, SeqCst);
    handle.update().unwrap();
    assert!(names().is_none() && handle.dir().is_none());
    level.store(1, SeqCst);
    handle.update().unwrap();
    assert_eq!(names().unwrap(), b"a");
    assert_eq!(errno(root.create_group(group())), Errno::EEXIST);
    handle.remove().unwrap();
    assert!(names().is_none());
    // Without a directory: what was made before the error goes away again, what was there stays.
    root.attr("b", ro(|| "old")).unwrap();
    let flat = Group::new()
        .attr("a", ro(|| 1))
        .attr("b", ro(|| 2))
        .attr("c", ro(|| 3));
    assert_eq!(errno(root.create_group(flat)), Errno::EEXIST);
    assert_eq!(root.entries().count(), 1);
}

#[test]
fn a_group_that_is_updated_from_its_own_attribute_is_told() {
    let root = Root::new();
    let slot: Arc<Mutex<Option<kernfs::GroupHandle>>> = Arc::default();
    let inside = Arc::clone(&slot);
    let group = Group::named("g").attr(
        "update",
        wo(move |_: u8| inside.lock().unwrap().as_ref().unwrap().update()),
    );
    *slot.lock().unwrap() = Some(root.create_group(group).unwrap());
    let open = file(root.walk("g/update")).open(OpenFlags::WRITE).unwrap();
    assert_eq!(errno(open.write_at(b"1", 0)), Errno::EDEADLK);
    assert_eq!(
        errno(open.write_at(b"1", 0)),
        Errno::EDEADLK,
        "it is still there"
    );
    slot.lock().unwrap().take();
}

#[test]
fn an_object_takes_its_directory_along_after_the_drain() {
    let root = Root::new();
    let (ops, log) = Checked::new();
    let object = Object::new(&root, "a/b").unwrap();
    assert_eq!(object.name(), b"a!b");
    let f = object.create_file("f", 0o644, 0, ops).unwrap();
    let open = f.open(OpenFlags::RDWR).unwrap();
    assert!(object.notify("f") && !object.notify("none"));
    assert_eq!(errno(Object::new(&root, "a!b")), Errno::EEXIST);
    thread::scope(|s| {
        s.spawn(|| while open.write_at(b"x", 0).is_ok() {});
        while log.get(|l| &l.calls) < 10 {
            thread::yield_now();
        }
        drop(object);
        log.poison();
    });
    drop(open);
    assert_eq!((log.get(|l| &l.faults), log.get(|l| &l.alive)), (0, 0));
    assert!(root.find("a!b").is_none());
}

/// S18: an attribute that removes its own object.
#[test]
fn an_object_may_be_dropped_by_its_own_attribute() {
    let root = Root::new();
    let slot: Arc<Mutex<Option<Object>>> = Arc::default();
    let own = Arc::clone(&slot);
    let object = Object::new(&root, "o").unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let (end, top) = (Arc::clone(&ended), root.dir());
    let kick = wo(move |_: u8| {
        drop(own.lock().unwrap().take());
        // The removal waits for this callback.
        end.store(top.find("o").is_some(), SeqCst);
    });
    let f = object.attr("kick", kick).unwrap();
    *slot.lock().unwrap() = Some(object);
    let open = f.open(OpenFlags::WRITE).unwrap();
    open.write_at(b"1", 0).unwrap();
    assert!(ended.load(SeqCst), "removed while the callback ran");
    while root.find("o").is_some() {
        thread::yield_now();
    }
    assert_eq!(errno(open.write_at(b"1", 0)), Errno::ENODEV);
}

#[test]
fn events_are_told_to_all_and_numbered() {
    let root = Root::new();
    let uevents = Uevents::new();
    assert_eq!(
        uevents.send(Action::Change, b"/x", "s", &[]).unwrap(),
        1,
        "nobody listens"
    );
    let (one, two) = (uevents.subscribe().unwrap(), uevents.subscribe().unwrap());
    {
        let silent = Object::new(&root, "silent").unwrap();
        assert_eq!(errno(silent.announce()), Errno::EINVAL);
        let _never_announced = Object::new(&root, "n").unwrap().with_uevents(&uevents, "s");
        let object = Object::new(&root, "fan0")
            .unwrap()
            .with_uevents(&uevents, "cooling");
        object.announce().unwrap();
        object
            .uevent(Action::Change, &[("SPEED", "7"), ("EMPTY", "")])
            .unwrap();
    }
    drop(two);
    for (number, action) in [(2, "add"), (3, "change"), (4, "remove")] {
        let event = one.recv().unwrap();
        assert_eq!(event.head(), format!("{action}@/fan0"));
        let fixed = [
            ("ACTION", action),
            ("DEVPATH", "/fan0"),
            ("SUBSYSTEM", "cooling"),
        ];
        let all: Vec<_> = event.variables().collect();
        assert_eq!(all[..3], fixed);
        assert_eq!(all.last().unwrap(), &("SEQNUM", &*format!("{number}")));
        assert_eq!(event.get("SPEED"), (number == 3).then_some("7"));
        assert_eq!(event.get("EMPTY"), (number == 3).then_some(""));
    }
    let long = "x".repeat(2048);
    assert_eq!(
        errno(uevents.send(Action::Add, b"/x", "s", &[("LONG", &long)])),
        Errno::ENOMEM
    );
    let many = [("V", "1"); 61];
    assert_eq!(
        errno(uevents.send(Action::Add, b"/x", "s", &many)),
        Errno::ENOMEM
    );
    for bad in [("", "1"), ("A=B", "1"), ("A", "1\0SEQNUM=1"), ("A\0B", "1")] {
        assert_eq!(
            errno(uevents.send(Action::Add, b"/x", "s", &[bad])),
            Errno::EINVAL
        );
    }
    assert_eq!(
        uevents.send(Action::Add, b"/x", "s", &many[..60]).unwrap(),
        5
    );
    assert_eq!(
        one.recv().unwrap().get("SEQNUM"),
        Some("5"),
        "what failed took no number"
    );
    drop(uevents);
    assert_eq!(
        one.recv().unwrap_err().kind(),
        std::io::ErrorKind::UnexpectedEof
    );
}

/// Bytes that wait in a socket at most; the same at its other end.
fn send_buffer(socket: &impl AsFd) -> u64 {
    let (mut bytes, mut len) = (0_i32, 4);
    // SAFETY: one integer, and its size, that live over the call.
    let ret = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw mut bytes).cast(),
            &raw mut len,
        )
    };
    assert_eq!(ret, 0);
    u64::try_from(bytes).unwrap()
}

#[test]
fn a_subscriber_who_does_not_read_holds_nobody_up() {
    let uevents = Uevents::new();
    let (slow, fast) = (uevents.subscribe().unwrap(), uevents.subscribe().unwrap());
    // More than fit into a socket of this machine, where each takes 512 bytes at the least.
    let events = 5000.max(send_buffer(&slow) / 512 + 1);
    for n in 1..=events {
        uevents.send(Action::Change, b"/x", "s", &[]).unwrap();
        assert_eq!(fast.recv().unwrap().get("SEQNUM"), Some(&*n.to_string()));
    }
    slow.set_nonblocking(true).unwrap();
    let mut last = 0;
    while let Ok(event) = slow.recv() {
        let number: u64 = event.get("SEQNUM").unwrap().parse().unwrap();
        assert_eq!(number, last + 1, "the first ones, without a gap");
        last = number;
    }
    assert!(last > 0 && last < events, "{last}");
    uevents.send(Action::Change, b"/x", "s", &[]).unwrap();
    assert_eq!(
        slow.recv().unwrap().get("SEQNUM"),
        Some(&*(events + 1).to_string()),
        "a gap tells"
    );
}
