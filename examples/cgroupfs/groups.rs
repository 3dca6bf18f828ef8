//! What the tree is a picture of: groups in groups, their limits, and the processes in them. Knows no files and no lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernfs::Errno;

use super::limit::Limit;
use super::tasks::Task;

/// A group, by the number of its directory.
pub(super) type Id = u64;

/// What `cgroup.events` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Events {
    pub(super) populated: bool,
    pub(super) frozen: bool,
}

#[derive(Debug)]
pub(super) struct Group {
    parent: Option<Id>,
    children: BTreeSet<Id>,
    pub(super) descendants: u64,
    pub(super) max_depth: Limit,
    pub(super) max_descendants: Limit,
    pub(super) freeze: bool,
    threaded: bool,
    pub(super) pressure: bool,
    /// What those who wait for the file were told last.
    told: Events,
}

impl Group {
    fn new(parent: Option<Id>) -> Self {
        Self {
            parent,
            children: BTreeSet::new(),
            descendants: 0,
            max_depth: Limit::NONE,
            max_descendants: Limit::NONE,
            freeze: false,
            threaded: false,
            pressure: true,
            told: Events::default(),
        }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Groups {
    all: HashMap<Id, Group>,
    /// In which group a process is; one that is not here is in the root.
    tasks: BTreeMap<u32, (Task, Id)>,
}

impl Groups {
    pub(super) fn new(root: Id) -> Self {
        Self {
            all: HashMap::from([(root, Group::new(None))]),
            tasks: BTreeMap::new(),
        }
    }

    /// ENODEV: it is gone.
    pub(super) fn get(&self, id: Id) -> Result<&Group, Errno> {
        self.all.get(&id).ok_or(Errno::ENODEV)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Result<&mut Group, Errno> {
        self.all.get_mut(&id).ok_or(Errno::ENODEV)
    }

    /// A group and those that it is in, up to the root.
    pub(super) fn up(&self, id: Id) -> impl Iterator<Item = (Id, &Group)> {
        let first = self.all.get(&id).map(|group| (id, group));
        std::iter::successors(first, |(_, group)| {
            let parent = group.parent?;
            Some((parent, self.all.get(&parent)?))
        })
    }

    /// The innermost group that two are in.
    pub(super) fn common(&self, a: Id, b: Id) -> Option<Id> {
        let mut of_a = self.up(a).map(|(id, _)| id);
        of_a.find(|&id| self.up(b).any(|(other, _)| other == id))
    }

    /// EAGAIN: a limit of `parent`, or of one above it, allows no group more in it.
    pub(super) fn may_add(&self, parent: Id) -> Result<(), Errno> {
        self.get(parent)?;
        let full = self.up(parent).zip(1..).any(|((_, group), level)| {
            group.max_descendants.is_below(group.descendants + 1) || group.max_depth.is_below(level)
        });
        if full { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    pub(super) fn add(&mut self, parent: Id, id: Id) {
        let mut group = Group::new(Some(parent));
        // Nobody waits for its file yet.
        group.told.frozen = self.is_frozen(parent);
        self.all.insert(id, group);
        if let Some(parent) = self.all.get_mut(&parent) {
            parent.children.insert(id);
        }
        self.count(id, u64::wrapping_add);
    }

    /// EBUSY: there is something in it.
    pub(super) fn may_remove(&self, id: Id) -> Result<(), Errno> {
        let group = self.get(id)?;
        let busy = group.parent.is_none()
            || !group.children.is_empty()
            || self.tasks.values().any(|&(_, place)| place == id);
        if busy { Err(Errno::EBUSY) } else { Ok(()) }
    }

    pub(super) fn remove(&mut self, id: Id) {
        self.count(id, u64::wrapping_sub);
        if let Some(parent) = self.all.remove(&id).and_then(|group| group.parent)
            && let Some(parent) = self.all.get_mut(&parent)
        {
            parent.children.remove(&id);
        }
    }

    /// Counts one group more, or less, in those above it.
    fn count(&mut self, id: Id, change: fn(u64, u64) -> u64) {
        let above: Vec<Id> = self.up(id).skip(1).map(|(id, _)| id).collect();
        for id in above {
            if let Some(group) = self.all.get_mut(&id) {
                group.descendants = change(group.descendants, 1);
            }
        }
    }

    /// Whether a group shall stand still, by its own switch or by one above it.
    fn is_frozen(&self, id: Id) -> bool {
        self.up(id).any(|(_, group)| group.freeze)
    }

    /// Nothing is ever stopped here, so what has processes is not frozen.
    pub(super) fn events(&self, id: Id) -> Events {
        let populated = self.is_populated(id);
        Events {
            populated,
            frozen: !populated && self.is_frozen(id),
        }
    }

    fn is_populated(&self, id: Id) -> bool {
        let mut places = self.tasks.values().map(|&(_, place)| place);
        places.any(|place| self.up(place).any(|(above, _)| above == id))
    }

    /// The groups whose events are not what was told last; now they are.
    pub(super) fn changed(&mut self) -> Vec<Id> {
        let now: Vec<_> = self.all.keys().map(|&id| (id, self.events(id))).collect();
        let mut changed = Vec::new();
        for (id, events) in now {
            if let Some(group) = self.all.get_mut(&id)
                && group.told != events
            {
                group.told = events;
                changed.push(id);
            }
        }
        changed
    }

    /// The group whose processes the threads in this one belong to.
    fn domain(&self, id: Id) -> Id {
        let domain = self.up(id).find(|(_, group)| !group.threaded);
        domain.map_or(id, |(id, _)| id)
    }

    fn has_threaded_child(&self, group: &Group) -> bool {
        let mut children = group.children.iter().filter_map(|id| self.all.get(id));
        children.any(|child| child.threaded)
    }

    /// Whether processes can be in it: not below a group that is for threads. The root is for both.
    fn is_valid_domain(&self, id: Id) -> bool {
        let mut above = self.up(id).skip(1);
        let for_threads = above.any(|(_, group)| {
            group.parent.is_some() && (group.threaded || self.has_threaded_child(group))
        });
        !self.is_threaded(id) && !for_threads
    }

    pub(super) fn is_threaded(&self, id: Id) -> bool {
        self.all.get(&id).is_some_and(|group| group.threaded)
    }

    /// The text of `cgroup.type`.
    pub(super) fn kind(&self, id: Id) -> &'static str {
        match self.all.get(&id) {
            Some(group) if group.threaded => "threaded",
            _ if !self.is_valid_domain(id) => "domain invalid",
            Some(group) if self.has_threaded_child(group) => "domain threaded",
            _ => "domain",
        }
    }

    /// EOPNOTSUPP: there are processes in it, or it is in none that they could belong to.
    pub(super) fn make_threaded(&mut self, id: Id) -> Result<(), Errno> {
        let group = self.get(id)?;
        let Some(parent) = group.parent.filter(|_| !group.threaded) else {
            return Ok(());
        };
        if self.is_populated(id) || !self.is_valid_domain(self.domain(parent)) {
            return Err(Errno::EOPNOTSUPP);
        }
        self.get_mut(id)?.threaded = true;
        Ok(())
    }

    /// Where a process is.
    pub(super) fn place(&self, task: Task) -> Option<Id> {
        let known = self.tasks.get(&task.pid);
        known.filter(|known| known.0 == task).map(|known| known.1)
    }

    /// Moves a process. With `thread` it may not leave its domain. EOPNOTSUPP: no place for it.
    pub(super) fn put(&mut self, task: Task, from: Id, to: Id, thread: bool) -> Result<(), Errno> {
        let domain = self.domain(to);
        if !self.is_valid_domain(domain) || thread && self.domain(from) != domain {
            return Err(Errno::EOPNOTSUPP);
        }
        match self.get(to)?.parent {
            Some(_) => self.tasks.insert(task.pid, (task, to)),
            None => self.tasks.remove(&task.pid),
        };
        Ok(())
    }

    /// The processes whose threads are right in a group.
    pub(super) fn tasks(&self, id: Id) -> Vec<Task> {
        self.tasks_where(|place| place == id)
    }

    /// The processes that belong to a domain: with those whose threads are in a group for threads.
    pub(super) fn members(&self, id: Id) -> Vec<Task> {
        self.tasks_where(|place| self.domain(place) == id)
    }

    fn tasks_where(&self, is_inside: impl Fn(Id) -> bool) -> Vec<Task> {
        let inside = self.tasks.values().filter(|&&(_, place)| is_inside(place));
        inside.map(|&(task, _)| task).collect()
    }

    pub(super) fn is_placed(&self, pid: u32) -> bool {
        self.tasks.contains_key(&pid)
    }

    pub(super) fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Forgets the processes in a group and below.
    pub(super) fn kill(&mut self, id: Id) {
        let all = std::mem::take(&mut self.tasks);
        let inside = |place| self.up(place).any(|(above, _)| above == id);
        self.tasks = all
            .into_iter()
            .filter(|(_, (_, place))| !inside(*place))
            .collect();
    }

    /// Forgets those that have ended.
    pub(super) fn reap(&mut self) {
        self.tasks.retain(|_, (task, _)| task.is_alive());
    }
}
