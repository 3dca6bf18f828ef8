//! S20: a forked child beside its parent's tree: told so at once, whatever locks the parent's threads held.

use std::io::SeekFrom;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use kernfs::{
    Action, Errno, Group, Has, Limits, Memory, Object, OpenFlags, PollFlags, Result, Root,
    RootFlags, SetAttr, SyscallOps, Uevents, Watch, XattrHow, bin, ro, rw,
};

struct Listener;

impl Watch for Listener {
    fn added(&self, _: u64, _: &[u8]) {}
    fn removed(&self, _: u64, _: &[u8], _: u64) {}
    fn notified(&self, _: u64) {}
}

/// Nothing that users may do.
struct Users;

impl SyscallOps for Users {}

/// Runs `f` in a child. Returns how it ended: the number that `f` returned.
fn in_child(f: impl FnOnce() -> u8) -> i32 {
    // SAFETY: the child uses malloc, which glibc repairs at fork, and what is tested here.
    let child = unsafe { libc::fork() };
    assert_ne!(child, -1);
    if child == 0 {
        // SAFETY: takes an integer. A child that hangs is ended.
        unsafe { libc::alarm(120) };
        let code = f();
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(code.into()) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFEXITED(status), "the child hung, or crashed");
    libc::WEXITSTATUS(status)
}

fn is_refused<T>(result: Result<T>) -> bool {
    result.is_err_and(|error| error.errno() == Errno::ENOTCONN)
}

/// Every call that can fail, but those of open files.
#[test]
fn each_call_of_a_child_answers_enotconn() {
    let root = Root::with_ops(
        RootFlags::SUPPORT_EXPORTOP | RootFlags::SUPPORT_USER_XATTR,
        Users,
    );
    let dir = root.create_dir("dir", 0o755).unwrap();
    let file = dir.attr("file", ro(|| 1)).unwrap();
    let object = Object::new(&root, "object").unwrap();
    let uevents = Uevents::new();
    let memory = Memory::new(1).unwrap();
    let group = Group::named("group").attr("a", ro(|| 1));
    let group = dir.create_group(group).unwrap();
    let other = Group::new().attr("b", ro(|| 1));
    let watching = root.watch(Arc::new(Listener)).unwrap();
    let modes = SetAttr {
        mode: Some(0o600),
        ..SetAttr::default()
    };
    let mut owned = Some((root, object, watching));
    let code = in_child(|| {
        let Some((root, object, watching)) = owned.take() else {
            return 201;
        };
        let calls: Vec<bool> = vec![
            is_refused(dir.create_dir("d", 0o755)),
            is_refused(dir.create_empty_dir("e")),
            is_refused(dir.create_link("l", &file)),
            is_refused(dir.attr("a", ro(|| 1))),
            is_refused(dir.create_group(other)),
            is_refused(group.update()),
            is_refused(group.remove()),
            group.dir().is_none(),
            is_refused(Object::new(&root, "second")),
            is_refused(dir.enable_ns()),
            is_refused(dir.rename(&root, "moved")),
            is_refused(file.hide()),
            is_refused(file.show()),
            is_refused(file.setattr(&modes)),
            is_refused(file.set_xattr("user.a", "1", XattrHow::Set)),
            is_refused(file.open(OpenFlags::READ)),
            is_refused(root.user_mkdir("d", 0o755)),
            is_refused(dir.user_rmdir()),
            is_refused(dir.user_rename(&root, "moved")),
            is_refused(root.watch(Arc::new(Listener))),
            is_refused(uevents.send(Action::Add, "/a", "test", &[])),
            is_refused(uevents.subscribe()),
            is_refused(memory.read_at(&mut [0; 1], 0)),
            is_refused(memory.write_at(b"1", 0)),
            is_refused(Root::new().create_dir("d", 0o755)),
            is_refused(dir.remove_by_name("file")),
            is_refused(file.remove()),
            is_refused(root.clone().destroy()),
        ];
        if let Some(failed) = calls.iter().position(|refused| !refused) {
            return u8::try_from(failed + 1).unwrap_or(u8::MAX);
        }
        // These say nothing, and do nothing that could wait.
        root.activate();
        file.notify();
        watching.flush();
        root.set_limits(Limits::NONE);
        drop(watching);
        drop(object);
        drop(root);
        // Looking needs no lock: it sees what was there at the fork.
        match dir.find("file") == Some((*file).clone()) && dir.path() == b"/dir" {
            true => 0,
            false => 200,
        }
    });
    assert_eq!(code, 0, "the call of that number was not refused");
    let (root, _object, _watching) = owned.unwrap(); // only the child took them
    assert!(file.is_active() && root.find("object").is_some());
}

/// The lock of an open file is held over callbacks: here by a thread that the child has not.
#[test]
fn a_child_hung_at_an_open_file_of_its_parents() {
    let root = Root::new();
    let (inside, go) = (mpsc::channel(), mpsc::channel::<()>());
    let (entered, wait) = (inside.0, Mutex::new(go.1));
    let get = move || {
        let _ = entered.send(());
        let _ = wait.lock().map(|wait| wait.recv());
        7
    };
    let file = root.attr("slow", rw(get, |_: u8| {})).unwrap();
    let open = file.open(OpenFlags::READ | OpenFlags::WRITE).unwrap();
    let waiting = file.open(OpenFlags::READ).unwrap();
    let raw = root.attr("raw", bin(8).read(|_, _| Ok(0))).unwrap();
    let mut raw = Some(raw.open(OpenFlags::READ).unwrap());
    thread::scope(|scope| {
        let reader = scope.spawn(|| open.read_at(&mut [0; 8], 0).unwrap());
        inside.1.recv().unwrap();
        let code = in_child(|| {
            let calls = [
                is_refused(open.read_at(&mut [0; 8], 0)),
                is_refused(open.write_at(b"1", 0)),
                is_refused(open.seek_from(0, SeekFrom::End(0))),
                raw.as_ref()
                    .is_none_or(|raw| is_refused(raw.read_at(&mut [0; 8], 0))),
                is_refused(waiting.wait_event(Some(Duration::MAX))),
                is_refused(waiting.change_fd()),
                is_refused(waiting.on_change(|_| {})),
                is_refused(file.remove()),
                open.poll() == PollFlags::DEAD,
            ];
            drop(raw.take());
            let failed = calls.iter().position(|refused| !refused);
            failed.map_or(0, |failed| u8::try_from(failed + 1).unwrap_or(u8::MAX))
        });
        go.0.send(()).unwrap();
        assert_eq!(reader.join().unwrap(), 2);
        assert_eq!(code, 0, "the call of that number was not refused");
    });
    // The child's closing was its own.
    assert_eq!(root.stats().open_files, 3);
    assert!(file.has().contains(Has::SHOW));
}
