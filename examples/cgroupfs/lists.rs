//! `cgroup.procs` and `cgroup.threads`: who is in a group, and the way into it.

use std::sync::Arc;

use kernfs::{Cred, Cx, Errno, Has, Ops, Result, Start, lines};

use super::control::LONGEST_WRITE;
use super::groups::Id;
use super::model::{Model, State};
use super::number;
use super::tasks::{self, Task};

/// One of the two.
pub(super) struct ListFile {
    pub(super) model: Arc<Model>,
    pub(super) group: Id,
    pub(super) root: Id,
    pub(super) threads: bool,
}

impl ListFile {
    fn list(&self, state: &State) -> Result<Vec<u32>, Errno> {
        if !self.threads && state.groups.is_threaded(self.group) {
            return Err(Errno::EOPNOTSUPP); // they belong to the domain
        }
        let mut tasks = match self.threads {
            true => state.groups.tasks(self.group),
            false => state.groups.members(self.group),
        };
        if self.group == self.root {
            let others = tasks::all().into_iter();
            let others = others.filter(|&pid| !state.groups.is_placed(pid));
            tasks.extend(others.filter_map(Task::find));
        }
        Ok(match self.threads {
            true => tasks.iter().flat_map(Task::threads).collect(),
            false => tasks.iter().map(|task| task.pid).collect(),
        })
    }

    fn take(&self, opener: Cred, state: &mut State, pid: u32) -> Result<()> {
        // Only what is there can be moved.
        let task = Task::find(pid).ok_or(Errno::ESRCH)?;
        let from = state.groups.place(task).unwrap_or(self.root);
        // Whoever moves from one group to another must be allowed to in one that both are in. He who opened the file,
        // not he who writes: that may be somebody with more rights who was given the descriptor.
        let common = state.groups.common(from, self.group);
        let procs = common.and_then(|id| state.files.get(&id));
        let procs = procs.map(|files| files.procs.stat());
        let allowed = procs.is_some_and(|stat| stat.permits(opener.uid, &[opener.gid], 2));
        if opener.uid != 0 && !allowed {
            return Err(Errno::EACCES.into());
        }
        state.groups.put(task, from, self.group, self.threads)?;
        state.watch_tasks();
        Ok(())
    }
}

impl Ops for ListFile {
    const HAS: Has = Has::SEQ.with(Has::WRITE).with(Has::RELEASE);
    type Open = ();

    fn atomic_write_len(&self) -> usize {
        LONGEST_WRITE
    }

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn start<'a>(
        &'a self,
        cx: &mut Cx<'_>,
        (): &'a (),
        position: u64,
    ) -> Result<Option<Start<'a>>> {
        // See the head of `model`. The list is a copy: nothing is locked while it is shown.
        let _unprotected = cx.break_protection();
        let list = self.model.work(self.group, |state| self.list(state));
        Ok(lines(list?.into_iter(), position))
    }

    fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        if !data.is_empty() {
            let number = number::of(number::text(data)?).map_err(|_| Errno::EINVAL)?;
            let pid = match u32::try_from(number) {
                Ok(0) => cx.caller().pid,
                Ok(pid) => pid,
                Err(_) => return Err(Errno::EINVAL.into()),
            };
            let opener = cx.opener();
            let _unprotected = cx.break_protection();
            self.model
                .work(self.group, |state| self.take(opener, state, pid))?;
        }
        Ok(data.len())
    }
}
