//! One list of system calls, on the machine's sysfs and on our mount of a tree of the same shape: what they say is
//! the same, or a known difference.
//!
//! The real objects are network devices in a network namespace of the test's thread, with a sysfs mounted in its own
//! mount namespace: nothing is seen outside. Needs root and /dev/fuse, says SKIP without;
//! `KERNFS_FUSE_TESTS=require` makes that a failure. Where the kernel makes no bridge, veth or dummy, or lets nobody
//! mount sysfs, it says SKIP in any case.

#[path = "../fuse/support.rs"]
#[expect(dead_code, reason = "most of it is for the other tests of the mount")]
mod support;

mod calls;
mod cases_attrs;
mod cases_bin;
mod cases_io;
mod cases_names;
mod cases_owner;
mod cases_refused;
mod netlink;
mod place;
mod real;
mod shape;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use place::Place;
use real::Devices;
use shape::Shape;
use table::{Case, DIFFERENCES, IDS, SKIPPED};

fn cases() -> impl Iterator<Item = &'static Case> {
    let all = [
        cases_names::CASES,
        cases_refused::CASES,
        cases_io::CASES,
        cases_attrs::CASES,
        cases_bin::CASES,
        cases_owner::CASES,
    ];
    all.into_iter().flatten()
}

/// What all cases saw, by id.
fn run(place: &Place<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (id, case) in cases() {
        for (part, seen) in case(place) {
            let id = match part {
                "" => (*id).to_owned(),
                part => format!("{id}.{part}"),
            };
            assert!(all.insert(id.clone(), seen).is_none(), "{id} twice");
        }
    }
    all
}

/// Taken away with all that is mounted below it.
struct Tmpfs<'p>(&'p Path);

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = support::unmount(self.0, libc::MNT_DETACH);
    }
}

/// The three places where a tree is mounted, in a new directory.
fn places(dir: &Path) -> [PathBuf; 3] {
    ["top", "again", "other"].map(|name| {
        let path = dir.join(name);
        fs::create_dir_all(&path).expect("a fresh directory");
        path
    })
}

#[test]
fn our_mount_answers_as_sysfs_does() {
    support::with_dir(|dir| {
        if let Err(error) = real::enter_network_namespace() {
            let why = format!("unshare(CLONE_NEWNET): {error}");
            let required = std::env::var_os("KERNFS_FUSE_TESTS").is_some_and(|v| v == "require");
            assert!(!required, "{why}");
            return skip(&why);
        }
        support::mount_tmpfs(dir);
        let _tmpfs = Tmpfs(dir);
        let [top, again, other] = &places(&dir.join("real"));
        let mount = || {
            real::mount(top)?;
            real::mount(again)?;
            real::mount_other(other)
        };
        let devices = Devices::new().and_then(|devices| match mount() {
            Ok(other) => Ok((devices, other)),
            Err(error) => Err(format!("mount -t sysfs: {error}")),
        });
        let (owner, _other) = match &devices {
            Ok((devices, other)) => (devices, other),
            Err(why) => return skip(why),
        };
        let bins = &real::bins(top);
        let mut shape = Shape::copy(top, other, bins);
        let real = run(&Place {
            top,
            again,
            other,
            bins,
            owner,
        });
        let [top, again, other] = &places(&dir.join("ours"));
        shape.mount(top, again, other);
        let ours = run(&Place {
            top,
            again,
            other,
            bins,
            owner: &shape,
        });
        shape.unmount();
        compare(&real, &ours);
    });
}

fn skip(why: &str) {
    support::skip(&format!("kernfs sysfs test: {why}"));
}

/// Fails with what is not equal and not known, and what is known and equal.
fn compare(real: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) {
    assert!(real.keys().eq(ours.keys()));
    let mut wrong = Vec::new();
    for (id, real) in real {
        let ours = &ours[id];
        if real == SKIPPED {
            skip(&format!("{id}: nothing on this machine for it"));
            continue;
        }
        let known = DIFFERENCES.iter().find(|known| known.id == id);
        match known {
            None if real != ours => wrong.push(format!("{id}\n  sysfs: {real}\n  ours:  {ours}")),
            Some(known) if real == ours && !known.varies => {
                wrong.push(format!(
                    "{id}: no difference any more, take it out of the table"
                ));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_id_has_a_case_and_every_difference_a_row() {
    let ids: BTreeSet<&str> = cases().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), cases().count(), "an id twice");
    for id in IDS.split_whitespace() {
        assert!(ids.contains(id), "{id} has no case");
    }
    let documented = include_str!("../../src/fuse/mod.rs");
    for known in DIFFERENCES {
        let of_a_case = ids.iter().any(|id| {
            known
                .id
                .strip_prefix(id)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        assert!(of_a_case, "{} is the id of no case", known.id);
        let row = format!("//! | {} |", known.row);
        assert!(
            documented.contains(&row),
            "kernfs::fuse has no row {}",
            known.row
        );
    }
}
