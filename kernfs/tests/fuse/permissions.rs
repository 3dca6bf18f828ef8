//! Who may do what: modes, owners, groups and the bits beside them, through the mount, for users who are not root.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use kernfs::fuse::Options;
use kernfs::{Creation, Dir, Node, Result, Root, RootFlags, SetAttr, SyscallCx, SyscallOps, rw};

use crate::support::{Setup, c_string, errno, text, with_options, with_root};
use crate::users::{User, bound_root, have_users, user};

const ALICE: User = user(1001, 2001);
const BOB: User = user(1002, 2002);

fn owned(by: User, mode: u32) -> SetAttr {
    SetAttr {
        mode: Some(mode),
        uid: Some(by.uid),
        gid: Some(by.gid),
        ..SetAttr::default()
    }
}

fn give(setup: &Setup, path: &str, to: User, mode: u32) {
    let node = setup.root.walk(path).expect("there");
    node.setattr(&owned(to, mode)).expect("any mode");
    setup.mount.flush();
    // The kernel goes by the group and the sticky bit that it knows.
    fs::metadata(setup.at(path)).expect("there");
}

/// A mount for tests of more than one user, where there are any.
fn with_users(root: Root, build: impl FnOnce(&Root) + Send, test: impl FnOnce(&Setup) + Send) {
    if have_users() {
        with_root(root, build, test);
    }
}

/// Whether it can be opened for reading, for writing, for both.
fn opens(path: &Path) -> [bool; 3] {
    [(true, false), (false, true), (true, true)].map(|(read, write)| {
        match OpenOptions::new().read(read).write(write).open(path) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EACCES));
                false
            }
        }
    })
}

const NONE: [bool; 3] = [false; 3];
const READ: [bool; 3] = [true, false, false];
const WRITE: [bool; 3] = [false, true, false];
const ALL: [bool; 3] = [true; 3];

#[test]
fn the_first_class_that_fits_decides_and_root_needs_a_capability() {
    with_users(
        Root::new(),
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let path = setup.at("speed");
            let by_group = user(BOB.uid, ALICE.gid);
            let also = BOB.also(ALICE.gid);
            // Of the owner, of his group, of who is in it beside his own, of others; of root, and of root without his
            // capability, who is one of the others.
            for (mode, owner, group, others, root, bound) in [
                (0o640, ALL, READ, NONE, ALL, NONE),
                (0o604, ALL, NONE, READ, ALL, READ),
                (0o264, WRITE, ALL, READ, ALL, READ),
                (0o046, NONE, READ, ALL, ALL, ALL),
                (0o420, READ, WRITE, NONE, ALL, NONE),
                (0o006, NONE, NONE, ALL, ALL, ALL),
                // The extra check stops root too: there is nobody who may.
                (0o444, READ, READ, READ, READ, READ),
                (0o200, WRITE, NONE, NONE, WRITE, NONE),
                (0, NONE, NONE, NONE, NONE, NONE),
            ] {
                give(setup, "speed", ALICE, mode);
                assert_eq!(ALICE.does(|| opens(&path)), owner, "{mode:o}: owner");
                assert_eq!(by_group.does(|| opens(&path)), group, "{mode:o}: group");
                assert_eq!(also.does(|| opens(&path)), group, "{mode:o}: also in it");
                assert_eq!(BOB.does(|| opens(&path)), others, "{mode:o}: others");
                assert_eq!(opens(&path), root, "{mode:o}: root");
                assert_eq!(bound_root(|| opens(&path)), bound, "{mode:o}: bound root");
            }
        },
    );
}

#[test]
fn without_the_extra_check_root_opens_what_nobody_may() {
    with_users(
        Root::with_flags(RootFlags::NONE),
        |root| {
            let value = rw(|| 1, |_: u32| {}).mode(0o444);
            root.attr("value", value).expect("new");
        },
        |setup| {
            let path = setup.at("value");
            assert_eq!(opens(&path), ALL);
            assert_eq!(bound_root(|| opens(&path)), READ);
            assert_eq!(BOB.does(|| opens(&path)), READ);
        },
    );
}

#[test]
fn what_was_opened_stays_open_when_the_mode_goes() {
    with_users(
        Root::new(),
        |root| drop(text(root, "speed", "30")),
        |setup| {
            give(setup, "speed", ALICE, 0o600);
            ALICE.does(|| {
                let file = File::open(setup.at("speed")).expect("his");
                give(setup, "speed", user(0, 0), 0o600);
                assert_eq!(io::read_to_string(&file).expect("open"), "30\n");
                assert_eq!(errno(File::open(setup.at("speed"))), libc::EACCES);
            });
        },
    );
}

#[test]
fn a_directory_is_searched_by_x_and_listed_by_r() {
    with_users(
        Root::new(),
        |root| {
            let dir = root.create_dir("dir", 0o755).expect("new");
            text(&dir, "speed", "30");
        },
        |setup| {
            let (dir, file) = (setup.at("dir"), setup.at("dir/speed"));
            // Seen by its name, opened, listed.
            let may = || {
                [
                    fs::metadata(&file).map(drop),
                    File::open(&file).map(drop),
                    fs::read_dir(&dir).map(drop),
                ]
                .map(|result| match result {
                    Ok(()) => true,
                    Err(error) => {
                        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
                        false
                    }
                })
            };
            let by_group = BOB.also(ALICE.gid);
            let (found, listed) = ([true, true, false], [false, false, true]);
            for (mode, owner, group, others) in [
                (0o750, ALL, ALL, NONE),
                (0o711, ALL, found, found),
                (0o744, ALL, listed, listed),
                (0o071, NONE, ALL, found),
            ] {
                give(setup, "dir", ALICE, mode);
                assert_eq!(ALICE.does(may), owner, "{mode:o}: owner");
                assert_eq!(by_group.does(may), group, "{mode:o}: group");
                assert_eq!(BOB.does(may), others, "{mode:o}: others");
                assert_eq!(bound_root(may), others, "{mode:o}: bound root");
                assert_eq!(may(), ALL, "{mode:o}: root");
            }
            // From a descriptor of the directory too.
            give(setup, "dir", ALICE, 0o755);
            BOB.does(|| {
                let open = File::open(&dir).expect("for all");
                let by_descriptor = format!("/proc/thread-self/fd/{}/speed", fd(&open));
                File::open(&by_descriptor).expect("for all");
                give(setup, "dir", ALICE, 0o744);
                assert_eq!(errno(File::open(&by_descriptor)), libc::EACCES);
            });
        },
    );
}

fn fd(file: &File) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(file)
}

fn chmod(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[test]
fn a_mode_is_changed_by_the_owner_alone() {
    with_users(
        Root::new(),
        |root| {
            text(root, "speed", "30");
            root.create_dir("dir", 0o755).expect("new");
        },
        |setup| {
            for name in ["speed", "dir"] {
                let path = setup.at(name);
                let mode = || fs::metadata(&path).expect("there").mode() & 0o7777;
                give(setup, name, ALICE, 0o666);
                for other in [BOB, BOB.also(ALICE.gid), user(BOB.uid, ALICE.gid)] {
                    assert_eq!(errno(other.does(|| chmod(&path, 0o777))), libc::EPERM);
                }
                ALICE.does(|| chmod(&path, 0o640)).expect("hers");
                assert_eq!(mode(), 0o640);
                // The set-group-ID bit is for who is in the group.
                ALICE.does(|| chmod(&path, 0o2770)).expect("hers");
                assert_eq!(mode(), 0o2770);
                give(setup, name, user(ALICE.uid, BOB.gid), 0o770);
                ALICE.does(|| chmod(&path, 0o2770)).expect("hers");
                assert_eq!(mode(), 0o770);
                chmod(&path, 0o2770).expect("root");
                assert_eq!(mode(), 0o2770);
            }
        },
    );
}

/// The kernel goes by the owner that it remembers, and asks for another one only when somebody looks.
#[test]
fn who_had_owned_a_file_changed_it_as_long_as_nobody_looked() {
    with_users(
        Root::new(),
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let path = setup.at("speed");
            let node = setup.root.find("speed").expect("there");
            let changes: [fn(&Path) -> io::Result<()>; 3] = [
                |path| chmod(path, 0o666),
                |path| chown(path, None, Some(ALICE.gid)),
                |path| set_times(path, Some(7)),
            ];
            for change in changes {
                give(setup, "speed", ALICE, 0o644);
                ALICE.does(|| change(&path)).expect("hers");
                node.setattr(&owned(BOB, 0o600)).expect("any mode");
                setup.mount.flush();
                let before = node.stat();
                assert_eq!(errno(ALICE.does(|| change(&path))), libc::EPERM);
                assert_eq!(node.stat(), before);
            }
        },
    );
}

#[test]
fn an_owner_gives_a_file_to_a_group_of_his_and_to_nobody_else() {
    with_users(
        Root::new(),
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let path = setup.at("speed");
            let ids = || {
                let stat = fs::metadata(&path).expect("there");
                (stat.uid(), stat.gid())
            };
            give(setup, "speed", ALICE, 0o644);
            let alice = ALICE.also(77);
            let to = |uid, gid| alice.does(|| chown(&path, uid, gid));
            to(None, Some(77)).expect("her group");
            assert_eq!(ids(), (ALICE.uid, 77));
            to(Some(ALICE.uid), Some(ALICE.gid)).expect("herself");
            assert_eq!(errno(to(None, Some(BOB.gid))), libc::EPERM);
            assert_eq!(errno(to(Some(BOB.uid), None)), libc::EPERM);
            let take = BOB.does(|| chown(&path, Some(BOB.uid), None));
            assert_eq!(errno(take), libc::EPERM);
            let nothing = BOB.does(|| chown(&path, None, Some(BOB.gid)));
            assert_eq!(errno(nothing), libc::EPERM);
            assert_eq!(ids(), (ALICE.uid, ALICE.gid));
            chown(&path, Some(BOB.uid), Some(BOB.gid)).expect("root");
            assert_eq!(ids(), (BOB.uid, BOB.gid));
        },
    );
}

#[test]
fn who_gets_a_file_does_not_get_its_set_id_bits() {
    with_users(
        Root::new(),
        |root| {
            text(root, "speed", "30");
            root.create_dir("dir", 0o755).expect("new");
        },
        |setup| {
            let mode = |name| fs::metadata(setup.at(name)).expect("there").mode() & 0o7777;
            for (before, after) in [(0o6755, 0o755), (0o4644, 0o644), (0o2745, 0o2745)] {
                give(setup, "speed", user(0, 0), before);
                chown(setup.at("speed"), Some(ALICE.uid), Some(ALICE.gid)).expect("root");
                assert_eq!(mode("speed"), after, "{before:o}");
                let node = setup.root.find("speed").expect("there");
                assert_eq!(node.stat().mode, after, "{before:o}");
            }
            // Of a file that its owner gives to another group of his too.
            give(setup, "speed", ALICE, 0o6755);
            let alice = ALICE.also(77);
            alice
                .does(|| chown(setup.at("speed"), None, Some(77)))
                .expect("her group");
            assert_eq!(mode("speed"), 0o755);
            // A directory keeps them.
            give(setup, "dir", user(0, 0), 0o2775);
            chown(setup.at("dir"), Some(ALICE.uid), None).expect("root");
            assert_eq!(mode("dir"), 0o2775);
        },
    );
}

fn set_times(path: &Path, seconds: Option<i64>) -> io::Result<()> {
    let path = c_string(path);
    let time = |tv_sec| libc::timespec { tv_sec, tv_nsec: 0 };
    let times = seconds.map(|seconds| [time(seconds), time(seconds)]);
    let times = times
        .as_ref()
        .map_or(std::ptr::null(), |times| times.as_ptr());
    // SAFETY: a NUL-terminated path, and null (for now) or two times.
    match unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn times_are_the_owners_and_now_is_for_who_may_write() {
    with_users(
        Root::new(),
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let path = setup.at("speed");
            give(setup, "speed", ALICE, 0o664);
            ALICE.does(|| set_times(&path, Some(7))).expect("hers");
            assert_eq!(fs::metadata(&path).expect("there").mtime(), 7);
            let writer = BOB.also(ALICE.gid);
            assert_eq!(
                errno(writer.does(|| set_times(&path, Some(8)))),
                libc::EPERM
            );
            writer.does(|| set_times(&path, None)).expect("may write");
            assert!(fs::metadata(&path).expect("there").mtime() > 8);
            assert_eq!(errno(BOB.does(|| set_times(&path, Some(8)))), libc::EPERM);
            assert_eq!(errno(BOB.does(|| set_times(&path, None))), libc::EACCES);
        },
    );
}

/// Users make directories, which are theirs. Counts what it was asked.
struct Theirs(Arc<AtomicUsize>);

impl SyscallOps for Theirs {
    fn mkdir(&self, cx: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        self.0.fetch_add(1, SeqCst);
        let who = cx.caller();
        let owner = Creation::new().owner(who.uid, who.gid);
        parent.create_dir_with(name, mode, owner).map(drop)
    }

    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        self.0.fetch_add(1, SeqCst);
        let _unprotected = cx.break_protection();
        dir.remove()
    }

    fn rename(&self, _: &mut SyscallCx<'_>, node: &Node, to: &Dir, name: &[u8]) -> Result<()> {
        self.0.fetch_add(1, SeqCst);
        node.rename(to, name)
    }
}

fn with_theirs(test: impl FnOnce(&Setup, &AtomicUsize) + Send) {
    let asked = Arc::new(AtomicUsize::new(0));
    let ops = Theirs(Arc::clone(&asked));
    with_users(
        Root::with_ops(RootFlags::NONE, ops),
        |root| drop(root.create_dir("dir", 0o755).expect("new")),
        |setup| test(setup, &asked),
    );
}

#[test]
fn who_may_not_write_a_directory_is_not_brought_before_its_owner() {
    with_theirs(|setup, asked| {
        let (a, b) = (setup.at("dir/a"), setup.at("dir/b"));
        give(setup, "dir", ALICE, 0o755);
        ALICE.does(|| fs::create_dir(&a)).expect("hers");
        assert_eq!(asked.load(SeqCst), 1);
        BOB.does(|| {
            assert_eq!(errno(fs::create_dir(&b)), libc::EACCES);
            assert_eq!(errno(fs::remove_dir(&a)), libc::EACCES);
            assert_eq!(errno(fs::rename(&a, &b)), libc::EACCES);
        });
        bound_root(|| assert_eq!(errno(fs::remove_dir(&a)), libc::EACCES));
        assert_eq!(asked.load(SeqCst), 1);
        give(setup, "dir", ALICE, 0o775);
        BOB.also(ALICE.gid).does(|| {
            fs::rename(&a, &b).expect("the group may write");
            fs::remove_dir(&b).expect("the group may write");
        });
        assert_eq!(asked.load(SeqCst), 3);
    });
}

#[test]
fn in_a_sticky_directory_everybody_removes_what_is_his() {
    with_theirs(|setup, asked| {
        let (alices, bobs) = (setup.at("dir/a"), setup.at("dir/b"));
        give(setup, "dir", user(0, 0), 0o1777);
        ALICE.does(|| fs::create_dir(&alices)).expect("for all");
        BOB.does(|| fs::create_dir(&bobs)).expect("for all");
        let before = asked.load(SeqCst);
        BOB.does(|| {
            assert_eq!(errno(fs::remove_dir(&alices)), libc::EPERM);
            assert_eq!(errno(fs::rename(&alices, setup.at("dir/c"))), libc::EPERM);
        });
        assert_eq!(asked.load(SeqCst), before);
        BOB.does(|| fs::remove_dir(&bobs)).expect("his");
        // The directory's owner, and root, remove everything.
        give(setup, "dir", BOB, 0o1777);
        BOB.does(|| fs::remove_dir(&alices))
            .expect("the directory is his");
        ALICE.does(|| fs::create_dir(&alices)).expect("for all");
        fs::remove_dir(&alices).expect("root");
    });
}

/// R15, through the mount.
#[test]
fn what_is_made_in_a_set_group_id_directory_gets_its_group() {
    with_theirs(|setup, _| {
        give(setup, "dir", user(0, 77), 0o2777);
        let (new, deep) = (setup.at("dir/new"), setup.at("dir/new/deep"));
        ALICE.does(|| {
            fs::create_dir(&new).expect("for all");
            fs::create_dir(&deep).expect("hers");
        });
        for path in [&new, &deep] {
            let stat = fs::metadata(path).expect("there");
            assert_eq!((stat.uid(), stat.gid()), (ALICE.uid, 77));
            assert_ne!(stat.mode() & 0o2000, 0);
        }
        // And without it the group of who makes it.
        give(setup, "dir", user(0, 77), 0o777);
        let plain = setup.at("dir/plain");
        ALICE.does(|| fs::create_dir(&plain)).expect("for all");
        let stat = fs::metadata(&plain).expect("there");
        assert_eq!((stat.gid(), stat.mode() & 0o2000), (ALICE.gid, 0));
    });
}

fn set_xattr(path: &Path, name: &std::ffi::CStr) -> io::Result<()> {
    let path = c_string(path);
    // SAFETY: two strings and three bytes.
    match unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), c"abc".as_ptr().cast(), 3, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn get_xattr(path: &Path, name: &std::ffi::CStr) -> io::Result<usize> {
    let path = c_string(path);
    // SAFETY: two strings; without room the length is told, nothing is written.
    let len = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    usize::try_from(len).map_err(|_| io::Error::last_os_error())
}

#[test]
fn extended_attributes_of_users_go_by_the_mode_and_trusted_ones_by_rank() {
    with_users(
        Root::with_flags(RootFlags::SUPPORT_USER_XATTR),
        |root| {
            text(root, "speed", "30");
            root.create_dir("dir", 0o755).expect("new");
        },
        |setup| {
            let (file, dir) = (setup.at("speed"), setup.at("dir"));
            give(setup, "speed", ALICE, 0o640);
            ALICE.does(|| set_xattr(&file, c"user.a")).expect("hers");
            let by_group = BOB.also(ALICE.gid);
            assert_eq!(by_group.does(|| get_xattr(&file, c"user.a")).expect("r"), 3);
            let set = by_group.does(|| set_xattr(&file, c"user.a"));
            assert_eq!(errno(set), libc::EACCES);
            let read = BOB.does(|| get_xattr(&file, c"user.a"));
            assert_eq!(errno(read), libc::EACCES);
            for someone in [ALICE, BOB] {
                let set = someone.does(|| set_xattr(&file, c"trusted.t"));
                assert_eq!(errno(set), libc::EPERM);
            }
            set_xattr(&file, c"trusted.t").expect("root");
            let read = ALICE.does(|| get_xattr(&file, c"trusted.t"));
            assert_eq!(errno(read), libc::ENODATA);
            // Who may write a sticky directory may not mark it.
            give(setup, "dir", ALICE, 0o1777);
            let set = BOB.does(|| set_xattr(&dir, c"user.a"));
            assert_eq!(errno(set), libc::EPERM);
            ALICE.does(|| set_xattr(&dir, c"user.a")).expect("hers");
            give(setup, "dir", ALICE, 0o777);
            BOB.does(|| set_xattr(&dir, c"user.b")).expect("for all");
        },
    );
}

#[test]
fn without_allow_other_nobody_else_comes_in() {
    if !have_users() {
        return;
    }
    for allow in [false, true] {
        with_options(
            Root::new(),
            &Options::new().allow_other(allow),
            |root| {
                text(root, "speed", "30");
                let dir = root.create_dir("dir", 0o777).expect("new");
                text(&dir, "speed", "30");
            },
            |setup| {
                let (file, inner) = (setup.at("speed"), setup.at("dir/speed"));
                // His own file does not help him.
                give(setup, "dir/speed", ALICE, 0o666);
                let may = || {
                    [
                        fs::metadata(&setup.path).map(drop),
                        fs::metadata(&file).map(drop),
                        fs::read(&file).map(drop),
                        fs::read_dir(&setup.path).map(drop),
                        fs::write(&inner, "31").map(drop),
                        chmod(&inner, 0o600),
                    ]
                };
                for result in ALICE.does(may) {
                    match allow {
                        true => result.expect("let in"),
                        false => assert_eq!(errno(result), libc::EACCES),
                    }
                }
                // Nor does what root hands him: he may use that, but go nowhere from there.
                let top = File::open(&setup.path).expect("root");
                let open = File::open(&file).expect("root");
                ALICE.does(|| {
                    assert_eq!(io::read_to_string(&open).expect("open"), "30\n");
                    let from_there = format!("/proc/thread-self/fd/{}/speed", fd(&top));
                    match File::open(from_there) {
                        Ok(_) => assert!(allow),
                        Err(error) => {
                            assert_eq!(error.raw_os_error(), Some(libc::EACCES));
                            assert!(!allow);
                        }
                    }
                });
            },
        );
    }
}
