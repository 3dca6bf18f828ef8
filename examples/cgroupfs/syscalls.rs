//! mkdir and rmdir: groups come with all their files at once, and go with them.

use std::sync::Arc;

use kernfs::{Creation, Dir, Errno, File, Result, SyscallCx, SyscallOps};

use super::control::{self, ControlFile};
use super::groups::Id;
use super::lists::ListFile;
use super::model::{Files, Model, State};
use super::pressure::{self, PressureFile};

/// What users may do to the tree.
pub(super) struct Groups {
    pub(super) model: Arc<Model>,
    pub(super) root: Id,
}

impl SyscallOps for Groups {
    fn mkdir(&self, cx: &mut SyscallCx<'_>, parent: &Dir, name: &[u8], mode: u32) -> Result<()> {
        if name.contains(&b'\n') {
            return Err(Errno::EINVAL.into()); // the kernel shows names in lines
        }
        let caller = cx.caller();
        let with = Creation::new().owner(caller.uid, caller.gid);
        // See the head of `model`: rmdir of the parent would wait for this call.
        let _unprotected = cx.break_protection();
        self.model.work(parent.id(), |state| {
            state.groups.may_add(parent.id())?;
            let dir = parent.create_dir_with(name, mode, with)?;
            // Nobody has seen it yet, so if this fails its removal waits for nobody.
            let files =
                fill(&self.model, &dir, self.root, with).inspect_err(|_| drop(dir.remove()))?;
            state.groups.add(parent.id(), dir.id());
            state.files.insert(dir.id(), files);
            state.counts.made += 1;
            dir.activate(); // all at once
            Ok(())
        })
    }

    fn rmdir(&self, cx: &mut SyscallCx<'_>, dir: &Dir) -> Result<()> {
        let _unprotected = cx.break_protection();
        self.model.work(dir.id(), |state| remove(state, dir))
    }
}

/// Removes a group. The lock is held, for which callbacks of its files may wait at this moment: they have given their
/// protection up, or this would wait for them; and will find the group gone.
fn remove(state: &mut State, dir: &Dir) -> Result<()> {
    state.groups.may_remove(dir.id())?;
    dir.remove()?;
    state.groups.remove(dir.id());
    state.forget(dir.id());
    Ok(())
}

/// Makes the files of a group.
pub(super) fn fill(model: &Arc<Model>, dir: &Dir, root: Id, with: Creation) -> Result<Files> {
    let group = dir.id();
    let mut events = None;
    for control in &control::ALL {
        if group != root || control.on_root {
            let ops = ControlFile {
                model: Arc::clone(model),
                group,
                control,
            };
            let file = dir.create_file_with(control.name, control.mode, 0, ops, with)?;
            if control.name == control::EVENTS {
                events = Some(file);
            }
        }
    }
    let list = |name, threads| {
        let ops = ListFile {
            model: Arc::clone(model),
            group,
            root,
            threads,
        };
        dir.create_file_with(name, 0o644, 0, ops, with)
    };
    list("cgroup.threads", true)?;
    let pressure: Result<Vec<File>> = pressure::ALL
        .into_iter()
        .map(|name| dir.create_file_with(name, 0o644, 0, PressureFile, with))
        .collect();
    Ok(Files {
        events,
        procs: list("cgroup.procs", false)?,
        pressure: pressure?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc::{self, RecvTimeoutError};
    use std::thread;
    use std::time::Duration;

    use kernfs::OpenFlags;

    use super::super::Cgroups;
    use super::*;

    type Call = fn(&Dir) -> Result<()>;

    fn write(group: &Dir, name: &str, text: &str) -> Result<()> {
        let file = group.find(name).and_then(|node| node.as_file()).unwrap();
        let open = file.open(OpenFlags::WRITE)?;
        open.write_at(text.as_bytes(), 0).map(drop)
    }

    fn read(group: &Dir, name: &str) -> Result<()> {
        let file = group.find(name).and_then(|node| node.as_file()).unwrap();
        let open = file.open(OpenFlags::READ)?;
        open.read_at(&mut [0; 10], 0).map(drop)
    }

    const CALLS: [Call; 7] = [
        |group| write(group, "cgroup.freeze", "1"),
        |group| write(group, "cgroup.pressure", "0"),
        |group| write(group, "cgroup.procs", "0"),
        |group| read(group, "cgroup.events"),
        |group| read(group, "cgroup.threads"),
        |group| group.user_mkdir("below", 0o755),
        |group| group.user_rmdir(),
    ];

    /// Removes a group under the lock for which others wait in its callbacks, all of them.
    fn remove_under_all() {
        let cgroups = Cgroups::new().unwrap();
        let root = cgroups.root();
        root.user_mkdir("group", 0o755).unwrap();
        let group = &root.find("group").and_then(|node| node.as_dir()).unwrap();
        thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let work = |state: &mut State| -> Result<Vec<_>> {
                let start = |call: Call| {
                    let tell = tell.clone();
                    scope.spawn(move || {
                        tell.send(fs::read_link("/proc/thread-self").unwrap())
                            .unwrap();
                        call(group)
                    })
                };
                let callers = CALLS.map(start).into_iter().collect();
                for _ in CALLS {
                    let stat = format!("/proc/{}/stat", told.recv().unwrap().display());
                    // There is nothing to sleep for but the lock.
                    while !fs::read_to_string(&stat).unwrap().contains(") S ") {
                        thread::yield_now();
                    }
                }
                remove(state, group)?;
                Ok(callers)
            };
            for caller in cgroups.model.work(group.id(), work).unwrap() {
                let error = caller.join().unwrap().unwrap_err();
                assert_eq!(error.errno(), Errno::ENODEV);
            }
        });
    }

    #[test]
    fn who_holds_the_lock_waits_for_nobody_who_waits_for_it() {
        let (done, ended) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let _done = done;
            remove_under_all();
        });
        // No assertion on time: only how long it may hang.
        let waited = ended.recv_timeout(Duration::from_secs(30));
        assert_eq!(waited, Err(RecvTimeoutError::Disconnected), "it hangs");
        thread.join().unwrap();
    }
}
