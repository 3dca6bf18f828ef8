//! What stat, links and directories show.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::calls::{self, Entry, ok, said};
use crate::table::{Case, one};

pub(crate) const CASES: &[Case] = &[
    ("s.stat.attr", |place| {
        let stat = fs::symlink_metadata(place.dev("kfb0/mtu")).expect("there");
        let (mode, nlink) = (stat.mode(), stat.nlink());
        one(format!(
            "{mode:o} {nlink} {} {}",
            stat.size(),
            stat.blocks()
        ))
    }),
    ("s.stat.dir", |place| {
        let stat = fs::symlink_metadata(place.dev("kfb0")).expect("there");
        one(format!("{:o} {}", stat.mode(), stat.size()))
    }),
    ("s.stat.nlink", |place| {
        let dir = place.dev("kfb0");
        let subdirs = fs::read_dir(&dir).expect("a directory").filter(|entry| {
            let kind = entry.as_ref().expect("an entry").file_type();
            kind.expect("a type").is_dir()
        });
        let links = fs::symlink_metadata(&dir).expect("there").nlink();
        one(links == subdirs.count() as u64 + 2)
    }),
    ("s.stat.link", |place| {
        let stat = fs::symlink_metadata(place.dev("kfv0/master")).expect("there");
        one(format!(
            "{:o} {} {}",
            stat.mode(),
            stat.size(),
            stat.nlink()
        ))
    }),
    // The same tree again: every mode, size and type.
    ("x.stat.all", |place| {
        let mut all = Vec::new();
        walk(&place.dev("kfv0"), &mut all);
        one(all.join(","))
    }),
    ("s.readlink", |place| {
        one(said(
            fs::read_link(place.dev("kfv0/master")).map(|to| to.display().to_string()),
        ))
    }),
    ("s.readlink.short", |place| {
        one(said(calls::readlink_short(&place.dev("kfv0/master"), 4)))
    }),
    ("x.readlink.up", |place| {
        let texts = ["kfv0/subsystem", "kfb0/brif/kfv0", "../../../class/net/lo"];
        let texts = texts.map(|link| fs::read_link(place.dev(link)).expect("a link"));
        one(texts.map(|text| text.display().to_string()).join(" "))
    }),
    ("s.link.nofollow", |place| {
        let flags = libc::O_RDONLY | libc::O_NOFOLLOW;
        one(ok(calls::open(&place.dev("kfv0/master"), flags)))
    }),
    ("s.link.follow", |place| {
        let stat = fs::metadata(place.dev("kfv0/master")).expect("there");
        one(stat.is_dir())
    }),
    ("x.link.through", |place| {
        one(said(
            fs::read_to_string(place.class().join("kfv0/master/ifindex"))
                .map(|text| format!("{text:?}")),
        ))
    }),
    ("s.readdir", |place| {
        let dir = calls::open(&place.class(), libc::O_RDONLY).expect("a directory");
        let entries = calls::getdents(&dir).expect("a directory");
        let (dots, rest) = entries.split_at(2);
        let names = |entries: &[Entry]| {
            let names = entries.iter().map(|entry| entry.name.clone());
            names.collect::<Vec<_>>()
        };
        let mut all = names(rest);
        all.sort();
        let types: BTreeSet<u8> = rest.iter().map(|entry| entry.kind).collect();
        let inodes = rest.iter().all(|entry| {
            let stat = fs::symlink_metadata(place.class().join(&entry.name));
            stat.expect("there").ino() == entry.ino
        });
        vec![
            ("dots", format!("{:?}", names(dots))),
            ("names", format!("{all:?}")),
            (
                "mono",
                entries.is_sorted_by_key(|entry| entry.next).to_string(),
            ),
            ("last", rest.last().expect("lo").next.to_string()),
            ("types", format!("{types:?}")),
            ("inodes", inodes.to_string()),
        ]
    }),
    ("x.readdir.seek", |place| {
        // From the middle on: what had been behind it, no more and no less.
        let dir = calls::open(&place.dev("kfb0"), libc::O_RDONLY).expect("a directory");
        let all = calls::getdents(&dir).expect("a directory");
        let (before, behind) = all.split_at(all.len() / 2);
        let to = before.last().expect("there").next.cast_unsigned();
        let place = std::io::Seek::seek(&mut &dir, std::io::SeekFrom::Start(to));
        let again = calls::getdents(&dir).expect("a directory");
        let same = again
            .iter()
            .map(|entry| &entry.name)
            .eq(behind.iter().map(|entry| &entry.name));
        one(format!("{} {same}", place.is_ok_and(|at| at == to)))
    }),
    ("s.statfs", |place| {
        let (sizes, kind) = calls::statfs(&place.dev("kfb0")).expect("there");
        vec![("", sizes), ("type", kind)]
    }),
    ("x.lookup", |place| {
        let names = ["nothing", "mtu/x", "mtu/", "mtu/..", "../kfb0/./mtu", ""];
        let seen = names.map(|name| ok(fs::metadata(place.dev("kfb0").join(name))));
        one(seen.join(" "))
    }),
    ("x.lookup.long", |place| {
        // Below an open directory, so that only the name counts.
        let dir = calls::open(&place.dev("kfb0"), libc::O_PATH).expect("there");
        let seen = [255, 256, 1024, 1025, 4095, 4096]
            .map(|len| ok(calls::openat(&dir, &"x".repeat(len), libc::O_RDONLY)));
        one(seen.join(" "))
    }),
];

fn walk(path: &std::path::Path, all: &mut Vec<String>) {
    let mut entries: Vec<_> = fs::read_dir(path)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        let stat = fs::symlink_metadata(&path).expect("there");
        let name = path.file_name().expect("a name").display().to_string();
        let owner = (stat.uid(), stat.gid(), stat.nlink());
        all.push(format!(
            "{name}:{:o}:{}:{owner:?}",
            stat.mode(),
            stat.size()
        ));
        if stat.is_dir() {
            walk(&path, all);
        }
    }
}
