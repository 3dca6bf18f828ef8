//! What sysfs refuses is refused here, with the same errno.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;

use crate::support::{errno, text, with_mount};

#[test]
fn nothing_is_made_or_removed_from_outside() {
    with_mount(
        |root| {
            text(root, "speed", "30");
            root.create_dir("engine", 0o755).expect("new");
        },
        |setup| {
            let (speed, new) = (setup.at("speed"), setup.at("new"));
            assert_eq!(errno(File::create(&new)), libc::EACCES);
            assert_eq!(errno(fs::create_dir(&new)), libc::EPERM);
            assert_eq!(errno(symlink("speed", &new)), libc::EPERM);
            assert_eq!(errno(fs::hard_link(&speed, &new)), libc::EPERM);
            assert_eq!(errno(fs::rename(&speed, &new)), libc::EPERM);
            assert_eq!(errno(fs::remove_file(&speed)), libc::EPERM);
            assert_eq!(errno(fs::remove_dir(setup.at("engine"))), libc::EPERM);
            assert_eq!(setup.read("speed"), "30\n");
        },
    );
}

#[test]
fn what_means_nothing_is_accepted_or_refused_as_in_sysfs() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let path = setup.at("speed");
            let file = OpenOptions::new().write(true).open(&path).expect("open");
            file.sync_all().expect("fsync");
            let dir = File::open(&setup.path).expect("open");
            assert_eq!(errno(dir.sync_all()), libc::EINVAL);
            file.set_len(0).expect("truncate");
            assert_eq!(fs::metadata(&path).expect("stat").len(), 4096);
            assert_eq!(setup.read("speed"), "30\n");

            // SAFETY: no argument is a pointer that is followed: the request is unknown everywhere.
            let ioctl = unsafe { libc::ioctl(file.as_raw_fd(), 0x6b01, 0) };
            assert_eq!(ioctl, -1);
            assert_eq!(
                std::io::Error::last_os_error().raw_os_error(),
                Some(libc::ENOTTY)
            );
        },
    );
}
