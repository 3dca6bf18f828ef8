//! Opening, and what is refused to everybody.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::calls::{self, ok, open, said};
use crate::place::Place;
use crate::table::{Case, one};

/// An attribute that nobody may store, one that can be stored, one that nobody may show.
const RO: &str = "kfb0/operstate";
const RW: &str = "kfb0/mtu";
const WO: &str = "kfb0/bridge/flush";

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

/// With another mode for the time of `what`.
fn with_mode(place: &Place<'_>, path: &str, mode: u32, what: fn(&Path) -> String) -> String {
    let path = place.dev(path);
    let before = fs::metadata(&path).expect("there").mode() & 0o7777;
    chmod(&path, mode);
    let seen = what(&path);
    chmod(&path, before);
    seen
}

pub(crate) const CASES: &[Case] = &[
    ("s.open.ro.wr", |place| {
        one(ok(open(&place.dev(RO), libc::O_WRONLY)))
    }),
    ("s.open.ro.rdwr", |place| {
        one(ok(open(&place.dev(RO), libc::O_RDWR)))
    }),
    ("s.open.wo.rd", |place| {
        one(ok(open(&place.dev(WO), libc::O_RDONLY)))
    }),
    ("x.open.wo.wr", |place| {
        one(ok(open(&place.dev(WO), libc::O_WRONLY)))
    }),
    ("s.open.chmod", |place| {
        one(with_mode(place, RO, 0o644, |path| {
            ok(open(path, libc::O_WRONLY))
        }))
    }),
    ("s.open.chmod0", |place| {
        one(with_mode(place, RW, 0, |path| {
            ok(open(path, libc::O_RDONLY))
        }))
    }),
    ("s.open.access", |place| {
        one(calls::access(&place.dev(RO), libc::W_OK).is_ok())
    }),
    ("x.open.exec", |place| {
        let path = place.dev(RW);
        let access = ok(calls::access(&path, libc::X_OK));
        let run = said(std::process::Command::new(&path).status());
        one(format!("{access} {run}"))
    }),
    ("s.open.direct", |place| {
        one(ok(open(&place.dev(RW), libc::O_RDONLY | libc::O_DIRECT)))
    }),
    ("s.open.trunc", |place| {
        let opened = ok(open(&place.dev(RW), libc::O_WRONLY | libc::O_TRUNC));
        place.owner.settle();
        let size = fs::metadata(place.dev(RW)).expect("there").size();
        one(format!("{opened} {size}"))
    }),
    ("x.open.trunc.read", |place| {
        // What a shell does before it writes: the value stays.
        drop(open(&place.dev(RW), libc::O_WRONLY | libc::O_TRUNC));
        place.owner.settle();
        one(said(
            fs::read_to_string(place.dev(RW)).map(|text| !text.is_empty()),
        ))
    }),
    ("s.open.creat", |place| {
        let flags = libc::O_WRONLY | libc::O_CREAT;
        one(ok(open(&place.dev("kfb0/new"), flags)))
    }),
    ("x.open.creat.old", |place| {
        let (create, exclusive) = (libc::O_WRONLY | libc::O_CREAT, libc::O_EXCL);
        let old = ok(open(&place.dev(RW), create));
        let only_new = ok(open(&place.dev(RW), create | exclusive));
        let dir = ok(open(&place.dev("kfb0"), create));
        one(format!("{old} {only_new} {dir}"))
    }),
    ("x.open.tmpfile", |place| {
        let flags = libc::O_WRONLY | libc::O_TMPFILE;
        one(ok(open(&place.dev("kfb0"), flags)))
    }),
    ("x.open.dir", |place| {
        let write = ok(open(&place.dev("kfb0"), libc::O_WRONLY));
        let file = ok(open(&place.dev(RW), libc::O_RDONLY | libc::O_DIRECTORY));
        let dir = open(&place.dev("kfb0"), libc::O_RDONLY);
        let read = calls::bytes(dir.and_then(|dir| calls::read(&dir, 16)));
        one(format!("{write} {file} {read}"))
    }),
    ("s.mkdir", |place| {
        one(ok(fs::create_dir(place.dev("kfb0/new"))))
    }),
    ("x.mkdir.old", |place| {
        let over = [RW, "kfb0/power", "kfb0/nothing/new"];
        one(over
            .map(|path| ok(fs::create_dir(place.dev(path))))
            .join(" "))
    }),
    ("s.rmdir", |place| {
        one(ok(fs::remove_dir(place.dev("kfb0/power"))))
    }),
    ("s.rmdir.link", |place| {
        one(ok(fs::remove_dir(place.dev("kfv0/master"))))
    }),
    ("x.rmdir.others", |place| {
        let paths = [RW, "kfb0/nothing", "kfb0/."];
        one(paths
            .map(|path| ok(fs::remove_dir(place.dev(path))))
            .join(" "))
    }),
    ("s.unlink", |place| one(ok(fs::remove_file(place.dev(RW))))),
    ("s.unlink.link", |place| {
        one(ok(fs::remove_file(place.dev("kfv0/master"))))
    }),
    ("x.unlink.others", |place| {
        let paths = ["kfb0/power", "kfb0/nothing"];
        one(paths
            .map(|path| ok(fs::remove_file(place.dev(path))))
            .join(" "))
    }),
    ("s.rename", |place| {
        one(ok(fs::rename(place.dev(RW), place.dev("kfb0/mtu2"))))
    }),
    ("x.rename.others", |place| {
        let pairs = [
            (RW, RW),
            (RW, RO),
            ("kfb0/power", "kfb0/strength"),
            ("kfb0/power", "kfb0/power/below"),
            ("kfb0/power", RW),
            (RW, "kfb0/power"),
            (RW, "kfv0/mtu2"),
            ("kfb0/nothing", "kfb0/new"),
        ];
        one(pairs
            .map(|(from, to)| ok(fs::rename(place.dev(from), place.dev(to))))
            .join(" "))
    }),
    ("x.rename.flags", |place| {
        let flags = [
            libc::RENAME_NOREPLACE,
            libc::RENAME_EXCHANGE,
            libc::RENAME_WHITEOUT,
        ];
        let (from, to) = (place.dev(RW), place.dev(RO));
        let over = flags.map(|flags| ok(calls::renameat2(&from, &to, flags)));
        let free = ok(calls::renameat2(
            &from,
            &place.dev("kfb0/mtu2"),
            libc::RENAME_NOREPLACE,
        ));
        one(format!("{} {free}", over.join(" ")))
    }),
    ("s.symlink", |place| {
        let new = place.dev("kfb0/new");
        let symlink = ok(std::os::unix::fs::symlink("mtu", &new));
        let link = ok(fs::hard_link(place.dev(RW), &new));
        one(format!("{symlink} {link} {}", ok(calls::mknod(&new))))
    }),
];
