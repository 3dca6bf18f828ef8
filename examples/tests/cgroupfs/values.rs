//! The values: what may be written, what it does.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use rustix::io::write;

use crate::script::{Case, Script};

const DEPTH: &str = "cgroup.max.depth";
const DESCENDANTS: &str = "cgroup.max.descendants";
const FREEZE: &str = "cgroup.freeze";
const TYPE: &str = "cgroup.type";
const HIDDEN: [&str; 3] = ["cpu.pressure", "io.pressure", "memory.pressure"];

const LIMITS: &[&str] = &[
    "0",
    "5",
    "5\n",
    " 6 ",
    "+7",
    "0x10",
    "010",
    "max",
    "max\n",
    " max",
    "2147483647",
    "1\n\n",
    "3\0junk",
];
const NO_LIMITS: &[&str] = &[
    "",
    "\n",
    "-1",
    "5 5",
    "5x",
    "Max",
    "maximum",
    "0x",
    "08",
    "2147483648",
    "99999999999",
    "99999999999999999999",
    "-99999999999",
    "é",
    "\0",
];

pub(crate) const CASES: &[Case] = &[
    ("c.controllers", |s| s.read("cgroup.controllers")),
    ("c.max.depth.values", |s| s.values(DEPTH, LIMITS)),
    ("c.max.depth.bad", |s| s.values(DEPTH, NO_LIMITS)),
    ("c.max.depth.mkdir", |s| {
        s.write(DEPTH, "1");
        s.mkdir("a");
        s.mkdir("a/b");
        s.mkdir("c");
        s.write(DEPTH, "2");
        s.mkdir("a/b");
        s.mkdir("a/b/c");
        s.write(DEPTH, "0");
        s.mkdir("d");
        s.rmdir("a/b");
        s.write(DEPTH, "max");
        s.mkdir("d");
        // The inner limit, the outer one being none.
        s.write("a/cgroup.max.depth", "0");
        s.mkdir("a/b");
    }),
    ("c.max.descendants.values", |s| {
        s.values(DESCENDANTS, LIMITS)
    }),
    ("c.max.descendants.bad", |s| {
        s.values(DESCENDANTS, NO_LIMITS)
    }),
    ("c.max.descendants.mkdir", |s| {
        s.write(DESCENDANTS, "2");
        s.mkdir("a");
        s.mkdir("a/b");
        s.mkdir("a/c");
        s.mkdir("c");
        s.rmdir("a/b");
        s.mkdir("c");
        s.write(DESCENDANTS, "0");
        s.mkdir("d");
        s.rmdir("c");
        s.mkdir("c");
    }),
    ("c.max.exists", |s| {
        s.mkdir("a");
        s.write(DESCENDANTS, "1");
        s.mkdir("a");
        s.mkdir("b\n");
    }),
    ("c.freeze.values", |s| {
        s.values(FREEZE, &["1", "0", "1\n", " 0", "01", "0x0", "+1", "-0"])
    }),
    ("c.freeze.bad", |s| {
        s.values(
            FREEZE,
            &["2", "-1", "x", "", "\n", "1 1", "max", "4294967296"],
        )
    }),
    ("c.freeze.events", |s| {
        s.read("cgroup.events");
        for value in ["1", "1", "0", "0"] {
            s.write(FREEZE, value);
            s.read("cgroup.events");
        }
    }),
    ("c.freeze.below", |s| {
        s.mkdir("a");
        s.mkdir("a/b");
        for (name, value) in [("", "1"), ("a/", "1"), ("", "0"), ("a/", "0")] {
            s.write(&format!("{name}cgroup.freeze"), value);
            for name in ["", "a/", "a/b/"] {
                s.read(&format!("{name}cgroup.freeze"));
                s.read(&format!("{name}cgroup.events"));
            }
        }
    }),
    ("c.freeze.born", |s| {
        s.write(FREEZE, "1");
        s.mkdir("a");
        s.read("a/cgroup.events");
        s.read("a/cgroup.freeze");
        s.write("a/cgroup.freeze", "0");
        s.read("a/cgroup.events");
        s.write(FREEZE, "0");
        s.read("a/cgroup.events");
    }),
    ("c.kill.values", |s| {
        for value in ["1", "1\n", " 0x1 ", "0", "2", "-1", "x", "", "\n"] {
            s.write("cgroup.kill", value);
        }
    }),
    ("c.kill.threaded", |s| {
        s.write(TYPE, "threaded");
        s.write("cgroup.kill", "x");
        s.write("cgroup.kill", "1");
    }),
    ("c.stat.descendants", |s| {
        let count = |s: &mut Script| {
            let text = fs::read_to_string(s.at("cgroup.stat"));
            let line = text.map(|text| text.lines().next().map(str::to_owned));
            s.told("first line", line);
        };
        count(s);
        s.mkdir("a");
        s.mkdir("a/b");
        s.mkdir("c");
        count(s);
        s.rmdir("a/b");
        count(s);
    }),
    ("c.stat.text", |s| s.read("cgroup.stat")),
    ("c.type.values", |s| {
        s.values(
            TYPE,
            &[
                "",
                "\n",
                "domain",
                "domain threaded",
                "x",
                "threadedx",
                "threaded\n",
            ],
        );
        s.values(TYPE, &["threaded", "domain"]);
    }),
    ("c.type.family", |s| {
        for name in ["a", "a/b", "c", "c/d"] {
            s.mkdir(name);
        }
        let show = |s: &mut Script| {
            for name in ["", "a/", "a/b/", "c/", "c/d/"] {
                s.read(&format!("{name}cgroup.type"));
                s.read(&format!("{name}cgroup.procs"));
                s.read(&format!("{name}cgroup.threads"));
            }
        };
        show(s);
        s.write("a/cgroup.type", "threaded");
        show(s);
        s.write("c/d/cgroup.type", "threaded");
        s.write("a/b/cgroup.type", "threaded");
        s.write("c/cgroup.type", "threaded");
        show(s);
        s.write("c/d/cgroup.type", "threaded");
        show(s);
        for name in ["a/b", "a", "c/d", "c"] {
            s.rmdir(name);
        }
        s.read(TYPE);
    }),
    ("c.pressure.values", |s| {
        s.values("cgroup.pressure", &["0", "0", "1", "1\n", " 0x1", "00"])
    }),
    ("c.pressure.bad", |s| {
        s.values("cgroup.pressure", &["2", "-1", "x", "", "\n", "0 1"])
    }),
    ("c.pressure.text", |s| {
        HIDDEN.iter().for_each(|name| s.read(name))
    }),
    ("c.pressure.write", |s| {
        for text in ["x", "1", "full", "some 1", "", "\n"] {
            HIDDEN.iter().for_each(|name| s.write(name, text));
        }
    }),
    ("c.pressure.hide", |s| {
        s.list("");
        s.write("cgroup.pressure", "0");
        s.list("");
        for name in HIDDEN {
            s.read(name);
            s.stat(name);
        }
        s.mkdir("cpu.pressure");
        s.write("cgroup.pressure", "1");
        s.list("");
        HIDDEN.iter().for_each(|name| s.read(name));
    }),
    ("c.pressure.inode", |s| {
        let of = |s: &Script| {
            let file = fs::metadata(s.at("cpu.pressure"))
                .map(|stat| stat.ino())
                .ok();
            let dir = fs::metadata(s.at("")).and_then(|stat| stat.modified()).ok();
            (file, dir)
        };
        let _known = s.file(""); // the kernel may forget the times of what nobody has open
        let before = of(s);
        s.write("cgroup.pressure", "0");
        s.write("cgroup.pressure", "1");
        s.saw("the same inode, and time of the directory", before == of(s));
    }),
    ("c.pressure.dead", |s| {
        let file = s.both("io.pressure");
        s.next("it", &file, 4);
        s.write("cgroup.pressure", "0");
        s.next("it", &file, 4);
        s.next_at("it", &file, 4, 0);
        s.told("write", write(&file, b"x"));
        s.ready("hidden", &file);
        s.write("cgroup.pressure", "1");
        s.next_at("it", &file, 4, 0);
        s.told("write", write(&file, b"x"));
        s.ready("shown again", &file);
        let file = s.both("io.pressure");
        s.next("a new one", &file, 4);
    }),
    ("c.pressure.poll", |s| {
        let file = s.both("io.pressure");
        s.ready("new", &file);
        s.next("it", &file, 4);
        s.ready("read", &file);
    }),
];
