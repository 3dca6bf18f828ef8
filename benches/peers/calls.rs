//! `urcu` behind a C interface in a shared library, opened at run time: what each section costs a program
//! that does not inline it. The library has a copy of `urcu` of its own, so its domain is not ours.

use core::ffi::{CStr, c_void};
use core::mem::transmute;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, Ordering};
use std::env;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use crate::peer::{Object, Peer, Reader, Settled};
use crate::peers::Visitor;
use crate::sys::Library;

/// The name in the table.
pub const NAME: &str = "urcu Memb, by C call";

pub(super) fn visit(visitor: &mut impl Visitor) {
    match Api::load() {
        Ok(api) => visitor.visit(Calls::new(api)),
        Err(why) => visitor.skip(format!("{NAME}: {why}, skipped")),
    }
}

/// # Invariants
/// 1. Each pointer is the function of that name in the package `calls`, which is never closed.
#[derive(Clone, Copy)]
struct Api {
    lock: unsafe extern "C" fn() -> *const (),
    unlock: unsafe extern "C" fn(*const ()),
    call: unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void),
    barrier: unsafe extern "C" fn(),
}

impl Api {
    fn load() -> Result<Self, &'static str> {
        let library = open().ok_or("libcalls.so is not beside this program")?;
        let find = |name: &CStr| library.symbol(name).ok_or("libcalls.so lacks a function");
        let [lock, unlock, call, barrier] = [
            find(c"calls_memb_read_lock")?,
            find(c"calls_memb_read_unlock")?,
            find(c"calls_memb_call")?,
            find(c"calls_memb_barrier")?,
        ];
        // INVARIANT: 1. The casts to function types are the four signatures in `calls/lib.rs`.
        Ok(Self {
            // SAFETY: the signature of that function.
            lock: unsafe {
                transmute::<NonNull<c_void>, unsafe extern "C" fn() -> *const ()>(lock)
            },
            // SAFETY: the signature of that function.
            unlock: unsafe {
                transmute::<NonNull<c_void>, unsafe extern "C" fn(*const ())>(unlock)
            },
            // SAFETY: the signature of that function.
            call: unsafe {
                transmute::<
                    NonNull<c_void>,
                    unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void),
                >(call)
            },
            // SAFETY: the signature of that function.
            barrier: unsafe { transmute::<NonNull<c_void>, unsafe extern "C" fn()>(barrier) },
        })
    }
}

/// Cargo leaves the library of a dependency in `deps`, beside which or in which our program lies.
fn open() -> Option<Library> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?;
    [folder.join("deps"), folder.to_owned()]
        .iter()
        .find_map(|folder| {
            let path = folder.join("libcalls.so");
            Library::open(&CString::new(path.as_os_str().as_bytes()).ok()?)
        })
}

/// # Invariants
/// 1. `value` came from `Box::into_raw`, is never null, and goes to `call` when replaced.
struct Calls {
    api: Api,
    value: AtomicPtr<Object>,
}

fn boxed(value: u64) -> *mut Object {
    Box::into_raw(Box::new(Object::new(value)))
}

/// # Safety
/// 1. `object` came from `boxed` and is given up.
unsafe extern "C" fn free(object: *mut c_void) {
    // SAFETY: clause 1.
    drop(unsafe { Box::from_raw(object.cast::<Object>()) });
}

impl Calls {
    fn new(api: Api) -> Self {
        Self {
            api,
            value: AtomicPtr::new(boxed(1)),
        }
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        // SAFETY: invariant 1; `&mut self`: no reader has the pointer.
        drop(unsafe { Box::from_raw(*self.value.get_mut()) });
    }
}

impl Peer for Calls {
    type Reader<'a> = &'a Self;

    fn name(&self) -> &'static str {
        NAME
    }

    fn another(&self) -> Self {
        Self::new(self.api)
    }

    fn reader(&self) -> &Self {
        self
    }

    fn settle(&self) -> Settled {
        // SAFETY: invariant 1 of `Api`; outside sections and callbacks.
        unsafe { (self.api.barrier)() };
        Settled::AllFreed
    }
}

impl Reader for &Calls {
    #[inline]
    fn read(&mut self) -> u64 {
        // SAFETY: invariant 1 of `Api`.
        let section = unsafe { (self.api.lock)() };
        let at = self.value.load(Ordering::Acquire);
        // SAFETY: invariant 1; inside the section, so the object's grace period is not over.
        let value = unsafe { &*at }.value();
        // SAFETY: clause 1: the section above.
        unsafe { (self.api.unlock)(section) };
        value
    }

    fn hold(&mut self, inside: &mut dyn FnMut()) {
        // SAFETY: invariant 1 of `Api`.
        let section = unsafe { (self.api.lock)() };
        inside();
        // SAFETY: clause 1: the section above.
        unsafe { (self.api.unlock)(section) };
    }

    #[inline]
    fn update(&mut self, new: u64) {
        let old = self.value.swap(boxed(new), Ordering::AcqRel);
        // SAFETY: clause 1: the swap unpublished the object, and only this thread got it.
        unsafe { (self.api.call)(free, old.cast()) };
    }
}
