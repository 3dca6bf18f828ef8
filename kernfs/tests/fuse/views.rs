//! Several mounts of one tree: each with its name space; and file handles, which outlive a mount.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use kernfs::fuse::{Mount, Options};
use kernfs::{Creation, Ns, Root, RootFlags};

use crate::support::{TempDir, c_string, errno, text, until, with_dir};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("ASCII")
        })
        .collect();
    names.sort();
    names
}

#[test]
fn each_mount_shows_the_entries_of_its_name_space() {
    with_dir(|path| {
        let root = Root::new();
        let net = root.create_dir("net", 0o755).expect("new");
        net.enable_ns().expect("empty");
        let (first, second) = (Ns::new(1), Ns::new(2));
        let make = |name: &str, ns: Option<Ns>| {
            let with = Creation::new().ns(ns.expect("not 0"));
            net.create_dir_with(name, 0o755, with).expect("new")
        };
        let eth = make("eth0", first);
        make("eth0", second);
        make("lo", second);
        text(&eth, "speed", "10");
        let (second_dir, no_dir) = (TempDir::new(), TempDir::new());
        let mount = |path: &Path, ns| {
            Mount::new(&root, path, &Options::new().ns(ns)).expect("one of several")
        };
        let one = mount(path, first);
        let two = mount(&second_dir.0, second);
        let none = mount(&no_dir.0, None);
        assert_eq!(names(&path.join("net")), ["eth0"]);
        assert_eq!(names(&second_dir.0.join("net")), ["eth0", "lo"]);
        assert!(names(&no_dir.0.join("net")).is_empty());
        let stat = |dir: &Path, name: &str| fs::metadata(dir.join(name)).map(|stat| stat.ino());
        assert_eq!(stat(path, "net/eth0").expect("there"), eth.id());
        assert_ne!(stat(&second_dir.0, "net/eth0").expect("there"), eth.id());
        assert_eq!(errno(stat(path, "net/lo")), libc::ENOENT);
        assert_eq!(errno(stat(&no_dir.0, "net/eth0")), libc::ENOENT);
        // The same directories above: other file systems.
        assert_eq!(
            stat(path, "net").expect("there"),
            stat(&no_dir.0, "net").expect("there")
        );
        assert_ne!(
            fs::metadata(path).expect("root").dev(),
            fs::metadata(&no_dir.0).expect("root").dev()
        );
        assert_eq!(
            fs::read_to_string(path.join("net/eth0/speed")).expect("read"),
            "10\n"
        );
        // What goes in one name space goes from its mount, and stays in the other.
        eth.remove().expect("there");
        one.flush();
        two.flush();
        assert_eq!(errno(stat(path, "net/eth0")), libc::ENOENT);
        stat(&second_dir.0, "net/eth0").expect("there");
        for mount in [one, two, none] {
            mount.unmount().expect("still ours");
        }
    });
}

/// A file handle as name_to_handle_at(2) fills it in.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    data: [u8; 128],
}

fn handle_of(path: &Path) -> io::Result<Handle> {
    let path = c_string(path);
    let mut handle = Handle {
        bytes: 128,
        kind: 0,
        data: [0; 128],
    };
    let mut mount = 0;
    // SAFETY: a string, a handle with as much room as it says, an int; all live over the call.
    let ret = unsafe {
        libc::name_to_handle_at(
            libc::AT_FDCWD,
            path.as_ptr(),
            (&raw mut handle).cast(),
            &raw mut mount,
            0,
        )
    };
    match ret {
        0 => Ok(handle),
        _ => Err(io::Error::last_os_error()),
    }
}

fn open_handle(mount: &File, handle: &mut Handle) -> io::Result<File> {
    let handle: *mut Handle = handle;
    // SAFETY: an open descriptor and a handle that live over the call.
    match unsafe { libc::open_by_handle_at(mount.as_raw_fd(), handle.cast(), libc::O_RDONLY) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: just opened, and nobody else knows it.
        fd => Ok(unsafe { File::from_raw_fd(fd) }),
    }
}

#[test]
fn a_handle_finds_its_node_again_through_another_mount() {
    with_dir(|path| {
        for (flags, works) in [
            (RootFlags::SUPPORT_EXPORTOP, true),
            (RootFlags::NONE, false),
        ] {
            let root = Root::with_flags(flags);
            let dir = root.create_dir("dir", 0o755).expect("new");
            let file = text(&dir, "file", "30");
            let first = Mount::new(&root, path, &Options::new()).expect("mounted");
            let handle = handle_of(&path.join("dir/file"));
            first.unmount().expect("still ours");
            let mut handle = match handle {
                // Linux before 6.9 gives one that leads nowhere.
                Err(_) if !works => {
                    assert_eq!(errno(handle), libc::EOPNOTSUPP);
                    continue;
                }
                handle => handle.expect("a handle"),
            };
            // The kernel knows nothing of the node now.
            let second = Mount::new(&root, path, &Options::new()).expect("mounted");
            let top = File::open(path).expect("the mount");
            let found = open_handle(&top, &mut handle);
            match works {
                true => {
                    let text = io::read_to_string(found.expect("found")).expect("read");
                    assert_eq!(text, "30\n");
                    // The client does not wait for the end of its close, and of a file that is open it is told ENODEV.
                    until("it is closed", || root.stats().open_files == 0);
                    file.remove().expect("there");
                    second.flush();
                    // ENOENT: the kernel still had the inode, and asked to open it.
                    let gone = errno(open_handle(&top, &mut handle));
                    assert!(matches!(gone, libc::ESTALE | libc::ENOENT), "{gone}");
                }
                false => assert_eq!(errno(found), libc::ESTALE),
            }
            drop(top);
            second.unmount().expect("still ours");
        }
    });
}
