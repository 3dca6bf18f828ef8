//! Shared objects: dlopen(3), and what the dynamic linker has in memory of one.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::mem::{size_of, transmute_copy};
use std::path::Path;
use std::ptr::null;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

const DT_PLTRELSZ: i64 = 2;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_RELA: i64 = 7;
const DT_RELASZ: i64 = 8;
const DT_JMPREL: i64 = 23;

/// The head of glibc's `struct link_map`, which `<link.h>` documents.
#[repr(C)]
struct LinkMap {
    base: usize,
    name: *const c_char,
    dynamic: *const Dynamic,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Dynamic {
    tag: i64,
    value: usize,
}

/// An object that dlopen(3) opened.
#[derive(Clone, Copy)]
pub(crate) struct Object(*mut c_void);

// SAFETY: a handle of the dynamic linker is good in every thread.
unsafe impl Send for Object {}
// SAFETY: the functions below only read, or lock in the dynamic linker.
unsafe impl Sync for Object {}

impl Object {
    pub(crate) fn try_open(name: &CStr) -> Option<Self> {
        // SAFETY: `name` is a string; the constructors of the objects opened here are sound.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        (!handle.is_null()).then_some(Self(handle))
    }

    pub(crate) fn open(path: &Path) -> Self {
        let name = CString::new(path.to_str().unwrap()).unwrap();
        Self::try_open(&name).unwrap_or_else(|| {
            // SAFETY: takes nothing.
            let why = unsafe { libc::dlerror() };
            // SAFETY: dlopen has just failed in this thread, so there is a message, a string.
            let why = unsafe { CStr::from_ptr(why) };
            panic!("{}", why.to_string_lossy())
        })
    }

    /// What `F` says of the function `name`.
    pub(crate) fn function<F: Copy>(self, name: &CStr) -> F {
        assert_eq!(size_of::<F>(), size_of::<usize>());
        // SAFETY: the handle is open, `name` a string.
        let at = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!at.is_null(), "{name:?} is not exported");
        // SAFETY: a function pointer of the size just checked; the caller has its signature right.
        unsafe { transmute_copy(&at) }
    }

    pub(crate) fn close(self) {
        // SAFETY: open until here; who uses it afterwards relies on the object being pinned.
        unsafe { libc::dlclose(self.0) };
    }

    fn link_map(self) -> &'static LinkMap {
        let mut map: *const LinkMap = null();
        // SAFETY: writes one pointer to `map`.
        let ret = unsafe { libc::dlinfo(self.0, libc::RTLD_DI_LINKMAP, (&raw mut map).cast()) };
        assert_eq!(ret, 0);
        // SAFETY: the objects opened here are never unmapped, and so their records.
        unsafe { &*map }
    }

    /// The size of the thread-locals, std's among them, that each thread has for this object.
    pub(crate) fn tls_bytes(self) -> u64 {
        struct Search {
            base: usize,
            bytes: u64,
        }
        unsafe extern "C" fn look(
            info: *mut libc::dl_phdr_info,
            _: usize,
            search: *mut c_void,
        ) -> c_int {
            // SAFETY: glibc passes a valid record.
            let info = unsafe { &*info };
            // SAFETY: what `dl_iterate_phdr` was given below.
            let search = unsafe { &mut *search.cast::<Search>() };
            if info.dlpi_addr as usize == search.base {
                // SAFETY: the record says where its program headers are, and how many.
                let headers = unsafe {
                    std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum))
                };
                let tls = headers
                    .iter()
                    .filter(|header| header.p_type == libc::PT_TLS);
                search.bytes = tls.map(|header| header.p_memsz).sum();
            }
            0
        }
        let mut search = Search {
            base: self.link_map().base,
            bytes: 0,
        };
        // SAFETY: `look` is called before this returns, with a pointer to `search`.
        unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
        search.bytes
    }

    fn dynamic(self, tag: i64) -> Option<usize> {
        let mut at = self.link_map().dynamic;
        loop {
            // SAFETY: the section ends with a tag of 0, and is not left before.
            let entry = unsafe { *at };
            if entry.tag == 0 {
                return None;
            }
            if entry.tag == tag {
                return Some(entry.value);
            }
            // SAFETY: not the last entry.
            at = unsafe { at.add(1) };
        }
    }

    /// Where the address of the foreign symbol `name` is kept for the object's code.
    fn import(self, name: &CStr) -> Option<*mut usize> {
        let symbols = self.dynamic(DT_SYMTAB)? as *const libc::Elf64_Sym;
        let strings = self.dynamic(DT_STRTAB)? as *const c_char;
        for (table, bytes) in [(DT_JMPREL, DT_PLTRELSZ), (DT_RELA, DT_RELASZ)] {
            let (Some(table), Some(bytes)) = (self.dynamic(table), self.dynamic(bytes)) else {
                continue;
            };
            let length = bytes / size_of::<libc::Elf64_Rela>();
            // SAFETY: the dynamic section says where the table is, and how long.
            let table =
                unsafe { std::slice::from_raw_parts(table as *const libc::Elf64_Rela, length) };
            for relocation in table.iter().filter(|r| r.r_info >> 32 != 0) {
                // SAFETY: relocations name entries of the symbol table.
                let symbol = unsafe { symbols.add((relocation.r_info >> 32) as usize) };
                // SAFETY: an entry of the table, which is read-only.
                let symbol = unsafe { &*symbol };
                // SAFETY: symbols name strings of the string table.
                let string = unsafe { strings.add(symbol.st_name as usize) };
                // SAFETY: the strings end with NUL.
                if unsafe { CStr::from_ptr(string) } == name {
                    let at = self.link_map().base + relocation.r_offset as usize;
                    return Some(at as *mut usize);
                }
            }
        }
        None
    }
}

static TLS_CALLS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    safe fn __tls_get_addr(index: *mut c_void) -> *mut c_void;
}

extern "C" fn counting(index: *mut c_void) -> *mut c_void {
    TLS_CALLS.fetch_add(1, SeqCst);
    __tls_get_addr(index)
}

/// Counts the calls of `__tls_get_addr` by this object from now on; the result tells how many.
pub(crate) fn count_tls_calls(object: Object) -> Option<fn() -> usize> {
    let at = object.import(c"__tls_get_addr")?;
    let page = (at as usize & !4095) as *mut c_void;
    // SAFETY: the page of a table that the dynamic linker made read-only after it had filled it.
    let ret = unsafe { libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_WRITE) };
    assert_eq!(ret, 0);
    // SAFETY: one aligned word; other threads that call through it find the old function or the new.
    unsafe { at.write_volatile(counting as *const () as usize) };
    Some(|| TLS_CALLS.load(SeqCst))
}

/// Runs `child` in a forked process, and gives its exit status: 101 if it panicked, -1 if a signal ended it.
pub(crate) fn in_forked_child(child: impl FnOnce()) -> i32 {
    // SAFETY: the child uses urcu, std's threads and malloc, which glibc repairs at fork.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: takes an integer. Ends a child that hangs.
        unsafe { libc::alarm(60) };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        // SAFETY: does not return.
        unsafe { libc::_exit(if result.is_ok() { 0 } else { 101 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is valid for writes.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        -1
    }
}
