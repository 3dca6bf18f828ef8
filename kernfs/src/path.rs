//! Paths: of a node, from one node to another, and the text of a symlink.
//!
//! The kernel's `kernfs_path_from_node` and `kernfs_get_target_path`. No lock: names and parents are read
//! in one section. A path is never cut: the caller gets all of it.

use std::sync::Arc;

use urcu::{Guard, Memb};

use crate::cx::Host;
use crate::error::{Errno, Error, Result};
use crate::inner::Inner;

/// Longest text of a symlink, without the NUL.
const PATH_MAX: usize = 4095;

/// The node and the nodes above it, the root last.
fn chain<'g>(node: &'g Inner, guard: &'g Guard<'_>) -> impl Iterator<Item = &'g Inner> + Clone {
    core::iter::successors(Some(node), move |node| {
        node.parent(guard).map(|parent| &**parent)
    })
}

/// The nodes from below `top` down to `node`, which is below `top`.
fn names(node: &Inner, top: &Inner, guard: &Guard<'_>, separator_first: bool) -> Vec<u8> {
    let below = chain(node, guard).take_while(|n| !core::ptr::eq(*n, top));
    let length = below.clone().map(|n| n.link(guard).name.len() + 1).sum();
    // From the end, so that the chain is walked upwards and nothing is collected.
    let mut path = vec![b'/'; length];
    let mut end = length;
    for node in below {
        let name = &node.link(guard).name;
        path[end - name.len()..end].copy_from_slice(name);
        end -= name.len() + 1;
    }
    if !separator_first && !path.is_empty() {
        path.remove(0);
    }
    path
}

/// The root of the node's tree.
pub(crate) fn root<'g>(node: &'g Inner, guard: &'g Guard<'_>) -> &'g Inner {
    chain(node, guard).last().unwrap_or(node)
}

/// Whether `node` is `top` or below it.
fn is_below(node: &Inner, top: &Inner, guard: &Guard<'_>) -> bool {
    chain(node, guard).any(|n| core::ptr::eq(n, top))
}

/// The path from the root: "/" for the root itself.
pub(crate) fn full(node: &Inner, guard: &Guard<'_>) -> Vec<u8> {
    let path = names(node, root(node, guard), guard, true);
    if path.is_empty() { b"/".to_vec() } else { path }
}

/// The path from `from` to `to`: a "/.." for each level up to where they meet, then the names down.
pub(crate) fn between(from: &Inner, to: &Inner, guard: &Guard<'_>) -> Result<Vec<u8>> {
    if core::ptr::eq(from, to) {
        return Ok(b"/".to_vec());
    }
    // Quadratic in the depth only for who asks for paths across a deep tree.
    let mut path = Vec::new();
    for top in chain(from, guard) {
        if is_below(to, top, guard) {
            path.extend(names(to, top, guard, true));
            return Ok(path);
        }
        path.extend_from_slice(b"/..");
    }
    Err(Errno::EINVAL.because("path between nodes of different roots"))
}

/// The text of a symlink: up from the link's directory to a directory that is above the target, or is the
/// target's own, and down to the target.
pub(crate) fn link_text(link: &Inner, target: &Inner, guard: &Guard<'_>) -> Result<Vec<u8>> {
    let above = target.parent(guard).map_or(target, |parent| &**parent);
    let mut text = Vec::new();
    for base in chain(link, guard).skip(1) {
        if is_below(above, base, guard) {
            text.extend(names(target, base, guard, false));
            break;
        }
        text.extend_from_slice(b"../");
        if text.len() > PATH_MAX {
            break;
        }
    }
    if text.len() > PATH_MAX {
        return Err(Errno::ENAMETOOLONG.because(format!("symlink text of {} bytes", text.len())));
    }
    Ok(text)
}

/// An error about a node, with its path.
pub(crate) fn error(errno: Errno, what: &str, node: &Arc<Inner>) -> Error {
    let path = full(node, &Memb::read_lock());
    errno.because(format!("{what} of {}", path.escape_ascii()))
}

impl Host for Inner {
    fn id(&self) -> u64 {
        self.id
    }

    fn name(&self) -> Vec<u8> {
        self.link(&Memb::read_lock()).name.to_vec()
    }

    fn path(&self) -> Vec<u8> {
        full(self, &Memb::read_lock())
    }

    fn notify(&self) {
        Self::notify(self);
    }
}
