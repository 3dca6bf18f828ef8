//! urcu in a shared object: three copies of a plugin beside liburcu, threads inside while they are closed.
//!
//! For x86-64 with glibc, whose thread-locals, dlclose(3) and dynamic section these tests know.
#![cfg(all(target_arch = "x86_64", target_env = "gnu"))]

mod object;

use std::env;
use std::ffi::c_void;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use object::{Object, count_tls_calls};

/// The functions of one copy of `plugin.rs`.
///
/// # Invariants
/// 1. Each pointer is the function of that name and signature in an object that is never unmapped: urcu
///    pins it, or a test of this file ends in a fault.
#[derive(Clone, Copy)]
struct Plugin {
    object: Object,
    lock: extern "C" fn() -> *const c_void,
    unlock: unsafe extern "C" fn(*const c_void),
    read: extern "C" fn() -> u64,
    assign: extern "C" fn(u64),
    synchronize: extern "C" fn(),
    call: extern "C" fn(),
    barrier: extern "C" fn() -> u64,
    registered: extern "C" fn() -> u64,
    ordinary_thread_local: extern "C" fn() -> bool,
    read_by_constructor: extern "C" fn() -> u64,
}

/// A section of one copy. `!Send` by its pointer.
struct Section(Plugin, *const c_void);

impl Drop for Section {
    fn drop(&mut self) {
        // SAFETY: clause 1: from `lock` of this copy, on this thread, and dropped once.
        unsafe { (self.0.unlock)(self.1) };
    }
}

impl Plugin {
    /// Opens a copy of its own: the dynamic linker tells objects by their files.
    fn open(copy: &str) -> Self {
        let copied = env::temp_dir().join(format!("{copy}-{}.so", std::process::id()));
        fs::copy(built(), &copied).unwrap();
        let object = Object::open(&copied);
        fs::remove_file(&copied).unwrap();
        // INVARIANT: 1, by the signatures in `plugin.rs`.
        Self {
            object,
            lock: object.function(c"plugin_lock"),
            unlock: object.function(c"plugin_unlock"),
            read: object.function(c"plugin_read"),
            assign: object.function(c"plugin_assign"),
            synchronize: object.function(c"plugin_synchronize"),
            call: object.function(c"plugin_call"),
            barrier: object.function(c"plugin_barrier"),
            registered: object.function(c"plugin_registered"),
            ordinary_thread_local: object.function(c"plugin_ordinary_thread_local"),
            read_by_constructor: object.function(c"plugin_read_by_constructor"),
        }
    }

    fn enter(self) -> Section {
        Section(self, (self.lock)())
    }
}

/// What cargo makes of `plugin.rs`, in the profile of this test. `cargo test` has built it already, unless it
/// was told to build tests only.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = env::current_exe().unwrap();
        let profile = test.parent().and_then(Path::parent).unwrap();
        let name = match profile.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            name => name,
        };
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--offline", "--package", "user-rcu"])
            .args([
                "--example",
                "urcu_plugin",
                "--profile",
                name,
                "--target-dir",
            ])
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(status.unwrap().success(), "cargo cannot build the plugin");
        profile.join("examples").join("liburcu_plugin.so")
    })
}

/// One test at a time: a child that was forked while another thread holds the dynamic linker's locks cannot start a
/// thread.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// liburcu in this process, if it is installed: its thread-locals share the reserve of the dynamic linker.
fn beside_liburcu() {
    for name in [c"liburcu.so.8", c"liburcu-memb.so.8", c"liburcu-bp.so.8"] {
        if Object::try_open(name).is_none() {
            println!(
                "SKIP {}: not installed, the plugins are alone",
                name.to_string_lossy()
            );
        }
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        std::thread::yield_now();
    }
}

#[test]
fn the_thread_locals_of_a_plugin_fit_into_128_bytes() {
    let _one = one_at_a_time();
    let plugin = Plugin::open("size");
    let bytes = plugin.object.tls_bytes();
    assert!((1..=128).contains(&bytes), "{bytes} bytes of thread-locals");
}

/// Registration, sections, nesting, thread exit: none calls `__tls_get_addr`.
#[test]
fn a_section_in_a_plugin_calls_nobody_for_its_thread_locals() {
    let _one = one_at_a_time();
    if cfg!(urcu_std_tls) {
        println!("SKIP: built with --cfg urcu_std_tls, which calls");
        return;
    }
    let plugin = Plugin::open("calls");
    let Some(calls) = count_tls_calls(plugin.object) else {
        // With initial-exec words and a std without ordinary thread-locals nothing is left to count.
        panic!("the plugin does not refer to __tls_get_addr");
    };
    (plugin.assign)(1);
    std::thread::spawn(move || {
        let before = calls();
        for _ in 0..100 {
            let section = plugin.enter();
            assert_eq!((plugin.read)(), 1);
            drop(section);
        }
        assert_eq!(calls() - before, 0, "calls of __tls_get_addr");
        // The control: an ordinary thread-local is counted.
        assert!((plugin.ordinary_thread_local)());
        assert!(calls() - before > 0, "nothing is counted at all");
    })
    .join()
    .unwrap();
}

#[test]
fn a_constructor_may_wait_for_a_thread_that_reads() {
    let _one = one_at_a_time();
    assert_eq!((Plugin::open("constructor").read_by_constructor)(), 7);
}

/// Nothing but the pin keeps this copy: a worker's thread-locals would, too.
#[test]
fn a_thread_inside_a_closed_plugin_without_workers_leaves_it_and_ends() {
    let _one = one_at_a_time();
    static CLOSED: AtomicBool = AtomicBool::new(false);
    static INSIDE: AtomicBool = AtomicBool::new(false);
    let plugin = Plugin::open("readers");
    let thread = std::thread::spawn(move || {
        let section = plugin.enter();
        INSIDE.store(true, SeqCst);
        wait_until(|| CLOSED.load(SeqCst));
        assert_eq!((plugin.read)(), 7); // as its constructor left it
        drop(section);
    });
    wait_until(|| INSIDE.load(SeqCst));
    plugin.object.close();
    CLOSED.store(true, SeqCst);
    thread.join().unwrap(); // its hook has run
    assert_eq!((plugin.registered)(), 0);
}

#[test]
fn closed_plugins_stay_mapped_and_work_with_threads_inside() {
    let _one = one_at_a_time();
    static INSIDE: AtomicUsize = AtomicUsize::new(0);
    static CLOSED: AtomicBool = AtomicBool::new(false);
    beside_liburcu();
    let plugins = ["first", "second", "third"].map(Plugin::open);
    for (plugin, value) in plugins.iter().zip(1..) {
        (plugin.assign)(value);
    }
    let read_all = move || plugins.map(|plugin| (plugin.read)());
    assert_eq!(read_all(), [1, 2, 3], "the copies are not apart");

    std::thread::scope(|s| {
        let threads = [(); 2].map(|()| {
            s.spawn(|| {
                let sections = plugins.map(Plugin::enter);
                INSIDE.fetch_add(1, SeqCst);
                wait_until(|| CLOSED.load(SeqCst));
                assert_eq!(read_all(), [1, 2, 3]);
                drop(sections);
            }) // and the hooks of three closed plugins run at its end
        });
        wait_until(|| INSIDE.load(SeqCst) == 2);
        for plugin in plugins {
            (0..10).for_each(|_| (plugin.call)()); // the sections hold them back
        }
        for plugin in plugins {
            plugin.object.close();
        }
        CLOSED.store(true, SeqCst);
        for thread in threads {
            thread.join().unwrap(); // the scope's end would not wait for the hooks
        }
    });

    let works = move || {
        for plugin in plugins {
            (plugin.call)();
            (plugin.synchronize)();
            assert!((plugin.barrier)() >= 11, "callbacks were lost");
            assert!(
                (plugin.registered)() <= 3,
                "slots of ended threads stay claimed"
            );
        }
    };
    works();
    // A new thread, and a forked child, whose hooks are those of the closed plugins.
    std::thread::spawn(works).join().unwrap();
    assert_eq!(object::in_forked_child(works), 0);
}
