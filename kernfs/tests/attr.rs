//! Attributes of one line.

mod common;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};

use common::{errno, file, text};
use kernfs::{Errno, OpenFlags, Root, ro, rw, wo};

#[test]
fn a_value_out_of_range_changes_nothing() {
    static PERCENT: AtomicU8 = AtomicU8::new(50);
    let root = Root::new();
    let set = |p: u8| {
        if p > 100 {
            return Err(Errno::ERANGE);
        }
        PERCENT.store(p, SeqCst);
        Ok(())
    };
    root.attr("percent", rw(|| PERCENT.load(SeqCst), set))
        .unwrap();
    let open = file(root.find("percent")).open(OpenFlags::RDWR).unwrap();
    for (input, expected) in [
        (&b"101"[..], Errno::ERANGE),
        (b"256", Errno::EINVAL),
        (b"-1", Errno::EINVAL),
        (b"x", Errno::EINVAL),
        (b"\n", Errno::EINVAL),
        (b"5\x006", Errno::EINVAL),
        (b"\xff", Errno::EINVAL),
        (&[b'9'; 4096], Errno::EINVAL),
    ] {
        assert_eq!(errno(open.write_at(input, 0)), expected);
        assert_eq!(text(&open), "50\n");
    }
    for (input, shown) in [
        (&b"7"[..], "7\n"),
        (b"8\n", "8\n"),
        (b" 9 \n", "9\n"),
        (b"", "9\n"),
    ] {
        assert_eq!(open.write_at(input, 0).unwrap(), input.len());
        assert_eq!(text(&open), shown);
    }
}

#[test]
fn values_of_any_type() {
    static NAME: Mutex<String> = Mutex::new(String::new());
    static FIRED: AtomicBool = AtomicBool::new(false);
    let root = Root::new();
    let name = rw(
        || NAME.lock().unwrap().clone(),
        |n: String| *NAME.lock().unwrap() = n,
    );
    root.attr("name", name).unwrap();
    root.attr("fire", wo(|b: bool| FIRED.store(b, SeqCst)))
        .unwrap();
    root.attr("pi", ro(|| std::f32::consts::PI)).unwrap();
    let open = file(root.find("name")).open(OpenFlags::RDWR).unwrap();
    open.write_at(b"two words\n", 0).unwrap();
    assert_eq!(text(&open), "two words\n");
    let fire = file(root.find("fire"));
    fire.open(OpenFlags::WRITE)
        .unwrap()
        .write_at(b"true", 0)
        .unwrap();
    assert!(FIRED.load(SeqCst));
    assert_eq!(errno(fire.open(OpenFlags::READ)), Errno::EACCES);
    let pi = file(root.find("pi"));
    assert_eq!(text(&pi.open(OpenFlags::READ).unwrap()), "3.1415927\n");
    assert_eq!(errno(pi.open(OpenFlags::WRITE)), Errno::EACCES);
}

#[test]
fn modes_and_sizes_are_those_of_sysfs() {
    let root = Root::new();
    let modes = [
        root.attr("ro", ro(|| 1)),
        root.attr("rw", rw(|| 1, |_: u8| ())),
        root.attr("wo", wo(|_: u8| ())),
        root.attr("own", ro(|| 1).mode(0o400)),
    ]
    .map(|file| file.map(|f| (f.mode(), f.size())).unwrap());
    assert_eq!(
        modes,
        [(0o444, 4096), (0o644, 4096), (0o200, 4096), (0o400, 4096)]
    );
    assert_eq!(
        errno(root.attr("bad", ro(|| 1).mode(0o100_444))),
        Errno::EINVAL
    );
}
