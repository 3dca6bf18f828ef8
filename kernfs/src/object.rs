//! An object of the program and its directory. The kernel's `kobject`.

use core::fmt;
use core::ops::Deref;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io::Write as _;

use crate::error::{Errno, Result};
use crate::group::{Group, GroupHandle};
use crate::node::Dir;
use crate::remove;
use crate::uevent::{Action, Uevents};

/// Owns a directory: dropping it removes the directory and waits for all callbacks below it.
///
/// Keep it beside, or in, what it stands for; what the attributes captured is dropped before the drop
/// returns. Dropped inside a callback of its own attributes it cannot wait: then a thread of its own removes
/// it when the callback has ended.
///
/// ```
/// use kernfs::{Object, Root, ro};
///
/// let root = Root::new();
/// let fan = Object::new(&root, "fan0")?;
/// fan.attr("speed", ro(|| 1200))?;
/// drop(fan);
/// assert!(root.find("fan0").is_none());
/// # Ok::<(), kernfs::Error>(())
/// ```
#[doc(alias = "kobject")]
pub struct Object {
    dir: Dir,
    news: Option<News>,
}

struct News {
    uevents: Uevents,
    subsystem: String,
    announced: AtomicBool,
}

impl Object {
    /// A directory (0755) in `parent`. A "/" in the name becomes a "!".
    ///
    /// # Errors
    /// As [`Dir::create_dir`].
    #[doc(alias = "kobject_init_and_add")]
    pub fn new(parent: &Dir, name: impl AsRef<str>) -> Result<Self> {
        let dir = parent.create_dir(name.as_ref().replace('/', "!"), 0o755)?;
        Ok(Self { dir, news: None })
    }

    /// Sends news of the object to this channel: see [`announce`](Self::announce).
    #[must_use]
    pub fn with_uevents(mut self, uevents: &Uevents, subsystem: impl Into<String>) -> Self {
        self.news = Some(News {
            uevents: uevents.clone(),
            subsystem: subsystem.into(),
            announced: AtomicBool::new(false),
        });
        self
    }

    /// Makes a group of attributes.
    ///
    /// # Errors
    /// As [`Dir::create_group`].
    pub fn group(&self, group: Group) -> Result<GroupHandle> {
        self.dir.create_group(group)
    }

    /// Sends "add". Call it when all attributes are there: who hears of it looks for them. "remove" is sent
    /// by itself before the directory goes.
    ///
    /// # Errors
    /// As [`uevent`](Self::uevent).
    pub fn announce(&self) -> Result<()> {
        self.uevent(Action::Add, &[])
    }

    /// Sends an event of this object.
    ///
    /// # Errors
    /// EINVAL: it has no channel. And as [`Uevents::send`].
    pub fn uevent(&self, action: Action, variables: &[(&str, &str)]) -> Result<()> {
        let Some(news) = &self.news else {
            return Err(self
                .dir
                .error(Errno::EINVAL, "event without a channel, object"));
        };
        news.uevents
            .send(action, self.dir.path(), &news.subsystem, variables)?;
        match action {
            Action::Add => news.announced.store(true, Ordering::Relaxed),
            Action::Remove => news.announced.store(false, Ordering::Relaxed),
            _ => {}
        }
        Ok(())
    }

    /// Notifies the attribute at this path below the object, if there is one; tells whether.
    #[doc(alias = "sysfs_notify")]
    pub fn notify(&self, path: impl AsRef<[u8]>) -> bool {
        let file = self.dir.walk(path).and_then(|node| node.as_file());
        file.inspect(|file| file.notify()).is_some()
    }
}

impl Deref for Object {
    type Target = Dir;
    fn deref(&self) -> &Dir {
        &self.dir
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        let node = &self.dir.0.0;
        if !node.tree.is_ours() {
            return; // a forked child: the object is the parent's, who will tell its end
        }
        if self
            .news
            .as_ref()
            .is_some_and(|news| news.announced.load(Ordering::Relaxed))
        {
            // Too long a path: then "add" was not sent either.
            let _ = self.uevent(Action::Remove, &[]);
        }
        if let Err(error) = remove::remove_in_drop(node, Location::caller()) {
            let line = format!("kernfs: an object was dropped, its directory stays: {error}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Object").field(&self.dir).finish()
    }
}
