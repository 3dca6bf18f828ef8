//! Attributes that the owner changes while the kernel has them cached.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::Duration;

use kernfs::SetAttr;

use crate::support::{become_nobody, errno, have_nobody, text, with_mount};

fn mode(mode: u32) -> SetAttr {
    let mode = Some(mode);
    SetAttr {
        mode,
        ..SetAttr::default()
    }
}

#[test]
fn stat_shows_what_the_owner_set() {
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let file = setup.root.find("speed").expect("there");
            let stat = || fs::metadata(setup.at("speed")).expect("stat");
            for round in 1..50 {
                // Cached for an hour from here on.
                stat();
                let bits = if round % 2 == 0 { 0o644 } else { 0o600 };
                let new = SetAttr {
                    uid: Some(round),
                    gid: Some(round + 1),
                    mtime: Some(Duration::from_secs(round.into())),
                    ..mode(bits)
                };
                file.setattr(&new).expect("any mode");
                setup.mount.flush();
                let now = stat();
                assert_eq!(now.mode(), 0o100_000 | bits);
                assert_eq!((now.uid(), now.gid()), (round, round + 1));
                assert_eq!(now.mtime(), i64::from(round));
            }
            // A directory too, and the root.
            for dir in [
                setup.root.clone().dir(),
                setup.root.create_dir("d", 0o755).expect("new"),
            ] {
                let path = String::from_utf8(dir.path()).expect("ASCII");
                let bits = || fs::metadata(setup.at(&path[1..])).expect("stat").mode() & 0o7777;
                setup.mount.flush();
                assert_ne!(bits(), 0o711);
                dir.setattr(&mode(0o711)).expect("any mode");
                setup.mount.flush();
                assert_eq!(bits(), 0o711);
            }
        },
    );
}

/// The mount leaves permissions to the kernel, which goes by what it remembers.
#[test]
fn others_opened_what_the_owner_had_closed() {
    if !have_nobody() {
        return;
    }
    with_mount(
        |root| drop(text(root, "speed", "30")),
        |setup| {
            let path = setup.at("speed");
            let file = setup.root.find("speed").expect("there");
            thread::scope(|scope| {
                scope.spawn(|| {
                    become_nobody();
                    File::open(&path).expect("for everybody");
                    file.setattr(&mode(0o600)).expect("any mode");
                    setup.mount.flush();
                    assert_eq!(errno(File::open(&path)), libc::EACCES);
                    file.setattr(&mode(0o644)).expect("any mode");
                    setup.mount.flush();
                    File::open(&path).expect("for everybody");
                });
            });
        },
    );
}
