//! Paths: of a node, from one node to another, and the text of a symlink.
//!
//! The kernel's `kernfs_path_from_node` and `kernfs_get_target_path`. No lock. The links from a node up to the root
//! are collected, and all read again: if each is the same, there is a moment between the two rounds when all of
//! them held (as in [`crate::lookup`]). Where the kernel may mix old and new names of a path, and needs a lock where
//! nodes move, this is always a path that was. It is never cut: the caller gets all of it.

use std::sync::Arc;

use urcu::{Guard, Memb};

use crate::error::{Errno, Error, Result};
use crate::inner::{Inner, Link};
use crate::step::step;

/// Longest text of a symlink, without the NUL.
const PATH_MAX: usize = 4095;

/// The node and the nodes above it, with their links; the root last.
type Chain<'g> = Vec<(&'g Inner, &'g Link)>;

fn chain<'g>(node: &'g Inner, guard: &'g Guard<'_>) -> Chain<'g> {
    let mut chain = Vec::with_capacity(16);
    let mut next = Some(node);
    while let Some(node) = next {
        let link = node.link(guard);
        chain.push((node, link));
        next = link.parent.as_deref();
    }
    chain
}

/// The chains of some nodes, all of one moment.
fn chains<'g, const N: usize>(nodes: [&'g Inner; N], guard: &'g Guard<'_>) -> [Chain<'g>; N] {
    loop {
        let chains = nodes.map(|node| chain(node, guard));
        step("links read");
        let mut links = chains.iter().flatten();
        if links.all(|(node, link)| core::ptr::eq(node.link(guard), *link)) {
            return chains;
        }
        // A rename of one of these was faster.
    }
}

/// How many nodes, from the root down, two chains have in common.
fn common(one: &Chain<'_>, other: &Chain<'_>) -> usize {
    let pairs = one.iter().rev().zip(other.iter().rev());
    pairs
        .take_while(|((one, _), (other, _))| core::ptr::eq(*one, *other))
        .count()
}

/// "/name" for each node of a chain but the `above` uppermost ones.
fn push_names(path: &mut Vec<u8>, chain: &Chain<'_>, above: usize) {
    let below = &chain[..chain.len() - above];
    path.reserve(
        below
            .iter()
            .map(|(_, link)| link.label.name().len() + 1)
            .sum(),
    );
    for (_, link) in below.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(link.label.name());
    }
}

/// The path from the root: "/" for the root itself.
pub(crate) fn full(node: &Inner, guard: &Guard<'_>) -> Vec<u8> {
    let [chain] = chains([node], guard);
    let mut path = Vec::new();
    push_names(&mut path, &chain, 1);
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

/// The path from `from` to `to`: a "/.." for each level up to where they meet, then the names down.
pub(crate) fn between(from: &Inner, to: &Inner, guard: &Guard<'_>) -> Result<Vec<u8>> {
    if core::ptr::eq(from, to) {
        return Ok(b"/".to_vec());
    }
    let [from, to] = chains([from, to], guard);
    let common = common(&from, &to);
    if common == 0 {
        return Err(Errno::EINVAL.because("path between nodes of different roots"));
    }
    let mut path = b"/..".repeat(from.len() - common);
    push_names(&mut path, &to, common);
    Ok(path)
}

/// The text of a symlink: up from the link's directory to a directory that is above the target, or is the
/// target's own, and down to the target.
pub(crate) fn link_text(link: &Inner, target: &Inner, guard: &Guard<'_>) -> Result<Vec<u8>> {
    let [mut link, target] = chains([link, target], guard);
    link.remove(0);
    // At most up to the directory of the target, also if the link is below the target.
    let common = common(&link, &target).min(target.len() - 1);
    let mut text = b"../".repeat(link.len() - common);
    // The names begin with a slash, which the text has already, or must not have.
    let up = text.len();
    push_names(&mut text, &target, common);
    text.remove(up);
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

#[cfg(test)]
mod tests {
    use crate::step::at_steps;

    // R23, S9: a path is built again if one of its names was changed meanwhile.
    #[test]
    fn a_path_mixed_old_and_new_names() {
        let root = crate::root::Root::new();
        let a = root.create_dir("a", 0o755).unwrap();
        let leaf = a
            .create_dir("b", 0o755)
            .unwrap()
            .create_dir("leaf", 0o755)
            .unwrap();
        let link = root.create_link("l", &leaf).unwrap();
        let renamed = |to: &'static str| {
            let (a, root, mut once) = (a.clone(), root.clone(), true);
            move |step: &str| {
                if step == "links read" && std::mem::take(&mut once) {
                    a.rename(&root, to).unwrap();
                }
            }
        };
        let path = at_steps(renamed("a longer name"), || leaf.path());
        assert_eq!(path.escape_ascii().to_string(), "/a longer name/b/leaf");
        let path = at_steps(renamed("c"), || leaf.path_from(&root));
        assert_eq!(path.unwrap(), b"/c/b/leaf");
        let text = at_steps(renamed("d"), || link.readlink());
        assert_eq!(text.unwrap(), b"d/b/leaf");
    }
}
