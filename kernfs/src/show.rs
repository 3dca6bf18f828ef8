//! Activating what was made, hiding and showing it. The kernel's `kernfs_activate` and `kernfs_show`.
//!
//! Hiding drains as removal does. While it does the node must stay closed: a drain that waited for a node that is used
//! again might wait for ever, and the release of its open files would run beside their other callbacks. So who shows
//! a node that is just being hidden leaves the opening to whoever hides it, and waits for nobody.

use core::panic::Location;
use std::sync::Arc;

use urcu::Memb;

use crate::error::{Errno, Result};
use crate::inner::Inner;
use crate::node::Node;
use crate::remove;
use crate::state::{ACTIVATED, HIDDEN};

impl Node {
    /// Opens the node and all below it for use, children before their parents: needed once in a tree with
    /// [`RootFlags::CREATE_DEACTIVATED`](crate::RootFlags::CREATE_DEACTIVATED), for what was made since. Does nothing to
    /// what is active, and does not show what is hidden. Blocks for the tree lock only.
    #[doc(alias = "kernfs_activate")]
    pub fn activate(&self) {
        let mut opened = Vec::new();
        {
            let Ok(locked) = self.0.tree.write("activation") else {
                return;
            };
            for member in remove::collect(&self.0, &locked) {
                member.state.set(ACTIVATED);
                if open_up(&member) {
                    opened.push(member);
                }
            }
        }
        for node in opened {
            tell(&node, true);
        }
    }

    /// Hides a file or link: it is not found any more, and cannot be used, as if it were removed; its name stays taken.
    ///
    /// When this returns, no callback of the node runs, and none will before it is shown. Each open file was released;
    /// those with a `release` callback stay dead, also when the node is shown again. Blocks until the callbacks that
    /// run are finished. Time and revision of the directory do not change.
    ///
    /// # Errors
    /// EINVAL: a directory. EDEADLK: the calling thread is inside a callback of the node; nothing was changed.
    #[doc(alias = "kernfs_show")]
    #[track_caller]
    pub fn hide(&self) -> Result<()> {
        hide(&self.0, Location::caller())
    }

    /// Shows it again. If another thread is just hiding it, that one does so as soon as it has drained it.
    ///
    /// # Errors
    /// EINVAL: a directory.
    #[doc(alias = "kernfs_show")]
    pub fn show(&self) -> Result<()> {
        refuse_dir(&self.0)?;
        let opened = {
            let _locked = self.0.tree.write("showing")?;
            self.0.state.clear(HIDDEN);
            open_up(&self.0)
        };
        if opened {
            tell(&self.0, true);
        }
        Ok(())
    }

    /// Whether it is hidden.
    pub fn is_hidden(&self) -> bool {
        self.0.state.has(HIDDEN)
    }
}

/// Opens a node for operations if nothing speaks against it; tells whether it did. Tree lock held.
fn open_up(node: &Inner) -> bool {
    node.state.may_be_active() && node.active.activate()
}

fn refuse_dir(node: &Arc<Inner>) -> Result<()> {
    match node.dir() {
        Some(_) => Err(crate::path::error(Errno::EINVAL, "hiding or showing", node)),
        None => Ok(()),
    }
}

fn hide(node: &Arc<Inner>, place: &'static Location<'static>) -> Result<()> {
    refuse_dir(node)?;
    remove::refuse_own("hiding", node, core::slice::from_ref(node), place)?;
    let hid = {
        let _locked = node.tree.write("hiding")?;
        node.state.begin_hiding();
        node.active.deactivate();
        !node.state.set(HIDDEN)
    };
    remove::signal(node);
    remove::drain(node, place);
    let opened = {
        let _locked = node.tree.write("hiding")?;
        node.state.end_hiding();
        open_up(node)
    };
    if hid {
        tell(node, false);
    }
    if opened {
        tell(node, true);
    }
    Ok(())
}

fn tell(node: &Inner, shown: bool) {
    let queue = &node.tree.queue;
    if !queue.is_watched() {
        return;
    }
    let (parent, name) = {
        let guard = Memb::read_lock();
        let link = node.link(&guard);
        let parent = link.parent.as_ref().map(|parent| parent.id);
        (parent, link.label.name().to_vec())
    };
    let Some(parent) = parent else { return };
    queue.tell(|watch| {
        if shown {
            watch.added(parent, &name);
        } else {
            watch.removed(parent, &name, node.id);
        }
    });
}
