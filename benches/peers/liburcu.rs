//! liburcu, where its shared libraries are installed: opened at run time, nothing links against it.
//!
//! Each section is two calls into the library, as in every program that does not compile liburcu's inline
//! headers (BIND, and all bindings). `qsbr` has no section calls: its C functions are empty inlines.

use core::ffi::{CStr, c_void};
use core::marker::PhantomData;
use core::mem::transmute;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::ffi::CString;

use crate::grace::GracePeriods;
use crate::peer::{Peer, Reader, Settled};
use crate::peers::Visitor;
use crate::sys::Library;

/// soname, prefix of the symbols, name in the table. `qsbr` is apart: its readers are another type.
const SECTIONS: [(&CStr, &str, &str); 3] = [
    (c"liburcu-memb.so.8", "urcu_memb", "liburcu-memb.so"),
    (c"liburcu-bp.so.8", "urcu_bp", "liburcu-bp.so"),
    (c"liburcu-mb.so.8", "urcu_mb", "liburcu-mb.so"),
];
const QSBR: (&CStr, &str, &str) = (c"liburcu-qsbr.so.8", "urcu_qsbr", "liburcu-qsbr.so");

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

type Verb = unsafe extern "C" fn();
type Callback = unsafe extern "C" fn(*mut Head);
type CallRcu = unsafe extern "C" fn(*mut Head, Callback);

/// The ABI's `struct rcu_head`: two words that belong to the library while a callback is queued.
#[repr(C)]
struct Head([usize; 2]);

/// The functions of one flavor.
///
/// # Invariants
/// 1. Each pointer is the function of that name in a library that is never closed, with the signature of
///    its ABI (soname 8).
struct Api {
    name: &'static str,
    read_lock: Verb,
    read_unlock: Verb,
    register: Verb,
    unregister: Verb,
    synchronize: Verb,
    barrier: Verb,
    call: CallRcu,
}

impl Api {
    fn load((soname, prefix, name): (&CStr, &str, &'static str)) -> Result<Self, String> {
        let missing = |what: &str| format!("{name}: {what} not found, skipped");
        let library = Library::open(soname).ok_or_else(|| missing(&soname.to_string_lossy()))?;
        let find = |verb: &str| {
            symbol(library, prefix, verb).ok_or_else(|| missing(&format!("{prefix}_{verb}")))
        };
        let verb = |verb: &str| {
            // SAFETY: the ABI says `void f(void)` of all that are looked up this way.
            find(verb).map(|at| unsafe { transmute::<NonNull<c_void>, Verb>(at) })
        };
        let call = find("call_rcu")?;
        // INVARIANT: 1.
        Ok(Self {
            name,
            read_lock: verb("read_lock")?,
            read_unlock: verb("read_unlock")?,
            register: verb("register_thread")?,
            // `bp` has none to export: its threads unregister by themselves.
            unregister: verb("unregister_thread").unwrap_or(nothing),
            synchronize: verb("synchronize_rcu")?,
            barrier: verb("barrier")?,
            // SAFETY: the ABI says `void f(struct rcu_head *, void (*)(struct rcu_head *))`.
            call: unsafe { transmute::<NonNull<c_void>, CallRcu>(call) },
        })
    }

    fn enter(&self) -> Registered<'_> {
        // SAFETY: invariant 1; this thread is not registered: `Registered` is neither copied nor nested.
        unsafe { (self.register)() };
        Registered(self, PhantomData)
    }

    fn synchronize(&self) {
        // SAFETY: invariant 1; the callers are outside sections.
        unsafe { (self.synchronize)() };
    }

    fn barrier(&self) {
        // SAFETY: invariant 1; the callers are outside sections and callbacks.
        unsafe { (self.barrier)() };
    }
}

unsafe extern "C" fn nothing() {}

fn symbol(library: Library, prefix: &str, verb: &str) -> Option<NonNull<c_void>> {
    let name = CString::new(format!("{prefix}_{verb}")).ok()?;
    library.symbol(&name)
}

/// A registration of the calling thread. `!Send`, so it is dropped there.
struct Registered<'a>(&'a Api, PhantomData<*mut ()>);

impl Registered<'_> {
    /// Queues `callback`. The ABI wants a registered thread.
    fn call(&self, callback: Box<dyn FnOnce() + Send>) {
        let deferred = Box::into_raw(Box::new(Deferred {
            head: Head([0; 2]),
            callback,
        }));
        // SAFETY: invariant 1 of `Api`; the head is the first field of a live `Deferred`, given up here.
        unsafe { (self.0.call)(deferred.cast(), Deferred::run) };
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        // SAFETY: invariant 1 of `Api`; this thread registered in `enter` and is outside sections.
        unsafe { (self.0.unregister)() };
    }
}

#[repr(C)]
struct Deferred {
    head: Head,
    callback: Box<dyn FnOnce() + Send>,
}

impl Deferred {
    /// # Safety
    /// 1. `head` is that of a `Deferred` from `Box::into_raw`, given up by the caller.
    unsafe extern "C" fn run(head: *mut Head) {
        // SAFETY: clause 1; the head is the first field.
        let deferred = unsafe { Box::from_raw(head.cast::<Self>()) };
        (deferred.callback)();
    }
}

/// The value with the head that the library queues it by: no allocation for the callback.
#[repr(C)]
struct Node {
    head: Head,
    value: u64,
}

impl Node {
    fn allocate(value: u64) -> *mut Self {
        Box::into_raw(Box::new(Self {
            head: Head([0; 2]),
            value,
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
        unsafe { (*at).value }
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

    fn barrier(&self) {
        self.0.api.barrier();
    }

    fn read_until(&self, stop: &AtomicBool) {
        let mut reader = self.reader();
        while !stop.load(Ordering::Relaxed) {
            core::hint::black_box(reader.read());
        }
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

    fn idle(&self, block: &mut dyn FnMut()) {
        let _registered = self.shared.api.enter();
        // SAFETY: invariant 1 of `Api`; registered, and `block` does not read.
        unsafe { (self.offline)() };
        block();
        // SAFETY: as above; before it unregisters.
        unsafe { (self.online)() };
    }
}
