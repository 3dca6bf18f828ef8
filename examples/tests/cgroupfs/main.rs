//! cgroupfs beside the machine's own cgroup2: one list of cases runs on both and must tell the same, but for what a FUSE
//! mount cannot carry and what this tree leaves out, which is listed and must really differ.

mod attributes;
mod dirs;
mod files;
mod places;
mod polls;
mod script;
mod tasks;
mod tree;
mod values;

use std::collections::HashMap;

use script::{Case, Script};

/// How sure a difference is.
#[derive(PartialEq)]
enum Differs {
    Always,
    /// It depends on the kernel, or on how its cgroup2 is used.
    Perhaps,
}
use Differs::{Always, Perhaps};

/// The cases in which the two may tell different things.
#[rustfmt::skip]
const KNOWN: &[(&str, Differs, &str)] = &[
    // What a FUSE mount cannot carry.
    ("c.handle.kind", Always, "the handles of a FUSE mount are FUSE's"),
    ("c.mmap.private", Always, "the kernel maps its page cache, and does not ask"),
    ("c.removed.seek", Always, "lseek never reaches the server"),
    ("c.removed.write.empty", Always, "a write of nothing never reaches the server"),
    ("c.rmdir.working", Always, "to FUSE a removed directory is gone if nobody has it open, though somebody works in it"),
    ("c.sendfile", Perhaps, "the kernel sends its page cache, as far as the size says: 0"),
    ("c.statfs.magic", Always, "the type of a FUSE mount is FUSE"),
    // What kernfs here does better, or as other kernels.
    ("c.inotify.removed", Perhaps, "newer kernels tell that the watched directory itself was removed"),
    ("c.readdir.last", Always, "offsets are our own: 64 bits, of which each is one entry's"),
    ("c.readdir.offsets", Always, "offsets are our own: they are never used again"),
    ("c.rmdir.directory.nlink", Perhaps, "newer kernels show no links of what was removed"),
    ("c.seek.far", Perhaps, "older kernels let kernfs seek to 2^31-1 only"),
    // What this tree leaves out.
    ("c.controllers", Perhaps, "there are no controllers"),
    ("c.kill.dead", Always, "nobody is killed for being on a list"),
    ("c.list.all", Always, "no files but those of the core"),
    ("c.stat.text", Perhaps, "there are no controllers to be counted"),
];

fn cases() -> impl Iterator<Item = &'static Case> {
    let all = [
        dirs::CASES,
        files::CASES,
        values::CASES,
        attributes::CASES,
        polls::CASES,
        tasks::CASES,
    ];
    all.into_iter().flatten()
}

#[test]
fn the_list_names_each_case_once() {
    let mut seen = HashMap::new();
    for (id, _) in cases() {
        assert!(id.starts_with("c."), "{id}");
        assert_eq!(seen.insert(*id, ()), None, "{id}");
    }
    assert!(seen.len() >= 60, "{}", seen.len());
    for (id, _, why) in KNOWN {
        assert!(seen.contains_key(id) && !why.is_empty(), "{id}");
    }
}

/// Runs all cases, each in a fresh group below `base`.
fn run(base: &places::Base) -> HashMap<&'static str, String> {
    cases()
        .map(|&(id, case)| {
            let mut script = Script::new(base.fresh(id));
            case(&mut script);
            let log = script.end();
            base.clear();
            (id, log)
        })
        .collect()
}

#[test]
fn the_tree_tells_what_cgroup2_tells() {
    places::with_both(|real, ours| {
        let (real, ours) = (run(real), run(ours));
        let known: HashMap<_, _> = KNOWN
            .iter()
            .map(|(id, sure, why)| (*id, (sure, why)))
            .collect();
        let (mut wrong, mut same) = (0, 0);
        for (id, _) in cases() {
            let (theirs, own) = (&real[id], &ours[id]);
            match (theirs == own, known.get(id)) {
                (true, None | Some((Perhaps, _))) => same += 1,
                (true, Some((Always, why))) => {
                    wrong += 1;
                    println!("{id} is listed as different ({why}), and is not:\n{own}");
                }
                (false, Some((_, why))) => println!("{id} differs: {why}"),
                (false, None) => {
                    wrong += 1;
                    println!("{id}:\n{}", script::difference(theirs, own));
                }
            }
        }
        println!("{same} cases tell the same");
        assert_eq!(wrong, 0, "see above");
    });
}
