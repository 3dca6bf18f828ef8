//! liburcu's `cds_lfht` with its memb flavor, where both libraries are installed.

use core::ffi::{c_int, c_ulong, c_void};
use core::mem::transmute;
use core::ptr::{self, NonNull};

use super::liburcu_api::{Api, Head, Registered, SECTIONS};
use super::maps::{Map, Mixer, names};
use crate::sys::Library;

/// The ABI's `struct cds_lfht_node`.
#[repr(C, align(8))]
struct Link([usize; 2]);

/// The ABI's `struct cds_lfht_iter`.
#[repr(C)]
struct Iter {
    node: *mut Link,
    next: *mut Link,
}

#[repr(C)]
struct Node {
    link: Link,
    key: u64,
    value: u64,
    head: Head,
}

impl Node {
    /// # Safety
    /// 1. `link` is that of a `Node`, `key` points to a u64.
    unsafe extern "C" fn matches(link: *mut Link, key: *const c_void) -> c_int {
        // SAFETY: clause 1; the link is the first field.
        let own = unsafe { (*link.cast::<Self>()).key };
        // SAFETY: clause 1.
        c_int::from(own == unsafe { *key.cast::<u64>() })
    }

    /// # Safety
    /// 1. `head` is that of a `Node` from `Box::into_raw`, given up by the caller.
    unsafe extern "C" fn free(head: *mut Head) {
        let node = head.wrapping_byte_sub(core::mem::offset_of!(Self, head));
        // SAFETY: clause 1; the pointer to the head was made from one to the node.
        drop(unsafe { Box::from_raw(node.cast::<Self>()) });
    }
}

enum Table {}
type Match = unsafe extern "C" fn(*mut Link, *const c_void) -> c_int;
type New = unsafe extern "C" fn(
    c_ulong,
    c_ulong,
    c_ulong,
    c_int,
    *const c_void,
    *const c_void,
    *mut c_void,
) -> *mut Table;
type Lookup = unsafe extern "C" fn(*mut Table, c_ulong, Match, *const c_void, *mut Iter);
type AddUnique =
    unsafe extern "C" fn(*mut Table, c_ulong, Match, *const c_void, *mut Link) -> *mut Link;
type Del = unsafe extern "C" fn(*mut Table, *mut Link) -> c_int;

const AUTO_RESIZE: c_int = 1;
const ACCOUNTING: c_int = 2;

/// A table. Never destroyed: the process ends soon after.
///
/// # Invariants
/// 1. Each pointer is the function of that name in a library that is never closed, with the signature of its
///    ABI (soname 8); `table` came from `_cds_lfht_new`.
#[derive(Clone, Copy)]
pub(super) struct Lfht {
    api: Api,
    table: NonNull<Table>,
    lookup: Lookup,
    add_unique: AddUnique,
    del: Del,
}

// SAFETY: the library's tables are for all threads.
unsafe impl Sync for Lfht {}
// SAFETY: as above.
unsafe impl Send for Lfht {}

impl Lfht {
    fn make(size: usize, flags: c_int) -> Result<Self, String> {
        let missing = |what: &str| format!("{}: {what} not found, skipped", Self::NAME);
        let api = Api::load(SECTIONS[0])?;
        let cds = c"liburcu-cds.so.8";
        let cds = Library::open(cds).ok_or_else(|| missing("liburcu-cds.so.8"))?;
        let memb = Library::open(SECTIONS[0].0).ok_or_else(|| missing("liburcu-memb.so.8"))?;
        let flavor = memb.symbol(c"urcu_memb_flavor");
        let flavor = flavor.ok_or_else(|| missing("urcu_memb_flavor"))?;
        let new = cds
            .symbol(c"_cds_lfht_new")
            .ok_or_else(|| missing("_cds_lfht_new"))?;
        let lookup = cds
            .symbol(c"cds_lfht_lookup")
            .ok_or_else(|| missing("cds_lfht_lookup"))?;
        let add = cds.symbol(c"cds_lfht_add_unique");
        let add = add.ok_or_else(|| missing("cds_lfht_add_unique"))?;
        let del = cds
            .symbol(c"cds_lfht_del")
            .ok_or_else(|| missing("cds_lfht_del"))?;
        // SAFETY: the signature in urcu/rculfhash.h.
        let new = unsafe { transmute::<NonNull<c_void>, New>(new) };
        let size = size.next_power_of_two() as c_ulong; // CAST: 64 bits
        // SAFETY: the function of that name; powers of two, no allocator, a flavor, no attributes.
        let table = unsafe {
            new(
                size,
                size,
                0,
                flags,
                ptr::null(),
                flavor.as_ptr(),
                ptr::null_mut(),
            )
        };
        // INVARIANT: 1.
        Ok(Self {
            api,
            table: NonNull::new(table).ok_or_else(|| missing("memory"))?,
            // SAFETY: the signature in urcu/rculfhash.h.
            lookup: unsafe { transmute::<NonNull<c_void>, Lookup>(lookup) },
            // SAFETY: the signature in urcu/rculfhash.h.
            add_unique: unsafe { transmute::<NonNull<c_void>, AddUnique>(add) },
            // SAFETY: the signature in urcu/rculfhash.h.
            del: unsafe { transmute::<NonNull<c_void>, Del>(del) },
        })
    }

    /// Runs `inside` in a section.
    #[inline]
    fn section<R>(&self, _proof: &Registered<'_>, inside: impl FnOnce() -> R) -> R {
        // SAFETY: invariant 1 of `Api`; this thread is registered.
        unsafe { (self.api.read_lock)() };
        let result = inside();
        // SAFETY: invariant 1 of `Api`; ends the section above.
        unsafe { (self.api.read_unlock)() };
        result
    }

    /// The node of a key, or null. In a section.
    #[inline]
    fn find(&self, key: u64) -> *mut Node {
        let mut iter = Iter {
            node: ptr::null_mut(),
            next: ptr::null_mut(),
        };
        let at = (&raw const key).cast();
        // SAFETY: invariant 1; the callers are in a section; all nodes are `Node`s.
        unsafe {
            (self.lookup)(
                self.table.as_ptr(),
                Mixer::mix(key),
                Node::matches,
                at,
                &raw mut iter,
            )
        };
        iter.node.cast()
    }
}

/// A thread that is registered.
pub(super) struct Reader<'a>(Registered<'a>);

impl Map for Lfht {
    const NAME: &'static str = names::LFHT;
    type Handle<'a> = Reader<'a>;

    fn new() -> Result<Self, String> {
        Self::make(64, AUTO_RESIZE | ACCOUNTING)
    }

    /// One bucket for each entry, and no resize: the best that it can be.
    fn sized(entries: usize) -> Result<Self, String> {
        Self::make(entries, 0)
    }

    fn enter(&self) -> Reader<'_> {
        Reader(self.api.enter())
    }

    #[inline]
    fn get(&self, handle: &Reader<'_>, key: u64) -> Option<u64> {
        self.section(&handle.0, || {
            let node = self.find(key);
            // SAFETY: null or a node that the section keeps.
            unsafe { node.as_ref() }.map(|node| node.value)
        })
    }

    #[inline]
    fn insert(&self, handle: &Reader<'_>, key: u64, value: u64) {
        let node = Box::into_raw(Box::new(Node {
            link: Link([0; 2]),
            key,
            value,
            head: Head([0; 2]),
        }));
        let there = self.section(&handle.0, || {
            let at = (&raw const key).cast();
            // SAFETY: invariant 1; in a section; the node is initialised, and the table's if it takes it.
            unsafe {
                (self.add_unique)(
                    self.table.as_ptr(),
                    Mixer::mix(key),
                    Node::matches,
                    at,
                    node.cast(),
                )
            }
        });
        if !ptr::eq(there, node.cast()) {
            // SAFETY: from the box above, and refused.
            drop(unsafe { Box::from_raw(node) });
        }
    }

    #[inline]
    fn remove(&self, handle: &Reader<'_>, key: u64) {
        let taken = self.section(&handle.0, || {
            let node = self.find(key);
            // SAFETY: invariant 1; in the section in which the node was found, or null.
            let failed = unsafe { (self.del)(self.table.as_ptr(), node.cast()) };
            (failed == 0).then_some(node)
        });
        if let Some(node) = taken {
            // SAFETY: the deletion was ours, so nobody else frees it.
            let head = unsafe { &raw mut (*node).head };
            // SAFETY: invariant 1 of `Api`; registered; the node is out of the table.
            unsafe { (self.api.call)(head, Node::free) };
        }
    }
}
