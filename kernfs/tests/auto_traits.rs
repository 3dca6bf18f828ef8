//! Which public types may cross threads.

use kernfs::{
    Attr, Cancel, Cx, Dir, Entries, Entry, Errno, Error, File, Link, Node, NodeRef, OpenFile, Ops,
    Root, Seq, Stat, Watching,
};
use static_assertions::{assert_impl_all, assert_not_impl_any, assert_obj_safe};

assert_impl_all!(Root: Send, Sync, Clone);
assert_impl_all!(Node: Send, Sync, Clone);
assert_impl_all!(Dir: Send, Sync, Clone);
assert_impl_all!(File: Send, Sync, Clone);
assert_impl_all!(Link: Send, Sync, Clone);
assert_impl_all!(OpenFile: Send, Sync);
assert_impl_all!(Entries: Send, Sync);
assert_impl_all!(Entry: Send, Sync);
assert_impl_all!(Attr: Send, Sync);
assert_impl_all!(Cancel: Send, Sync);
assert_impl_all!(Watching: Send, Sync);
assert_impl_all!(Seq: Send, Sync);
assert_impl_all!(Stat: Send, Sync, Copy);
assert_impl_all!(Errno: Send, Sync, Copy);
assert_impl_all!(Error: Send, Sync, Clone, std::error::Error);
// One close for each open.
assert_not_impl_any!(OpenFile: Clone);
assert_not_impl_any!(Watching: Clone);
// A callback's context ends with the call.
assert_not_impl_any!(Cx<'static>: Clone);
assert_obj_safe!(kernfs::Watch);
// It belongs to a read section, which belongs to its thread.
assert_impl_all!(NodeRef<'static>: Copy);
assert_not_impl_any!(NodeRef<'static>: Send, Sync);

#[test]
fn ops_may_be_shared() {
    fn shared<T: Ops>() -> usize {
        size_of::<std::sync::Arc<T>>()
    }
    struct Plain;
    impl Ops for Plain {
        const HAS: kernfs::Has = kernfs::Has::NONE;
        type Open = ();
        fn open(&self, _: &mut Cx<'_>) -> kernfs::Result<()> {
            Ok(())
        }
    }
    assert_eq!(shared::<std::sync::Arc<Plain>>(), 8);
    // What every node pays for: no wider without a thought.
    assert_eq!(size_of::<Node>(), 8);
    assert!(size_of::<Error>() <= 32, "{}", size_of::<Error>());
}
