//! Finding entries and following paths of names, beside renames and removals.
//!
//! No lock. An index entry counts only if the node's link says this directory, this name space and this name, and
//! a rename changes the link in one swap: at no moment has a node both names or none. Why that is enough:
//!
//! *One name.* What is found was there when its link was read: a node has a link into a directory from the moment
//! when it is in the index, and leaves the index for good only when it is removed. Nothing is found only if at some
//! moment of the call there was nothing: an entry that is there throughout is in the index throughout, and its link
//! is the same.
//!
//! *A path.* Each link that matched is kept, and when the last name was looked up all are read again. Memory of this
//! section is not freed, so a link with the same address is the same link: from when it matched until now it did
//! not change, and there is a moment when all of them held, that of the last lookup. (A directory that was removed
//! meanwhile held its entry then: removal takes the entries out of a directory before the directory out of its
//! parent.) If one changed, a rename of something on this path was faster, and the walk starts anew.

use urcu::{Borrowed, Guard};

use crate::inner::{self, Inner, Link};
use crate::name;
use crate::ns::Ns;
use crate::step::step;

/// Links that are kept in place.
const SHORT: usize = 12;

/// The nodes of a walk with the links that matched.
struct Trail<'g> {
    short: [Option<(&'g Inner, &'g Link)>; SHORT],
    len: usize,
    long: Vec<(&'g Inner, &'g Link)>,
}

impl<'g> Trail<'g> {
    fn new() -> Self {
        Self {
            short: [None; SHORT],
            len: 0,
            long: Vec::new(),
        }
    }

    fn push(&mut self, node: &'g Inner, link: &'g Link) {
        match self.short.get_mut(self.len) {
            Some(place) => *place = Some((node, link)),
            None => self.long.push((node, link)),
        }
        self.len += 1;
    }

    /// Whether all the links are what they were.
    fn holds(&self, guard: &'g Guard<'_>) -> bool {
        let short = self.short.iter().take(self.len).flatten();
        short
            .chain(&self.long)
            .all(|(node, link)| core::ptr::eq(node.link(guard), *link))
    }
}

impl Inner {
    /// The entry of this name and tag, whatever the state of its node, and the link that says so. A tag in a
    /// directory without name spaces, or none in one with them: nothing.
    pub(crate) fn entry<'g>(
        &'g self,
        name: &[u8],
        ns: Option<Ns>,
        guard: &'g Guard<'_>,
    ) -> Option<(Borrowed<'g, Self>, &'g Link)> {
        let dir = self.dir()?;
        if self.is_namespaced() != ns.is_some() {
            return None;
        }
        let first = inner::key(name::hash(name, ns), 0);
        let mut from = first;
        loop {
            let (key, child) = dir.children.lower_bound(from, guard)?;
            if key >> 32 != first >> 32 {
                return None;
            }
            let link = child.into_ref().link(guard);
            if link.is_in(self) && link.label.is(name, ns) {
                return Some((child, link));
            }
            // Different names may have one hash.
            from = key.checked_add(1)?;
        }
    }

    /// The tag that an entry of this directory has for somebody who sees the name space `ns`.
    pub(crate) fn tag(&self, ns: Option<Ns>) -> Option<Ns> {
        ns.filter(|_| self.is_namespaced())
    }
}

/// Follows a path of names from `start`; see [`Dir::walk`](crate::Dir::walk).
pub(crate) fn walk<'g>(
    start: Borrowed<'g, Inner>,
    path: &[u8],
    ns: Option<Ns>,
    guard: &'g Guard<'_>,
) -> Option<Borrowed<'g, Inner>> {
    loop {
        let mut trail = Trail::new();
        let found = follow(start, path, ns, &mut trail, guard);
        // A single name needs no second look, see above.
        if trail.len <= usize::from(found.is_some()) || trail.holds(guard) {
            return found;
        }
    }
}

/// Goes as far as there are names; leaves each node and its link in `trail`.
fn follow<'g>(
    start: Borrowed<'g, Inner>,
    path: &[u8],
    ns: Option<Ns>,
    trail: &mut Trail<'g>,
    guard: &'g Guard<'_>,
) -> Option<Borrowed<'g, Inner>> {
    let mut node = start;
    for name in Components(path) {
        let dir = node.into_ref();
        let (child, link) = dir.entry(name, dir.tag(ns), guard)?;
        step("name found");
        trail.push(child.into_ref(), link);
        node = child;
    }
    Some(node)
}

/// The names of a path, none of them empty.
struct Components<'p>(&'p [u8]);

impl<'p> Iterator for Components<'p> {
    type Item = &'p [u8];

    #[inline]
    fn next(&mut self) -> Option<&'p [u8]> {
        loop {
            let (name, rest) = self.0.split_at(slash(self.0));
            match rest.split_first() {
                Some((_, rest)) => self.0 = rest,
                None if name.is_empty() => return None,
                None => self.0 = rest,
            }
            if !name.is_empty() {
                return Some(name);
            }
        }
    }
}

/// Where the first slash is, or the length. Eight bytes at a time: names are short, and a loop over bytes is guessed
/// wrong at the end of each.
#[inline]
fn slash(path: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const SLASHES: u64 = u64::from_le_bytes([b'/'; 8]);
    let mut at = 0;
    while let Some(word) = path[at..].first_chunk() {
        let zero = u64::from_le_bytes(*word) ^ SLASHES;
        // The lowest byte with its high bit set is the first that is zero (Knuth 7.1.3; the higher ones may deceive).
        let found = zero.wrapping_sub(ONES) & !zero & (ONES << 7);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8; // CAST: 63 at most
        }
        at += 8;
    }
    let rest = path[at..].iter().position(|byte| *byte == b'/');
    rest.map_or(path.len(), |rest| at + rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::at_steps;
    use urcu::Memb;

    fn inner(node: &crate::node::Dir) -> &Inner {
        &node.0.0
    }

    // S9. The directory is renamed between the lookups of the two names of a path that never was: what is renamed to
    // "b" is in it only while it is called "x". With the link that matched the walk sees it. The control loads the link
    // again after the match, and would have believed the path.
    #[test]
    fn a_walk_found_a_path_that_never_was() {
        let root = crate::root::Root::new();
        let a = root.create_dir("a", 0o755).unwrap();
        let child = root.create_dir("child", 0o755).unwrap();
        let guard = Memb::read_lock();
        let (found, matched) = inner(&root).entry(b"a", None, &guard).unwrap();
        a.rename(&root, "x").unwrap();
        child.rename(&a, "b").unwrap();
        let reloaded = found.into_ref().link(&guard);
        let (below, link) = found.into_ref().entry(b"b", None, &guard).unwrap();
        for (first, holds) in [(matched, false), (reloaded, true)] {
            let mut trail = Trail::new();
            trail.push(found.into_ref(), first);
            trail.push(below.into_ref(), link);
            assert_eq!(trail.holds(&guard), holds);
        }
    }

    #[test]
    fn a_path_is_split_as_std_splits_it() {
        let mut state = 1_u32;
        for len in 0..60 {
            for _ in 0..100 {
                // Bytes around the slash, and with the high bit, deceive a search that looks at words.
                let path: Vec<u8> = (0..len)
                    .map(|_| {
                        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        b"/.0a\xaf\xae/bcdefghij"[usize::try_from(state >> 28).unwrap()]
                    })
                    .collect();
                let names = path.split(|byte| *byte == b'/');
                let names = names.filter(|name| !name.is_empty());
                assert!(Components(&path).eq(names), "{path:?}");
            }
        }
    }

    // The same with the walk itself: what another thread might do between the two names is done there.
    #[test]
    fn a_walk_did_not_look_again() {
        let root = crate::root::Root::new();
        let a = root.create_dir("a", 0o755).unwrap();
        let child = root.create_dir("child", 0o755).unwrap();
        let (top, above, below) = (root.clone(), a.clone(), child.clone());
        let mut once = true;
        let meanwhile = move |step: &str| {
            if step == "name found" && std::mem::take(&mut once) {
                above.rename(&top, "x").unwrap();
                below.rename(&above, "b").unwrap();
            }
        };
        assert_eq!(at_steps(meanwhile, || root.walk("a/b")), None);
        assert_eq!(root.walk("x/b"), Some(child.clone().into()));

        // And what is missing was missing at one moment: the path is there before and after, but not its last name when
        // the first one was looked up.
        let (top, above, below) = (root.clone(), a, child);
        let mut once = true;
        let meanwhile = move |step: &str| {
            if step == "name found" && std::mem::take(&mut once) {
                let other = top.create_dir("other", 0o755).unwrap();
                above.rename(&top, "y").unwrap();
                below.rename(&other, "b").unwrap();
                other.rename(&top, "x").unwrap();
            }
        };
        assert!(at_steps(meanwhile, || root.walk("x/b")).is_some());
    }

    // A trail that is longer than what is kept in place.
    #[test]
    fn a_long_path_is_looked_at_again_as_a_whole() {
        let root = crate::root::Root::new();
        let mut dirs = vec![root.dir()];
        for _ in 0..SHORT + 3 {
            let next = dirs[dirs.len() - 1].create_dir("d", 0o755).unwrap();
            dirs.push(next);
        }
        let path = "d/".repeat(SHORT + 3);
        assert_eq!(root.walk(&path), Some(dirs[SHORT + 3].clone().into()));
        let guard = Memb::read_lock();
        for renamed in [0, 5, SHORT - 1, SHORT, SHORT + 2] {
            let mut trail = Trail::new();
            let start = Borrowed::from(&root.0.0);
            follow(start, path.as_bytes(), None, &mut trail, &guard).unwrap();
            assert!(trail.holds(&guard));
            dirs[renamed + 1].rename(&dirs[renamed], "e").unwrap();
            assert!(!trail.holds(&guard), "link {renamed}");
            dirs[renamed + 1].rename(&dirs[renamed], "d").unwrap();
            assert!(
                !trail.holds(&guard),
                "the name is the same, the link is not"
            );
        }
    }
}
