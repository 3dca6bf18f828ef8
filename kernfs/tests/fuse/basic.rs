//! Ordinary tools on an ordinary tree.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use kernfs::{Root, ro};

use crate::support::{Setup, have_nobody, shell, shell_ok, skip, text, with_mount};

fn car(root: &Root) {
    text(root, "speed", "30");
    let engine = root.create_dir("engine", 0o755).expect("new");
    text(&engine, "state", "running");
    engine.attr("rpm", ro(|| 900)).expect("new");
    let current = root.create_dir("current", 0o755).expect("new");
    current.create_link("engine", &engine).expect("new");
}

#[test]
fn cat_ls_readlink_find_and_echo() {
    with_mount(car, |setup: &Setup| {
        let at = &setup.path;
        assert_eq!(
            shell_ok(at, "cat speed engine/state engine/rpm"),
            "30\nrunning\n900\n"
        );
        assert_eq!(shell_ok(at, "readlink current/engine"), "../engine\n");
        assert_eq!(shell_ok(at, "cat current/engine/rpm"), "900\n");
        assert_eq!(
            shell_ok(at, "find . | sort"),
            ".\n./current\n./current/engine\n./engine\n./engine/rpm\n./engine/state\n./speed\n"
        );
        assert_eq!(shell_ok(at, "echo 50 > speed && cat speed"), "50\n");
        assert_eq!(shell_ok(at, "echo 60 >> speed && head -c 1 speed"), "6");
        assert_eq!(
            shell_ok(at, "tac speed; wc -c < speed; dd if=speed bs=1 status=none"),
            "60\n3\n60\n"
        );
        let list = shell_ok(at, "ls -lR");
        assert!(list.contains("-rw-r--r-- 1 root root 4096 "), "{list}");
        assert!(list.contains("-r--r--r-- 1 root root 4096 "), "{list}");
        assert!(list.contains(" engine -> ../engine\n"), "{list}");
    });
}

#[test]
fn stat_shows_what_the_tree_says() {
    with_mount(car, |setup| {
        let root = fs::metadata(&setup.path).expect("stat");
        assert_eq!((root.ino(), root.nlink(), root.mode()), (1, 4, 0o040_555));
        let node = setup.root.walk("engine/rpm").expect("there");
        let file = fs::metadata(setup.at("engine/rpm")).expect("stat");
        assert_eq!(file.ino(), node.id());
        assert_eq!(
            (file.size(), file.nlink(), file.mode()),
            (4096, 1, 0o100_444)
        );
        let link = fs::symlink_metadata(setup.at("current/engine")).expect("lstat");
        assert_eq!((link.mode(), link.size()), (0o120_777, 0));
    });
}

#[test]
fn a_new_directory_is_counted_at_once() {
    with_mount(car, |setup| {
        let links = || fs::metadata(&setup.path).expect("stat").nlink();
        assert_eq!(links(), 4);
        let new = setup.root.create_dir("new", 0o755).expect("new");
        setup.mount.flush();
        assert_eq!(links(), 5);
        new.remove().expect("there");
        setup.mount.flush();
        assert_eq!(links(), 4);
    });
}

#[test]
fn a_missing_name_appears_when_it_is_made() {
    with_mount(car, |setup| {
        assert!(!setup.at("new").exists());
        text(&setup.root, "new", "1");
        assert_eq!(setup.read("new"), "1\n"); // without a flush: missing names are not cached
    });
}

#[test]
fn a_listing_of_a_thousand_entries_is_complete() {
    let names: BTreeSet<String> = (0..1000).map(|n| format!("entry-{n}")).collect();
    let made = names.clone();
    with_mount(
        |root| {
            for name in &made {
                text(root, name, "x");
            }
        },
        |setup| {
            let entries = fs::read_dir(&setup.path).expect("opendir");
            let list: Vec<String> = entries
                .map(|entry| entry.expect("an entry").file_name())
                .map(|name| name.into_string().expect("ASCII"))
                .collect();
            assert_eq!(list.len(), names.len(), "each once");
            assert_eq!(list.into_iter().collect::<BTreeSet<_>>(), names);
            assert_eq!(shell_ok(&setup.path, "ls -U -a | wc -l"), "1002\n");
        },
    );
}

#[test]
fn long_names_and_odd_bytes() {
    // The kernel takes names above NAME_MAX from a file system that does: up to 1024 bytes, since Linux 6.14 more.
    let (long, longer) = ("n".repeat(1000), "n".repeat(1500));
    with_mount(
        |root| {
            text(root, &long, "long");
            text(root, &longer, "longer");
            text(root, "a b\t\u{fc}", "odd");
        },
        |setup| {
            assert_eq!(setup.read(&long), "long\n");
            match fs::read_to_string(setup.at(&longer)) {
                Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => {
                    skip("a name of 1500 bytes: an older kernel");
                }
                read => assert_eq!(read.expect("readable"), "longer\n"),
            }
            assert_eq!(setup.read("a b\t\u{fc}"), "odd\n");
        },
    );
}

#[test]
fn the_mount_shows_its_type_and_options() {
    with_mount(car, |setup| {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").expect("proc");
        let path = setup.path.to_str().expect("ASCII");
        let line = table
            .lines()
            .find(|line| line.contains(path))
            .expect("listed");
        for word in [
            " fuse.kernfs kernfs ",
            "nosuid",
            "nodev",
            "noexec",
            "allow_other",
            "default_permissions",
        ] {
            assert!(line.contains(word), "{word}: {line}");
        }
        assert!(setup.mount.is_mounted());
        assert_eq!(setup.mount.path(), setup.path);
    });
}

#[test]
fn other_users_may_read_but_not_write() {
    if !have_nobody() {
        return;
    }
    with_mount(car, |setup| {
        let output = shell(
            &setup.path,
            "setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'cat speed; echo 1 > speed'",
        );
        assert_eq!(String::from_utf8_lossy(&output.stdout), "30\n");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Permission denied"));
        assert_eq!(setup.read("speed"), "30\n");
    });
}
