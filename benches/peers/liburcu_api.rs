//! The binary interface of liburcu's flavors, opened at run time: nothing links against it.

use core::ffi::{CStr, c_void};
use core::fmt::{self, Debug, Formatter};
use core::marker::PhantomData;
use core::mem::transmute;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use std::ffi::CString;
use std::process::Command;

use crate::sys::Library;

/// soname, prefix of the symbols, name in the table. `qsbr` is apart: its readers are another type.
pub(super) const SECTIONS: [(&CStr, &str, &str); 3] = [
    (c"liburcu-memb.so.8", "urcu_memb", MEMB_SO),
    (c"liburcu-bp.so.8", "urcu_bp", "liburcu-bp.so"),
    (c"liburcu-mb.so.8", "urcu_mb", MB_SO),
];
pub(super) const QSBR: (&CStr, &str, &str) = (c"liburcu-qsbr.so.8", "urcu_qsbr", QSBR_SO);

/// The name of memb by function call in the table.
pub const MEMB_SO: &str = "liburcu-memb.so";
/// The name of mb by function call in the table.
pub const MB_SO: &str = "liburcu-mb.so";
/// The name of qsbr in the table.
pub const QSBR_SO: &str = "liburcu-qsbr.so";

/// The version that is installed, as its package or its development files tell: the library cannot.
pub fn version() -> String {
    let ask = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output().ok()?;
        let version = String::from_utf8(output.stdout).ok()?;
        let version = version.trim();
        (output.status.success() && !version.is_empty()).then(|| version.to_owned())
    };
    if Library::open(SECTIONS[0].0).is_none() {
        return "not installed".to_owned();
    }
    ask("pkg-config", &["--modversion", "liburcu"])
        .or_else(|| ask("dpkg-query", &["-W", "-f=${Version}", "liburcu8"]))
        .unwrap_or_else(|| "of unknown version".to_owned())
}

/// What liburcu wants called around a fork.
#[derive(Clone, Copy)]
pub struct ForkHandlers {
    before: Verb,
    parent: Verb,
    child: Verb,
}

/// The handlers of the flavor with that name in the table.
pub fn fork_handlers(name: &str) -> Option<ForkHandlers> {
    let (soname, prefix, _) = SECTIONS
        .iter()
        .chain([&QSBR])
        .find(|(_, _, flavor)| *flavor == name)?;
    let library = Library::open(soname)?;
    let verb = |verb: &str| {
        let at = symbol(library, prefix, verb)?;
        // SAFETY: the ABI says `void f(void)` of all three.
        Some(unsafe { transmute::<NonNull<c_void>, Verb>(at) })
    };
    Some(ForkHandlers {
        before: verb("call_rcu_before_fork")?,
        parent: verb("call_rcu_after_fork_parent")?,
        child: verb("call_rcu_after_fork_child")?,
    })
}

impl ForkHandlers {
    /// In the parent, before.
    pub fn before(&self) {
        // SAFETY: the function of that name; the callers are about to fork.
        unsafe { (self.before)() };
    }

    /// In the parent, afterwards.
    pub fn parent(&self) {
        // SAFETY: the function of that name; the callers have called `before` and forked.
        unsafe { (self.parent)() };
    }

    /// In the child.
    pub fn child(&self) {
        // SAFETY: the function of that name; the callers have called `before` and are the child.
        unsafe { (self.child)() };
    }
}

impl Debug for ForkHandlers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("ForkHandlers")
    }
}

pub(super) type Verb = unsafe extern "C" fn();
pub(super) type Callback = unsafe extern "C" fn(*mut Head);
pub(super) type CallRcu = unsafe extern "C" fn(*mut Head, Callback);

/// The ABI's `struct rcu_head`: two words that belong to the library while a callback is queued.
#[repr(C)]
pub(super) struct Head(pub(super) [usize; 2]);

/// The functions of one flavor.
///
/// # Invariants
/// 1. Each pointer is the function of that name in a library that is never closed, with the signature of
///    its ABI (soname 8).
#[derive(Clone, Copy)]
pub(super) struct Api {
    pub(super) name: &'static str,
    pub(super) read_lock: Verb,
    pub(super) read_unlock: Verb,
    register: Verb,
    unregister: Verb,
    synchronize: Verb,
    barrier: Verb,
    pub(super) call: CallRcu,
}

impl Api {
    pub(super) fn load(
        (soname, prefix, name): (&CStr, &str, &'static str),
    ) -> Result<Self, String> {
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

    pub(super) fn enter(&self) -> Registered<'_> {
        // SAFETY: invariant 1; this thread is not registered: `Registered` is neither copied nor nested.
        unsafe { (self.register)() };
        Registered(self, PhantomData)
    }

    pub(super) fn synchronize(&self) {
        // SAFETY: invariant 1; the callers are outside sections.
        unsafe { (self.synchronize)() };
    }

    pub(super) fn barrier(&self) {
        // SAFETY: invariant 1; the callers are outside sections and callbacks.
        unsafe { (self.barrier)() };
    }
}

unsafe extern "C" fn nothing() {}

pub(super) fn symbol(library: Library, prefix: &str, verb: &str) -> Option<NonNull<c_void>> {
    let name = CString::new(format!("{prefix}_{verb}")).ok()?;
    library.symbol(&name)
}

/// A registration of the calling thread. `!Send`, so it is dropped there.
pub(super) struct Registered<'a>(&'a Api, PhantomData<*mut ()>);

impl Registered<'_> {
    /// Queues `callback`. The ABI wants a registered thread.
    pub(super) fn call(&self, callback: Box<dyn FnOnce() + Send>) {
        let deferred = Box::into_raw(Box::new(Deferred {
            head: Head([0; 2]),
            callback,
        }));
        // SAFETY: invariant 1 of `Api`; the head is the first field of a live `Deferred`, given up here.
        unsafe { (self.0.call)(deferred.cast(), Deferred::run) };
    }

    /// Queues a callback that adds one to `ran`.
    pub(super) fn count(&self, ran: &'static AtomicU64) {
        let counting = Box::into_raw(Box::new(Counting {
            head: Head([0; 2]),
            ran,
        }));
        // SAFETY: invariant 1 of `Api`; the head is the first field of a live `Counting`, given up here.
        unsafe { (self.0.call)(counting.cast(), Counting::run) };
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

/// As little as a callback can be.
#[repr(C)]
struct Counting {
    head: Head,
    ran: &'static AtomicU64,
}

impl Counting {
    /// # Safety
    /// 1. `head` is that of a `Counting` from `Box::into_raw`, given up by the caller.
    unsafe extern "C" fn run(head: *mut Head) {
        // SAFETY: clause 1; the head is the first field.
        let counting = unsafe { Box::from_raw(head.cast::<Self>()) };
        counting.ran.fetch_add(1, Ordering::Relaxed);
    }
}
