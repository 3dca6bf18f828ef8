//! A directory of the mount, bound to another place (`mount --bind`): the same nodes, until the last place is unmounted.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::thread;

use kernfs::Root;
use kernfs::fuse::{Mount, Options};

use crate::support::{
    TempDir, c_string, errno, is_mount_point, poll, poll_now, text, unmount, unmount_unused,
    with_dir, with_mount,
};

/// A second place, unmounted at the end.
struct Bound(TempDir);

impl Bound {
    fn new(from: &Path) -> Self {
        let to = TempDir::new();
        let (from, target) = (c_string(from), c_string(&to.0));
        let none = std::ptr::null();
        // SAFETY: NUL-terminated strings that live over the call; a bind mount has no type and no data.
        let ret = unsafe {
            libc::mount(
                from.as_ptr(),
                target.as_ptr(),
                none,
                libc::MS_BIND,
                none.cast(),
            )
        };
        assert_eq!(ret, 0, "{}", std::io::Error::last_os_error());
        Self(to)
    }

    fn unmount(&self) {
        unmount_unused(&self.0.0);
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.0.join(name)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if is_mount_point(&self.0.0) {
            let _ = unmount(&self.0.0, libc::MNT_DETACH);
        }
    }
}

fn car(root: &Root) {
    let engine = root.create_dir("engine", 0o755).expect("new");
    text(&engine, "state", "idle");
    text(root, "speed", "30");
}

#[test]
fn what_is_bound_is_read_written_and_polled_as_in_its_place() {
    with_mount(car, |setup| {
        let bound = Bound::new(&setup.at("engine"));
        assert_eq!(
            fs::read_to_string(bound.at("state")).expect("there"),
            "idle\n"
        );
        fs::write(bound.at("state"), "runs").expect("writable");
        assert_eq!(setup.read("engine/state"), "runs\n");
        let [here, there] = [setup.at("engine/state"), bound.at("state")]
            .map(|path| fs::metadata(path).expect("stat"));
        assert_eq!((here.dev(), here.ino()), (there.dev(), there.ino()));
        assert_eq!(fs::read_dir(bound.at("")).expect("opendir").count(), 1);

        let file = File::open(bound.at("state")).expect("open");
        assert_eq!(file.read_at(&mut [0; 8], 0).expect("readable"), 5);
        assert_eq!(poll_now(&file, libc::POLLPRI), 0);
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| poll(&file, libc::POLLPRI));
            fs::write(setup.at("engine/state"), "idle").expect("writable");
            let changed = libc::POLLPRI | libc::POLLERR;
            assert_eq!(sleeper.join().expect("no panic"), changed);
        });
        assert_eq!(errno(unmount(&bound.0.0, 0)), libc::EBUSY);
        drop(file);
        bound.unmount();
    });
}

#[test]
fn what_is_bound_and_removed_is_not_found_and_comes_back_as_nothing_else() {
    for again in [false, true] {
        with_mount(car, |setup| {
            let bound = Bound::new(&setup.at("engine"));
            let file = File::open(bound.at("state")).expect("open");
            setup.root.remove_by_name("engine").expect("there");
            if again {
                let engine = setup.root.create_dir("engine", 0o755).expect("free");
                text(&engine, "state", "new");
            }
            // At once. What else is said of it depends on what the kernel was told.
            assert_eq!(errno(file.read_at(&mut [0; 8], 0)), libc::ENODEV);
            assert_eq!(errno(File::open(bound.at("state"))), libc::ENOENT);
            setup.mount.flush();
            assert_eq!(errno(file.read_at(&mut [0; 8], 0)), libc::ENODEV);
            assert_eq!(errno(File::open(bound.at("state"))), libc::ENOENT);
            assert_eq!(errno(fs::metadata(bound.at("state"))), libc::ENOENT);
            // As in sysfs, or not at all; never the new one.
            match fs::read_dir(bound.at("")) {
                Ok(mut entries) => assert!(entries.next().is_none()),
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOENT)),
            }
            // The table of `kernfs::fuse`: the kernel does not walk again for who makes a name.
            let refused = errno(fs::create_dir(bound.at("new")));
            assert!(refused == libc::ENOENT || again && refused == libc::ESTALE);
            if again {
                assert_eq!(setup.read("engine/state"), "new\n");
            }
            drop(file);
            assert!(is_mount_point(&bound.0.0));
            bound.unmount();
        });
    }
}

#[test]
fn either_place_may_be_unmounted_first() {
    with_mount(car, |setup| {
        let bound = Bound::new(&setup.at("engine"));
        bound.unmount();
        assert_eq!(setup.read("engine/state"), "idle\n");
    });
    with_dir(|dir| {
        let root = Root::new();
        car(&root);
        let mount = Mount::new(&root, dir, &Options::new()).expect("mounts");
        let bound = Bound::new(&dir.join("engine"));
        let file = File::open(bound.at("state")).expect("open");
        mount.unmount().expect("ours");
        assert!(!is_mount_point(dir));
        // The connection lives as long as the other place, and serves nobody.
        assert_eq!(errno(file.read_at(&mut [0; 8], 0)), libc::ENODEV);
        assert_eq!(errno(fs::read_dir(bound.at(""))), libc::ENODEV);
        drop(file);
        bound.unmount();
        // And the directory is free for the next one.
        let next = Mount::new(&root, dir, &Options::new()).expect("mounts");
        assert_eq!(
            fs::read_to_string(dir.join("speed")).expect("served"),
            "30\n"
        );
        next.unmount().expect("ours");
    });
}
