//! liburcu, where its shared libraries are installed.
//!
//! Each section is two calls into the library, as in every program that does not compile liburcu's inline
//! headers (BIND, and all bindings). `qsbr` has no section calls: its C functions are empty inlines.

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::time::Instant;

use super::liburcu_api::{Api, Head, QSBR, Registered, SECTIONS, Verb, symbol};
use crate::grace::{self, GracePeriods};
use crate::peer::{Object, Peer, Reader, Settled};
use crate::peers::Visitor;
use crate::sys::Library;

pub(super) fn visit(visitor: &mut impl Visitor) {
    for flavor in SECTIONS {
        match Api::load(flavor) {
            Ok(api) => visitor.visit(Sections(Shared::new(api))),
            Err(why) => visitor.skip(why),
        }
    }
    match Quiescent::load() {
        Ok(peer) => visitor.visit(peer),
        Err(why) => visitor.skip(why),
    }
}

pub(super) fn grace_periods() -> Vec<Box<dyn GracePeriods>> {
    let mut all: Vec<Box<dyn GracePeriods>> = Vec::new();
    for flavor in SECTIONS {
        if let Ok(api) = Api::load(flavor) {
            all.push(Box::new(Sections(Shared::new(api))));
        }
    }
    if let Ok(peer) = Quiescent::load() {
        all.push(Box::new(peer));
    }
    all
}

/// The object with the head that the library queues it by: no allocation for the callback.
#[repr(C)]
struct Node {
    head: Head,
    object: Object,
}

impl Node {
    fn allocate(value: u64) -> *mut Self {
        Box::into_raw(Box::new(Self {
            head: Head([0; 2]),
            object: Object::new(value),
        }))
    }

    /// # Safety
    /// 1. `head` is that of a `Node` from `allocate`, given up by the caller.
    unsafe extern "C" fn free(head: *mut Head) {
        // SAFETY: clause 1; the head is the first field.
        drop(unsafe { Box::from_raw(head.cast::<Self>()) });
    }
}

/// A flavor and the pointer it protects.
///
/// # Invariants
/// 1. `value` came from `Node::allocate`, is never null, and goes to `call_rcu` when replaced.
struct Shared {
    api: Api,
    value: AtomicPtr<Node>,
}

impl Shared {
    fn new(api: Api) -> Self {
        Self {
            api,
            value: AtomicPtr::new(Node::allocate(1)),
        }
    }

    /// # Safety
    /// 1. The calling thread is inside a section, or registered and online in `qsbr`.
    #[inline]
    unsafe fn dereference(&self) -> u64 {
        let at = self.value.load(Ordering::Acquire);
        // SAFETY: invariant 1; by clause 1 the node's grace period is not over.
        unsafe { &(*at).object }.value()
    }

    #[inline]
    fn update(&self, _proof: &Registered<'_>, new: u64) {
        let old = self.value.swap(Node::allocate(new), Ordering::AcqRel);
        // SAFETY: invariant 1 of `Api`; the thread is registered; the swap unpublished the node.
        unsafe { (self.api.call)(old.cast(), Node::free) };
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: invariant 1; `&mut self`: no reader has the pointer.
        drop(unsafe { Box::from_raw(*self.value.get_mut()) });
    }
}

/// `memb`, `bp` and `mb`: readers call lock and unlock.
struct Sections(Shared);

struct SectionReader<'a> {
    shared: &'a Shared,
    registered: Registered<'a>,
}

impl Peer for Sections {
    type Reader<'a> = SectionReader<'a>;

    fn name(&self) -> &'static str {
        self.0.api.name
    }

    fn another(&self) -> Self {
        Self(Shared::new(self.0.api))
    }

    fn reader(&self) -> SectionReader<'_> {
        SectionReader {
            shared: &self.0,
            registered: self.0.api.enter(),
        }
    }

    fn settle(&self) -> Settled {
        self.0.api.barrier();
        Settled::AllFreed
    }
}

impl Reader for SectionReader<'_> {
    #[inline]
    fn read(&mut self) -> u64 {
        // SAFETY: invariant 1 of `Api`; this thread is registered.
        unsafe { (self.shared.api.read_lock)() };
        // SAFETY: clause 1: inside the section.
        let value = unsafe { self.shared.dereference() };
        // SAFETY: invariant 1 of `Api`; ends the section above.
        unsafe { (self.shared.api.read_unlock)() };
        value
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        // SAFETY: invariant 1 of `Api`; this thread is registered.
        unsafe { (self.shared.api.read_lock)() };
        inside();
        // SAFETY: invariant 1 of `Api`; ends the section above.
        unsafe { (self.shared.api.read_unlock)() };
    }

    #[inline]
    fn update(&mut self, new: u64) {
        self.shared.update(&self.registered, new);
    }
}

impl GracePeriods for Sections {
    fn name(&self) -> &'static str {
        self.0.api.name
    }

    fn synchronize(&self) {
        self.0.api.synchronize();
    }

    fn call(&self, callback: Box<dyn FnOnce() + Send>) {
        self.0.api.enter().call(callback);
    }

    fn flood(&self, until: Instant, ran: &'static AtomicU64) -> u64 {
        let registered = self.0.api.enter();
        grace::flood(until, || registered.count(ran))
    }

    fn barrier(&self) {
        self.0.api.barrier();
    }

    fn read_until(&self, stop: &AtomicBool) {
        let mut reader = self.reader();
        while !stop.load(Ordering::Relaxed) {
            core::hint::black_box(reader.read());
        }
    }

    fn sections(&self, inside: &mut dyn FnMut(), more: &mut dyn FnMut() -> bool) {
        grace::sections(self.reader(), inside, more);
    }

    fn idle(&self, block: &mut dyn FnMut()) {
        let _registered = self.0.api.enter();
        block();
    }
}

/// `qsbr`: readers call nothing, and announce between blocks of reads.
struct Quiescent {
    shared: Shared,
    quiescent_state: Verb,
    offline: Verb,
    online: Verb,
}

impl Quiescent {
    fn load() -> Result<Self, String> {
        let api = Api::load(QSBR)?;
        let (soname, prefix, name) = QSBR;
        let verb = |verb: &str| {
            let at = Library::open(soname)
                .and_then(|library| symbol(library, prefix, verb))
                .ok_or_else(|| format!("{name}: {prefix}_{verb} not found, skipped"))?;
            // SAFETY: the ABI says `void f(void)` of all three.
            Ok::<_, String>(unsafe { transmute::<NonNull<c_void>, Verb>(at) })
        };
        Ok(Self {
            quiescent_state: verb("quiescent_state")?,
            offline: verb("thread_offline")?,
            online: verb("thread_online")?,
            shared: Shared::new(api),
        })
    }
}

struct QuiescentReader<'a> {
    peer: &'a Quiescent,
    registered: Registered<'a>,
}

impl Peer for Quiescent {
    type Reader<'a> = QuiescentReader<'a>;

    fn name(&self) -> &'static str {
        self.shared.api.name
    }

    fn another(&self) -> Self {
        Self {
            shared: Shared::new(self.shared.api),
            ..*self
        }
    }

    fn reader(&self) -> QuiescentReader<'_> {
        QuiescentReader {
            peer: self,
            registered: self.shared.api.enter(),
        }
    }

    fn settle(&self) -> Settled {
        self.shared.api.barrier();
        Settled::AllFreed
    }
}

impl Reader for QuiescentReader<'_> {
    #[inline]
    fn read(&mut self) -> u64 {
        // SAFETY: clause 1: this thread is registered, hence online.
        unsafe { self.peer.shared.dereference() }
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        inside();
        self.pause();
    }

    #[inline]
    fn update(&mut self, new: u64) {
        self.peer.shared.update(&self.registered, new);
    }

    #[inline]
    fn pause(&mut self) {
        // SAFETY: invariant 1 of `Api`; this thread is registered and holds no reference.
        unsafe { (self.peer.quiescent_state)() };
    }
}

impl GracePeriods for Quiescent {
    fn name(&self) -> &'static str {
        self.shared.api.name
    }

    fn synchronize(&self) {
        self.shared.api.synchronize();
    }

    fn call(&self, callback: Box<dyn FnOnce() + Send>) {
        self.shared.api.enter().call(callback);
    }

    fn flood(&self, until: Instant, ran: &'static AtomicU64) -> u64 {
        let registered = self.shared.api.enter();
        grace::flood(until, || registered.count(ran))
    }

    fn barrier(&self) {
        self.shared.api.barrier();
    }

    fn read_until(&self, stop: &AtomicBool) {
        let mut reader = self.reader();
        while !stop.load(Ordering::Relaxed) {
            core::hint::black_box(reader.read());
            reader.pause();
        }
    }

    fn sections(&self, inside: &mut dyn FnMut(), more: &mut dyn FnMut() -> bool) {
        grace::sections(self.reader(), inside, more);
    }

    fn idle(&self, block: &mut dyn FnMut()) {
        let _registered = self.shared.api.enter();
        // SAFETY: invariant 1 of `Api`; registered, and `block` does not read.
        unsafe { (self.offline)() };
        block();
        // SAFETY: as above; before it unregisters.
        unsafe { (self.online)() };
    }
}
