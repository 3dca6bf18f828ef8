//! What the owner of the tree does, as it is seen from outside: renames, removals, name spaces.

use std::fs;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use crate::calls::{self, Inotify, bytes, getdents, ok, open, openat, read, said};
use crate::place::{CLASS, Place, SPARE};
use crate::table::{Case, Seen, one};

fn ino(path: &Path) -> u64 {
    fs::metadata(path).expect("there").ino()
}

fn names(dir: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    names.sort();
    format!("{names:?}")
}

pub(crate) const CASES: &[Case] = &[
    ("s.link.rename", |place| {
        let link = place.dev("kfv0/master");
        place.owner.rename("kfb0", "kfb9");
        let text = said(fs::read_link(&link).map(|text| text.display().to_string()));
        let follows = ok(fs::metadata(&link));
        place.owner.rename("kfb9", "kfb0");
        vec![("", text), ("follows", follows)]
    }),
    ("x.link.rename.class", |place| {
        place.owner.rename("kfb0", "kfb9");
        let class = names(&place.class());
        let text = fs::read_link(place.class().join("kfb9"));
        place.owner.rename("kfb9", "kfb0");
        one(format!(
            "{class} {}",
            said(text.map(|text| text.display().to_string()))
        ))
    }),
    ("s.rename.dir", rename_dir),
    ("s.gone", gone),
    ("s.remake", |place| {
        let mtu = place.dev(SPARE).join("mtu");
        let old = open(&mtu, libc::O_RDONLY).expect("mode 0644");
        let before = ino(&mtu);
        place.owner.remove(SPARE);
        place.owner.make(SPARE);
        place.owner.settle();
        let new = ino(&mtu) != before;
        let dead = bytes(read(&old, 100));
        one(format!("{new} {dead} {}", bytes(fs::read(&mtu))))
    }),
    ("x.gone.cwd", |place| {
        // From a directory that is gone: where it was, and up again.
        let dir = open(&place.dev(SPARE).join("power"), libc::O_RDONLY).expect("a directory");
        place.owner.remove(SPARE);
        place.owner.settle();
        let seen = vec![
            ("up", ok(openat(&dir, "..", libc::O_RDONLY))),
            ("here", ok(openat(&dir, ".", libc::O_RDONLY))),
            (
                "create",
                ok(openat(&dir, "new", libc::O_CREAT | libc::O_WRONLY)),
            ),
            ("name", calls::name_of(&dir)),
        ];
        place.owner.make(SPARE);
        place.owner.settle();
        seen
    }),
    ("x.gone.link", |place| {
        let link = place.class().join(SPARE);
        let path = open(&link, libc::O_PATH | libc::O_NOFOLLOW).expect("a link");
        place.owner.remove(SPARE);
        place.owner.settle();
        let gone = ok(fs::read_link(&link));
        let stat = ok(path.metadata());
        place.owner.make(SPARE);
        place.owner.settle();
        one(format!("{gone} {stat}"))
    }),
    ("x.gone.half_read", |place| {
        // A listing that was begun goes on, and ends.
        let dir = open(&place.dev(SPARE), libc::O_RDONLY).expect("a directory");
        let first = getdents(&dir).expect("a directory").len() > 2;
        (&dir).rewind().expect("0 is a place");
        place.owner.remove(SPARE);
        place.owner.settle();
        let rest = said(getdents(&dir).map(|entries| entries.len()));
        place.owner.make(SPARE);
        place.owner.settle();
        one(format!("{first} {rest}"))
    }),
    ("x.inotify.owner", |place| {
        let watch = Inotify::new(&[
            &place.dev(SPARE).join("mtu"),
            &place.dev(SPARE),
            &place.dev(""),
        ]);
        place.owner.remove(SPARE);
        place.owner.settle();
        place.owner.make(SPARE);
        place.owner.settle();
        one(watch.seen())
    }),
    ("s.ns", |place| {
        let stat = |top: &Path, path: &str| fs::metadata(top.join(path)).expect("there");
        let (here, again, other) = (place.top, place.again, place.other);
        let foreign = fs::metadata(other.join(CLASS).join("kfv0"));
        let same_dev = |a: &Path, b: &Path| stat(a, "").dev() == stat(b, "").dev();
        vec![
            ("same_ns_same_dev", same_dev(here, again).to_string()),
            ("same_dev", same_dev(here, other).to_string()),
            (
                "same_ino",
                (stat(here, CLASS).ino() == stat(other, CLASS).ino()).to_string(),
            ),
            ("a", names(&here.join(CLASS))),
            ("again", names(&again.join(CLASS))),
            ("b", names(&other.join(CLASS))),
            ("stat_foreign", ok(foreign)),
        ]
    }),
];

fn rename_dir(place: &Place<'_>) -> Seen {
    let (old, new) = (place.dev("kfv1"), place.dev("kfv7"));
    let file = open(&old.join("mtu"), libc::O_RDONLY).expect("mode 0644");
    let dir = open(&old, libc::O_RDONLY).expect("a directory");
    let before = ino(&old.join("mtu"));
    place.owner.rename("kfv1", "kfv7");
    place.owner.settle();
    let same_text = read(&file, 100).ok() == fs::read(new.join("mtu")).ok();
    let seen = vec![
        ("old", ok(fs::metadata(old.join("mtu")))),
        (
            "new_ino_same",
            (ino(&new.join("mtu")) == before).to_string(),
        ),
        ("fd", same_text.to_string()),
        (
            "dirfd",
            (dir.metadata().expect("open").ino() == ino(&new)).to_string(),
        ),
        ("openat", ok(openat(&dir, "mtu", libc::O_RDONLY))),
        ("procfd", calls::name_of(&dir)),
    ];
    place.owner.rename("kfv7", "kfv1");
    seen
}

/// Everything that can be open on what is removed.
fn gone(place: &Place<'_>) -> Seen {
    let mtu = place.dev(SPARE).join("mtu");
    calls::store(&mtu, "1300\n");
    let rw = || open(&mtu, libc::O_RDWR).expect("mode 0644");
    let (mut fresh, half, sleeping) = (rw(), rw(), rw());
    let path = open(&mtu, libc::O_PATH).expect("there");
    let dir = open(&place.dev(SPARE), libc::O_RDONLY).expect("a directory");
    read(&half, 1).expect("readable");
    read(&sleeping, 100).expect("readable");
    let (end, mut enough) = io::pipe().expect("descriptors are free");
    let looks = place.owner.looks();
    let sleeper = AtomicI32::new(0);
    thread::scope(|scope| {
        let poll = scope.spawn(|| {
            sleeper.store(calls::thread_id(), Ordering::Relaxed);
            calls::poll_until(&sleeping, &end)
        });
        // Asked, where that can be told, and then asleep.
        let asleep = || match sleeper.load(Ordering::Relaxed) {
            0 => false,
            id => calls::sleeps(id),
        };
        while !asleep() || looks.is_some() && place.owner.looks() == looks {
            thread::yield_now();
        }
        place.owner.remove(SPARE);
        place.owner.settle();
        // Not woken, or not yet asleep: the answer of a mount may be on its way.
        while !poll.is_finished() && !asleep() {
            thread::yield_now();
        }
        let slept = !poll.is_finished();
        enough.write_all(b"!").expect("room in the pipe");
        let woken = poll.join().expect("no panic");
        let left = bytes(read(&half, 100));
        let mut seen = vec![
            ("read", bytes(read(&fresh, 100))),
            ("pread", bytes(calls::pread(&fresh, 100, 0))),
            ("write", said(fresh.write(b"1400\n"))),
            ("lseek", said(fresh.rewind().map(|()| 0))),
            ("zero", bytes(read(&fresh, 0))),
            ("mmap", bytes(calls::mmap(&fresh, 4, libc::MAP_PRIVATE))),
            ("sync", ok(fresh.sync_all())),
            ("ioctl", said(calls::ioctl(&fresh))),
            (
                "buffered",
                format!("{left} then {}", bytes(read(&half, 100))),
            ),
            ("poll", calls::poll(&fresh)),
            ("sleeper", calls::poll_names(woken)),
            ("slept", slept.to_string()),
        ];
        let entries = getdents(&dir).map(|entries| {
            let names = entries.into_iter().map(|entry| entry.name);
            format!("{:?}", names.collect::<Vec<_>>())
        });
        let reopen = format!("/proc/self/fd/{}", fresh.as_raw_fd());
        let mode = fs::Permissions::from_mode(0o600);
        seen.extend([
            ("getdents", said(entries)),
            ("openat", ok(openat(&dir, "mtu", libc::O_RDONLY))),
            ("path", ok(open(&mtu, libc::O_RDONLY))),
            ("stat", ok(fs::metadata(&mtu))),
            ("opath_fstat", ok(path.metadata())),
            ("reopen", ok(open(Path::new(&reopen), libc::O_RDONLY))),
            ("nlink", said(fresh.metadata().map(|stat| stat.nlink()))),
            ("dir_nlink", said(dir.metadata().map(|stat| stat.nlink()))),
            ("fchmod", ok(fresh.set_permissions(mode))),
            (
                "fchmod_seen",
                said(fresh.metadata().map(|stat| format!("{:o}", stat.mode()))),
            ),
            ("name", calls::name_of(&fresh)),
        ]);
        place.owner.make(SPARE);
        place.owner.settle();
        seen
    })
}
