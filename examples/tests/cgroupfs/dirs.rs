//! Directories: making and removing them, what is refused, what is left of removed ones.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::process::Command;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, linkat, mkdirat, mknodat, openat,
    renameat, renameat_with, symlinkat, unlinkat,
};

use crate::script::{COMMON, Case, Script, names};

pub(crate) const CASES: &[Case] = &[
    ("c.list.common", |s| {
        let here = names(&s.at("")).map(|here| COMMON.map(|name| here.iter().any(|n| n == name)));
        s.told("names of both", here);
    }),
    ("c.list.all", |s| {
        let names = names(&s.at(""));
        s.told("names", names);
    }),
    ("c.list.modes", |s| {
        COMMON.iter().for_each(|name| s.stat(name))
    }),
    ("c.mkdir.mode", |s| {
        for (name, mode) in [
            ("a", 0o755),
            ("b", 0o700),
            ("c", 0),
            ("d", 0o1777),
            ("e", 0o6755),
        ] {
            s.mkdir_mode(name, mode);
            s.stat(name);
        }
    }),
    ("c.mkdir.exists", |s| {
        s.mkdir("a");
        s.mkdir("a");
        s.mkdir("cgroup.procs");
        s.mkdir("cgroup.procs/a");
        s.mkdir("b/a");
        s.list("");
    }),
    ("c.mkdir.newline", |s| s.mkdir("a\nb")),
    ("c.mkdir.long", |s| {
        let name = "n".repeat(255);
        s.mkdir(&name);
        s.stat(&name);
        s.rmdir(&name);
    }),
    ("c.mkdir.longer", |s| {
        for len in [256, 1000, 4000] {
            let name = "n".repeat(len);
            s.mkdir(&name);
            s.list("");
            s.rmdir(&name);
        }
    }),
    ("c.mkdir.longest", |s| {
        // The path is longer than PATH_MAX, but not the name.
        let dir = s.file("");
        for len in [4095, 4096] {
            let name = "n".repeat(len);
            let answer = mkdirat(&dir, name.as_str(), Mode::RWXU);
            s.told(&format!("mkdirat {len}"), answer);
            let answer = unlinkat(&dir, name.as_str(), AtFlags::REMOVEDIR);
            s.told(&format!("unlinkat {len}"), answer);
        }
    }),
    ("c.mkdir.together", |s| {
        s.mkdir("a");
        s.list("a");
        s.read("a/cgroup.events");
    }),
    ("c.rmdir.children", |s| {
        s.mkdir("a");
        s.mkdir("a/b");
        s.rmdir("a");
        s.rmdir("a/b");
        s.rmdir("a");
        s.stat("a");
    }),
    ("c.rmdir.names", |s| {
        s.mkdir("a");
        s.rmdir("a/.");
        s.rmdir("a/..");
        s.rmdir("cgroup.procs");
        s.rmdir("b");
        s.rmdir("a/");
        s.rmdir("a");
    }),
    ("c.rmdir.again", |s| {
        s.mkdir("a");
        let first = fs::metadata(s.at("a")).map(|stat| stat.ino()).ok();
        s.rmdir("a");
        s.mkdir("a");
        let second = fs::metadata(s.at("a")).map(|stat| stat.ino()).ok();
        s.saw("a larger inode number", first < second);
    }),
    ("c.rmdir.directory", |s| {
        s.mkdir("a");
        let dir = s.file("a");
        s.rmdir("a");
        let answer = openat(&dir, "cgroup.procs", OFlags::RDONLY, Mode::empty());
        s.told("openat", answer.map(drop));
        let answer = openat(&dir, "..", OFlags::RDONLY, Mode::empty());
        s.told("openat ..", answer.map(drop));
        s.told("mkdirat", mkdirat(&dir, "b", Mode::RWXU));
        s.told("stat", dir.metadata().map(|stat| stat.is_dir()));
    }),
    ("c.rmdir.directory.list", |s| {
        s.mkdir("a");
        let dir = s.file("a");
        s.rmdir("a");
        let answer = entries(&dir).map(|entries| entries.len());
        s.told("getdents", answer);
    }),
    ("c.rmdir.directory.nlink", |s| {
        s.mkdir("a");
        let dir = s.file("a");
        let file = s.file("a/cgroup.procs");
        s.rmdir("a");
        s.told("directory", dir.metadata().map(|stat| stat.nlink()));
        s.told("file", file.metadata().map(|stat| stat.nlink()));
    }),
    ("c.rmdir.proc", |s| {
        s.mkdir("a");
        let dir = s.file("a");
        s.rmdir("a");
        let link = fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd()));
        let link = link.map(|link| link.to_string_lossy().ends_with("/a (deleted)"));
        s.told("its path says that it is deleted", link);
    }),
    ("c.rmdir.working", |s| {
        // By a process that works in it.
        s.mkdir("a");
        let script =
            "rmdir ../a; ls; mkdir b; cat cgroup.procs; cat ../cgroup.freeze; cd ..; ls -d a";
        let output = Command::new("sh")
            .args(["-c", script])
            .current_dir(s.at("a"))
            .env("LC_ALL", "C")
            .output();
        let answer = output.map(|output| {
            let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).ok());
            (text, output.status.success())
        });
        s.told("sh", answer);
    }),
    ("c.unlink", |s| {
        s.told("file", fs::remove_file(s.at("cgroup.procs")));
        s.mkdir("a");
        s.told("directory", fs::remove_file(s.at("a")));
        s.told("nothing", fs::remove_file(s.at("b")));
    }),
    ("c.rename", |s| {
        s.mkdir("a");
        s.mkdir("b");
        for (from, to) in [
            ("a", "c"),
            ("a", "b"),
            ("a", "b/c"),
            ("cgroup.procs", "x"),
            ("cgroup.procs", "cgroup.stat"),
            ("cgroup.procs", "a"),
            ("x", "y"),
        ] {
            let answer = renameat(CWD, s.at(from), CWD, s.at(to));
            s.told(&format!("rename {from} {to}"), answer);
        }
    }),
    ("c.rename.self", |s| {
        s.mkdir("a");
        s.told("directory", fs::rename(s.at("a"), s.at("a")));
        let file = s.at("cgroup.procs");
        s.told("file", fs::rename(&file, &file));
        s.told("below itself", fs::rename(s.at("a"), s.at("a/b")));
    }),
    ("c.rename.flags", |s| {
        s.mkdir("a");
        s.mkdir("b");
        for flags in [
            RenameFlags::NOREPLACE,
            RenameFlags::EXCHANGE,
            RenameFlags::WHITEOUT,
        ] {
            for to in ["b", "c"] {
                let answer = renameat_with(CWD, s.at("a"), CWD, s.at(to), flags);
                s.told(&format!("{flags:?} {to}"), answer);
            }
        }
    }),
    ("c.link", |s| {
        let answer = linkat(CWD, s.at("cgroup.procs"), CWD, s.at("x"), AtFlags::empty());
        s.told("new", answer);
        let to = s.at("cgroup.stat");
        let answer = linkat(CWD, s.at("cgroup.procs"), CWD, to, AtFlags::empty());
        s.told("taken", answer);
    }),
    ("c.symlink", |s| {
        s.told("new", symlinkat("target", CWD, s.at("x")));
        s.told("taken", symlinkat("target", CWD, s.at("cgroup.procs")));
    }),
    ("c.mknod", |s| {
        for kind in [
            FileType::RegularFile,
            FileType::Fifo,
            FileType::CharacterDevice,
        ] {
            let answer = mknodat(CWD, s.at("x"), kind, Mode::RWXU, 0);
            s.told(&format!("{kind:?}"), answer);
        }
    }),
    ("c.readdir.dots", |s| {
        let dir = s.file("");
        let dots = entries(&dir).map(|mut entries| {
            entries.retain(|entry| entry.name.chars().all(|c| c == '.'));
            entries
                .into_iter()
                .map(|entry| entry.name)
                .collect::<Vec<_>>()
        });
        s.told("dots", dots);
    }),
    ("c.readdir.kinds", |s| {
        s.mkdir("a");
        let dir = s.file("");
        let kinds = entries(&dir).map(|mut entries| {
            entries.retain(|entry| entry.name == "a" || COMMON.contains(&entry.name.as_str()));
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            entries
                .into_iter()
                .map(|entry| (entry.name, entry.kind))
                .collect::<Vec<_>>()
        });
        s.told("kinds", kinds);
    }),
    ("c.readdir.inodes", |s| {
        s.mkdir("a");
        let entries = fs::read_dir(s.at("")).map(|entries| {
            let mut entries = entries.flatten();
            entries.all(|entry| entry.metadata().is_ok_and(|stat| stat.ino() == entry.ino()))
        });
        s.told("as stat shows them", entries);
    }),
    ("c.readdir.last", |s| {
        let dir = s.file("");
        let last = entries(&dir).map(|entries| entries.last().map(|entry| entry.offset));
        s.told("offset behind the last", last);
    }),
    ("c.readdir.offsets", |s| {
        s.mkdir("a");
        let of = |s: &Script| {
            let found = entries(&s.file(""));
            found.map(|all| {
                all.into_iter()
                    .find(|entry| entry.name == "a")
                    .map(|a| a.offset)
            })
        };
        let first = of(s).ok();
        s.rmdir("a");
        s.mkdir("a");
        s.saw("the same for the same name", first == of(s).ok());
    }),
    ("c.readdir.removed", |s| {
        // Each name that is there all the time comes once, also when others go between two calls.
        for name in ["a", "b", "c", "d"] {
            s.mkdir(name);
        }
        let dir = s.file("");
        let mut buffer = [MaybeUninit::uninit(); 128];
        let mut raw = RawDir::new(&dir, &mut buffer);
        let mut seen = Vec::new();
        let mut removed = false;
        while let Some(entry) = raw.next() {
            let Ok(entry) = entry else { break };
            let name = entry.file_name().to_string_lossy().into_owned();
            if !removed {
                removed = true;
                let _ = fs::remove_dir(s.at("b"));
                let _ = fs::remove_dir(s.at("d"));
            }
            if ["a", "c"].contains(&name.as_str()) {
                seen.push(name);
            }
        }
        seen.sort();
        seen.dedup(); // the kernel may show one twice
        s.saw("seen", seen);
    }),
];

/// What getdents(2) told of an entry.
struct Entry {
    name: String,
    kind: FileType,
    offset: u64,
}

fn entries(dir: &fs::File) -> rustix::io::Result<Vec<Entry>> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut raw = RawDir::new(dir, &mut buffer);
    let mut entries = Vec::new();
    while let Some(entry) = raw.next() {
        let entry = entry?;
        entries.push(Entry {
            name: entry.file_name().to_string_lossy().into_owned(),
            kind: entry.file_type(),
            offset: entry.next_entry_cookie(),
        });
    }
    Ok(entries)
}
