//! Random operations on a tree and on an obvious model of it, a list of nodes with their parents: results and the whole
//! visible state must agree after each. One file, though long: the model is nothing without the operations.

mod common;

use std::collections::BTreeMap;

use common::rounds;
use kernfs::{Creation, Dir, Errno, Kind, Node, Ns, Result, Root, RootFlags, SetAttr, ro};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// One node that ever was.
struct Entry {
    real: Node,
    kind: Kind,
    /// `None`: the root.
    place: Option<Place>,
    alive: bool,
    activated: bool,
    hidden: bool,
    namespaced: bool,
    stays_empty: bool,
    mode: u32,
    /// The attribute record's group.
    gid: Option<u32>,
    target: Option<usize>,
    revision: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    parent: usize,
    name: String,
    ns: Option<Ns>,
}

struct Model {
    root: Root,
    flags: RootFlags,
    /// The tree's group.
    gid: u32,
    nodes: Vec<Entry>,
}

/// Nodes are chosen by numbers modulo how many there are; names from a few.
#[derive(Clone, Debug)]
enum Op {
    Make {
        kind: Kind,
        dir: usize,
        name: usize,
        ns: u64,
        mode: u32,
    },
    Empty {
        dir: usize,
        name: usize,
    },
    Link {
        dir: usize,
        name: usize,
        target: usize,
    },
    Remove {
        node: usize,
    },
    RemoveByName {
        dir: usize,
        name: usize,
        ns: u64,
    },
    Rename {
        node: usize,
        dir: usize,
        name: Option<usize>,
        ns: Option<u64>,
    },
    Hide {
        node: usize,
    },
    Show {
        node: usize,
    },
    Activate {
        node: usize,
    },
    EnableNs {
        dir: usize,
    },
    SetAttr {
        node: usize,
        mode: Option<u32>,
        gid: Option<u32>,
    },
}

const NAMES: [&str; 4] = ["a", "b", "a name that is kept elsewhere", "c"];

fn name(n: usize) -> &'static str {
    NAMES[n % NAMES.len()]
}

fn op() -> impl Strategy<Value = Op> {
    // Low numbers more often: they have what is below them.
    let node = || prop_oneof![3 => 0..6_usize, 1 => 0..100_usize];
    let names = || 0..NAMES.len();
    let ns = || prop_oneof![4 => Just(0_u64), 1 => 1..3_u64];
    let mode = || prop_oneof![Just(0o755_u32), Just(0o2755), Just(0o600)];
    let kind = prop_oneof![3 => Just(Kind::Dir), 2 => Just(Kind::File)];
    prop_oneof![
        8 => (kind, node(), names(), ns(), mode())
            .prop_map(|(kind, dir, name, ns, mode)| Op::Make { kind, dir, name, ns, mode }),
        1 => (node(), names()).prop_map(|(dir, name)| Op::Empty { dir, name }),
        2 => (node(), names(), node()).prop_map(|(dir, name, target)| Op::Link { dir, name, target }),
        2 => node().prop_map(|node| Op::Remove { node }),
        1 => (node(), names(), ns()).prop_map(|(dir, name, ns)| Op::RemoveByName { dir, name, ns }),
        6 => (node(), node(), prop::option::of(names()), prop::option::of(ns()))
            .prop_map(|(node, dir, name, ns)| Op::Rename { node, dir, name, ns }),
        2 => node().prop_map(|node| Op::Hide { node }),
        2 => node().prop_map(|node| Op::Show { node }),
        1 => node().prop_map(|node| Op::Activate { node }),
        1 => node().prop_map(|dir| Op::EnableNs { dir }),
        2 => (node(), prop::option::of(mode()), prop::option::of(0..3_u32))
            .prop_map(|(node, mode, gid)| Op::SetAttr { node, mode, gid }),
    ]
}

impl Model {
    fn new(flags: RootFlags) -> Self {
        let root = Root::with_flags(flags);
        let gid = root.stat().gid;
        let mut model = Self {
            root,
            flags,
            gid,
            nodes: Vec::new(),
        };
        let real = (**model.root).clone();
        let root = model.entry(real, Kind::Dir, None, 0o555);
        model.nodes.push(root);
        model
    }

    fn entry(&self, real: Node, kind: Kind, place: Option<Place>, mode: u32) -> Entry {
        Entry {
            real,
            kind,
            place,
            alive: true,
            activated: !self.flags.contains(RootFlags::CREATE_DEACTIVATED),
            hidden: false,
            namespaced: false,
            stays_empty: false,
            mode,
            gid: None,
            target: None,
            revision: 0,
        }
    }

    fn children(&self, dir: usize) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(move |n| {
            let node = &self.nodes[*n];
            node.alive && node.place.as_ref().is_some_and(|place| place.parent == dir)
        })
    }

    fn find(&self, place: &Place) -> Option<usize> {
        self.children(place.parent)
            .find(|n| self.nodes[*n].place.as_ref() == Some(place))
    }

    fn is_active(&self, n: usize) -> bool {
        let node = &self.nodes[n];
        node.alive && node.activated && !node.hidden
    }

    fn is_below(&self, n: usize, top: usize) -> bool {
        n == top
            || self.nodes[n]
                .place
                .as_ref()
                .is_some_and(|p| self.is_below(p.parent, top))
    }

    fn subtree(&self, top: usize) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|n| self.nodes[*n].alive && self.is_below(*n, top))
            .collect()
    }

    fn path(&self, n: usize) -> String {
        match &self.nodes[n].place {
            None => String::new(),
            Some(place) => format!("{}/{}", self.path(place.parent), place.name),
        }
    }

    fn dir(&self, n: usize) -> Option<Dir> {
        self.nodes[n].real.as_dir()
    }

    /// What linking at a place says.
    fn may_add(&self, place: &Place) -> Result<(), Errno> {
        let dir = &self.nodes[place.parent];
        match dir {
            _ if dir.namespaced != place.ns.is_some() => Err(Errno::EINVAL),
            _ if !dir.alive || dir.stays_empty => Err(Errno::ENOENT),
            _ if self.find(place).is_some() => Err(Errno::EEXIST),
            _ => Ok(()),
        }
    }

    fn add(
        &mut self,
        place: Place,
        (kind, mut mode): (Kind, u32),
        mut gid: Option<u32>,
        real: Node,
    ) -> usize {
        self.nodes[place.parent].revision += 1;
        let dir = &self.nodes[place.parent];
        if dir.mode & 0o2000 != 0 {
            if kind == Kind::Dir {
                mode |= 0o2000;
            }
            gid = dir.gid.or(gid);
        }
        let mut entry = self.entry(real, kind, Some(place), mode);
        // Nobody needs a record for what he has anyway.
        entry.gid = gid.filter(|gid| *gid != self.gid);
        self.nodes.push(entry);
        self.nodes.len() - 1
    }

    /// Runs the operation on both; both must say the same.
    fn run(&mut self, op: &Op) {
        let count = self.nodes.len();
        let pick = |n: usize| n % count;
        match op.clone() {
            Op::Make {
                kind,
                dir,
                name: n,
                ns,
                mode,
            } => {
                let Some(real) = self.dir(pick(dir)) else {
                    return;
                };
                let place = Place {
                    parent: pick(dir),
                    name: name(n).into(),
                    ns: Ns::new(ns),
                };
                let expected = self.may_add(&place);
                let with = place
                    .ns
                    .map_or(Creation::new(), |ns| Creation::new().ns(ns));
                let made: Result<Node> = match kind {
                    Kind::Dir => real
                        .create_dir_with(&place.name, mode, with)
                        .map(Into::into),
                    _ => real
                        .create_file_with(&place.name, mode, 0, Quiet, with)
                        .map(Into::into),
                };
                self.made(expected, made, place, (kind, mode), None);
            }
            Op::Empty { dir, name: n } => {
                let Some(real) = self.dir(pick(dir)) else {
                    return;
                };
                let place = Place {
                    parent: pick(dir),
                    name: name(n).into(),
                    ns: None,
                };
                let expected = self.may_add(&place);
                let made = real.create_empty_dir(&place.name).map(Into::into);
                if let Some(new) = self.made(expected, made, place, (Kind::Dir, 0o555), None) {
                    self.nodes[new].stays_empty = true;
                }
            }
            Op::Link {
                dir,
                name: n,
                target,
            } => {
                let Some(real) = self.dir(pick(dir)) else {
                    return;
                };
                let target = pick(target);
                let to = &self.nodes[target];
                let ns = to.place.as_ref().and_then(|place| place.ns);
                let ns = ns.filter(|_| self.nodes[pick(dir)].namespaced);
                let place = Place {
                    parent: pick(dir),
                    name: name(n).into(),
                    ns,
                };
                let expected = match to {
                    _ if to.place.is_none() => Err(Errno::EINVAL),
                    _ if !to.alive => Err(Errno::ENOENT),
                    _ => self.may_add(&place),
                };
                let gid = to.gid;
                let made = real.create_link(&place.name, &to.real).map(Into::into);
                if let Some(new) = self.made(expected, made, place, (Kind::Link, 0o777), gid) {
                    self.nodes[new].target = Some(target);
                }
            }
            // The root goes with the tree.
            Op::Remove { node } if pick(node) != 0 => {
                let node = pick(node);
                self.nodes[node].real.remove().unwrap();
                self.removed(node);
            }
            Op::Remove { .. } => {}
            Op::RemoveByName { dir, name: n, ns } => {
                let Some(real) = self.dir(pick(dir)) else {
                    return;
                };
                let place = Place {
                    parent: pick(dir),
                    name: name(n).into(),
                    ns: Ns::new(ns),
                };
                let found = self.find(&place);
                let result = real.remove_by_name_ns(&place.name, place.ns);
                assert_eq!(
                    result.map_err(|e| e.errno()),
                    found.map(|_| ()).ok_or(Errno::ENOENT)
                );
                if let Some(node) = found {
                    self.removed(node);
                }
            }
            Op::Rename {
                node,
                dir,
                name: n,
                ns,
            } => self.rename(pick(node), pick(dir), n.map(name), ns),
            Op::Hide { node } | Op::Show { node } => {
                let node = pick(node);
                let hide = matches!(op, Op::Hide { .. });
                let entry = &mut self.nodes[node];
                let result = if hide {
                    entry.real.hide()
                } else {
                    entry.real.show()
                };
                let expected = if entry.kind == Kind::Dir {
                    Err(Errno::EINVAL)
                } else {
                    Ok(())
                };
                assert_eq!(result.map_err(|e| e.errno()), expected);
                if expected.is_ok() {
                    entry.hidden = hide;
                }
            }
            Op::Activate { node } => {
                self.nodes[pick(node)].real.activate();
                for n in self.subtree(pick(node)) {
                    self.nodes[n].activated = true;
                }
            }
            Op::EnableNs { dir } => {
                let Some(real) = self.dir(pick(dir)) else {
                    return;
                };
                let may = self.children(pick(dir)).next().is_none();
                let entry = &mut self.nodes[pick(dir)];
                let expected = if may && !entry.stays_empty {
                    Ok(())
                } else {
                    Err(Errno::EINVAL)
                };
                assert_eq!(real.enable_ns().map_err(|e| e.errno()), expected);
                entry.namespaced |= expected.is_ok();
            }
            Op::SetAttr { node, mode, gid } => {
                let own = self.gid;
                let entry = &mut self.nodes[pick(node)];
                let expected = if entry.stays_empty {
                    Err(Errno::EPERM)
                } else {
                    Ok(())
                };
                let result = entry.real.setattr(&SetAttr {
                    mode,
                    gid,
                    ..SetAttr::default()
                });
                assert_eq!(result.map_err(|e| e.errno()), expected);
                if expected.is_ok() {
                    entry.mode = mode.unwrap_or(entry.mode);
                    entry.gid = gid.or(entry.gid).or(Some(own));
                }
            }
        }
    }

    fn made(
        &mut self,
        expected: Result<(), Errno>,
        made: Result<Node>,
        place: Place,
        what: (Kind, u32),
        gid: Option<u32>,
    ) -> Option<usize> {
        assert_eq!(made.as_ref().map(drop).map_err(|e| e.errno()), expected);
        Some(self.add(place, what, gid, made.ok()?))
    }

    fn removed(&mut self, top: usize) {
        if !self.nodes[top].alive {
            return;
        }
        for n in self.subtree(top) {
            self.nodes[n].alive = false;
        }
        if let Some(place) = &self.nodes[top].place {
            let parent = place.parent;
            self.nodes[parent].revision += 1;
        }
    }

    fn rename(&mut self, node: usize, dir: usize, new: Option<&str>, ns: Option<u64>) {
        let Some(real) = self.dir(dir) else { return };
        let old = self.nodes[node].place.clone();
        let ns = ns.map_or(old.as_ref().and_then(|p| p.ns), Ns::new);
        let name = new
            .map(str::to_owned)
            .or(old.as_ref().map(|p| p.name.clone()));
        let result = self.nodes[node]
            .real
            .rename_ns(&real, new.map(str::as_bytes), ns);
        let place = Place {
            parent: dir,
            name: name.unwrap_or_default(),
            ns,
        };
        let expected = match &old {
            None => Err(Errno::EINVAL),
            _ if !self.is_active(node) => Err(Errno::ENOENT),
            _ if !self.is_active(dir) || self.nodes[dir].stays_empty => Err(Errno::ENOENT),
            Some(old) if old.parent != dir && self.flags.contains(RootFlags::INVARIANT_PARENT) => {
                Err(Errno::EINVAL)
            }
            Some(old) if *old == place => Ok(false),
            _ if self.is_below(dir, node) => Err(Errno::EINVAL),
            _ => self.may_add(&place).map(|()| true),
        };
        assert_eq!(result.map_err(|e| e.errno()), expected.map(drop));
        if let (Ok(true), Some(old)) = (expected, old) {
            self.nodes[old.parent].revision += 1;
            if old.parent != dir {
                self.nodes[dir].revision += 1;
            }
            self.nodes[node].place = Some(place);
        }
    }

    /// Everything that can be seen.
    fn check(&self) {
        let spaces = [None, Ns::new(1), Ns::new(2)];
        for (n, node) in self.nodes.iter().enumerate() {
            let real = &node.real;
            assert_eq!(real.is_active(), self.is_active(n), "{real:?}");
            let path = self.path(n);
            assert_eq!(
                real.path(),
                if n == 0 {
                    "/".as_bytes()
                } else {
                    path.as_bytes()
                }
            );
            let parent = node
                .place
                .as_ref()
                .map(|p| self.nodes[p.parent].real.clone());
            assert_eq!(real.parent().map(Node::from), parent);
            assert_eq!(real.ns(), node.place.as_ref().and_then(|p| p.ns));
            let found = self.root.find_by_id(real.id());
            assert_eq!(found.as_ref(), self.is_active(n).then_some(real));
            let stat = real.stat();
            assert_eq!(
                (stat.mode, stat.id, stat.kind),
                (node.mode, real.id(), node.kind)
            );
            assert_eq!(stat.gid, node.gid.unwrap_or(self.gid));
            let subdirs = self
                .children(n)
                .filter(|c| self.nodes[*c].kind == Kind::Dir)
                .count();
            let nlink = match node.kind {
                _ if !node.alive => 0,
                Kind::Dir => 2 + subdirs,
                _ => 1,
            };
            assert_eq!(stat.nlink as usize, nlink);
            if let (Some(link), Some(target)) = (real.as_link(), node.target) {
                assert_eq!(link.target().as_ref(), Some(&self.nodes[target].real));
                self.check_text(n, target, &link.readlink().unwrap());
            }
            let Some(dir) = real.as_dir() else { continue };
            if node.alive {
                assert_eq!(dir.revision(), node.revision, "{dir:?}");
            }
            for ns in spaces {
                for name in NAMES {
                    let place = Place {
                        parent: n,
                        name: name.into(),
                        ns,
                    };
                    let found = self.find(&place).map(|c| self.nodes[c].real.clone());
                    assert_eq!(dir.find_ns(name, ns), found);
                }
                let tag = ns.filter(|_| node.namespaced);
                let expected: BTreeMap<Vec<u8>, u64> = self
                    .children(n)
                    .filter(|c| self.is_active(*c))
                    .filter_map(|c| {
                        let place = self.nodes[c].place.as_ref()?;
                        let entry = (place.name.as_bytes().to_vec(), self.nodes[c].real.id());
                        (place.ns == tag).then_some(entry)
                    })
                    .collect();
                let listed: Vec<_> = dir.entries_ns(ns).map(|e| (e.name, e.id)).collect();
                assert_eq!(listed.len(), expected.len());
                assert_eq!(listed.into_iter().collect::<BTreeMap<_, _>>(), expected);
            }
        }
        // A path leads where it says, where no name space is on the way.
        for n in 0..self.nodes.len() {
            let mut tags = std::iter::successors(Some(n), |n| {
                self.nodes[*n].place.as_ref().map(|place| place.parent)
            });
            if self.nodes[n].alive && tags.all(|n| self.nodes[n].real.ns().is_none()) {
                assert_eq!(
                    self.root.walk(self.path(n)),
                    Some(self.nodes[n].real.clone())
                );
            }
        }
    }

    /// Follows the text of a link from its directory.
    fn check_text(&self, link: usize, target: usize, text: &[u8]) {
        let mut at = self.nodes[link].place.as_ref().unwrap().parent;
        let mut names = Vec::new();
        for name in str::from_utf8(text).unwrap().split('/') {
            match name {
                ".." => at = self.nodes[at].place.as_ref().unwrap().parent,
                name => names.push(name),
            }
        }
        let above = self.path(at);
        assert_eq!(format!("{above}/{}", names.join("/")), self.path(target));
    }
}

struct Quiet;

impl kernfs::Ops for Quiet {
    const HAS: kernfs::Has = kernfs::Has::NONE;
    type Open = ();
    fn open(&self, _: &mut kernfs::Cx<'_>) -> Result<()> {
        Ok(())
    }
}

fn flags() -> impl Strategy<Value = RootFlags> {
    prop_oneof![
        4 => Just(RootFlags::NONE),
        1 => Just(RootFlags::CREATE_DEACTIVATED),
        1 => Just(RootFlags::INVARIANT_PARENT),
    ]
}

/// The same operations in every run, unless more are asked for.
fn seed() -> RngSeed {
    match std::env::var_os("KERNFS_ROUNDS") {
        Some(_) => RngSeed::Random,
        None => RngSeed::Fixed(1),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        rng_seed: seed(),
        ..ProptestConfig::with_cases(u32::try_from(rounds(150)).unwrap())
    })]

    #[test]
    fn a_tree_is_what_the_model_says(
        flags in flags(),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut model = Model::new(flags);
        for op in &ops {
            model.run(op);
            if ops.len() < 20 {
                model.check();
            }
        }
        model.check();
        let Model { root, nodes, .. } = model;
        drop(nodes);
        root.destroy().unwrap();
    }
}

#[test]
fn nothing_of_a_removed_tree_stays() {
    let root = Root::new();
    let dir = root.create_dir("d", 0o755).unwrap();
    dir.attr("f", ro(|| 1)).unwrap().rename(&root, "g").unwrap();
    dir.rename(&root, "e").unwrap();
    drop(dir);
    for entry in root.entries() {
        root.remove_by_name(&entry.name).unwrap();
    }
    for _ in 0..3 {
        urcu::Memb::barrier();
    }
    assert_eq!(root.stats().nodes, 1);
}
