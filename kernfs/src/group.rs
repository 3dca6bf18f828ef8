//! Groups of attributes that come and go together. sysfs's `attribute_group`.

use core::fmt;
use core::mem;
use core::panic::Location;
use core::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::attr::Attr;
use crate::error::{Errno, Result};
use crate::node::{Dir, Node};
use crate::remove;

type Visible = Box<dyn Fn(&str, u32) -> u32 + Send + Sync>;
type When = Box<dyn Fn() -> bool + Send + Sync>;

/// Attributes that are made together, perhaps in a directory of their own, and only as far as they are
/// visible.
///
/// ```
/// use kernfs::{Group, Root, ro};
///
/// let battery = false;
/// let root = Root::new();
/// let power = root.create_group(
///     Group::named("power")
///         .attr("state", ro(|| "on"))
///         .attr("charge", ro(|| 90))
///         .visible(move |name, mode| if name == "charge" && !battery { 0 } else { mode }),
/// )?;
/// assert!(root.walk("power/state").is_some() && root.walk("power/charge").is_none());
/// power.remove()?;
/// assert!(root.find("power").is_none());
/// # Ok::<(), kernfs::Error>(())
/// ```
#[must_use = "give it to Dir::create_group"]
#[doc(alias = "attribute_group")]
#[derive(Default)]
pub struct Group {
    name: Option<String>,
    attrs: Vec<(String, Attr)>,
    visible: Option<Visible>,
    when: Option<When>,
}

impl Group {
    /// Attributes right in the directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attributes in a directory of their own.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }

    /// One attribute more.
    pub fn attr(mut self, name: impl Into<String>, attr: impl Into<Attr>) -> Self {
        self.attrs.push((name.into(), attr.into()));
        self
    }

    /// Decides which mode an attribute gets, asked with its name and the usual mode; 0 leaves it out. Asked
    /// again at each [`GroupHandle::update`].
    #[doc(alias = "is_visible")]
    pub fn visible(self, visible: impl Fn(&str, u32) -> u32 + Send + Sync + 'static) -> Self {
        Self {
            visible: Some(Box::new(visible)),
            ..self
        }
    }

    /// Decides whether there is anything of the group at all, its directory included.
    #[doc(alias = "SYSFS_GROUP_INVISIBLE")]
    pub fn when(self, when: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            when: Some(Box::new(when)),
            ..self
        }
    }

    /// Makes what is visible; all or nothing.
    fn make(&self, dir: &Dir) -> Result<Made> {
        /// Undoes what was made, also when `visible` panics.
        struct Undo(Made);
        impl Drop for Undo {
            fn drop(&mut self) {
                // It is new, so this thread is in none of its callbacks.
                let _ = self.0.remove();
            }
        }
        let mut undo = Undo(Made::default());
        if self.when.as_ref().is_none_or(|when| when()) {
            self.fill(dir, &mut undo.0)?;
        }
        Ok(mem::take(&mut undo.0))
    }

    fn fill(&self, dir: &Dir, made: &mut Made) -> Result<()> {
        let dir = match &self.name {
            Some(name) => {
                let dir = dir.create_dir(name, 0o755)?;
                made.dir = Some(dir.clone());
                dir
            }
            None => dir.clone(),
        };
        for (name, attr) in &self.attrs {
            let usual = attr.usual_mode();
            let mode = self
                .visible
                .as_ref()
                .map_or(usual, |visible| visible(name, usual));
            if mode != 0 {
                made.files
                    .push(dir.attr(name, attr.clone().mode(mode))?.into());
            }
        }
        Ok(())
    }
}

/// What there is of a group now.
#[derive(Debug, Default)]
struct Made {
    dir: Option<Dir>,
    files: Vec<Node>,
}

impl Made {
    #[track_caller]
    fn remove(&mut self) -> Result<()> {
        // All or nothing.
        for file in &self.files {
            remove::refuse_own(
                "removal of a group",
                &file.0,
                slice::from_ref(&file.0),
                Location::caller(),
            )?;
        }
        if let Some(dir) = &self.dir {
            dir.remove()?;
            *self = Self::default();
        }
        while let Some(file) = self.files.last() {
            file.remove()?;
            self.files.pop();
        }
        Ok(())
    }
}

impl Dir {
    /// Makes the attributes of a group that are visible: all of them, or none and an error.
    ///
    /// # Errors
    /// As [`Dir::attr`] and [`Dir::create_dir`].
    #[doc(alias = "sysfs_create_group")]
    pub fn create_group(&self, group: Group) -> Result<GroupHandle> {
        Ok(GroupHandle {
            made: Mutex::new(Some(group.make(self)?)),
            parent: self.clone(),
            group,
        })
    }
}

/// A group that was made. Dropping it leaves the attributes where they are: they go with their directory.
pub struct GroupHandle {
    parent: Dir,
    group: Group,
    /// `None` while it is being changed: no lock is held over callbacks, nor while they are waited for.
    made: Mutex<Option<Made>>,
}

/// A change of a group, which ends when this is dropped.
struct Change<'h>(&'h GroupHandle, Made);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        *self.0.made() = Some(mem::take(&mut self.1));
    }
}

impl GroupHandle {
    fn made(&self) -> MutexGuard<'_, Option<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> Result<Change<'_>> {
        self.parent.0.0.tree.check("change of a group")?;
        let made = self.made().take();
        match made {
            Some(made) => Ok(Change(self, made)),
            None => Err(self
                .parent
                .error(Errno::EBUSY, "change of a group that is being changed,")),
        }
    }

    /// Asks again what is visible, and makes the attributes anew: open files of the old ones die.
    ///
    /// # Errors
    /// EDEADLK: inside a callback of one of the attributes; nothing was changed. EBUSY: another thread changes the
    /// group. As [`Dir::create_group`]; then there is nothing of the group any more.
    #[doc(alias = "sysfs_update_group")]
    #[track_caller]
    pub fn update(&self) -> Result<()> {
        let mut change = self.change()?;
        change.1.remove()?;
        change.1 = self.group.make(&self.parent)?;
        Ok(())
    }

    /// Removes the attributes, and the group's directory if it has one.
    ///
    /// # Errors
    /// EDEADLK: inside a callback of one of them; nothing was changed. EBUSY: another thread changes the group.
    #[doc(alias = "sysfs_remove_group")]
    #[track_caller]
    pub fn remove(&self) -> Result<()> {
        self.change()?.1.remove()
    }

    /// The group's own directory, if there is one now; not while the group is being changed, nor in a forked child.
    pub fn dir(&self) -> Option<Dir> {
        if !self.parent.0.0.tree.is_ours() {
            return None;
        }
        self.made().as_ref().and_then(|made| made.dir.clone())
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("attrs", &self.attrs)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GroupHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupHandle")
            .field("group", &self.group)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}
