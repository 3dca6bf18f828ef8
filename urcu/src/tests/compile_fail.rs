//! What must not compile, each case next to its twin that does.
//!
//! Stable rustdoc does not check the error code, so the twin is what shows that a case fails for its reason:
//! the two differ in one line.

/// Rule A3: the payload is shared by readers on all threads.
///
/// ```
/// let p: urcu::Rcu<std::sync::Arc<u64>> = urcu::Rcu::new(std::sync::Arc::new(1));
/// # drop(p);
/// ```
/// ```compile_fail,E0277
/// let p: urcu::Rcu<std::rc::Rc<u64>> = urcu::Rcu::new(std::rc::Rc::new(1));
/// # drop(p);
/// ```
/// A payload that may be sent, but not shared:
/// ```
/// let p: urcu::Rcu<std::sync::Mutex<u64>> = urcu::Rcu::new(std::sync::Mutex::new(1));
/// # drop(p);
/// ```
/// ```compile_fail,E0277
/// let p: urcu::Rcu<std::cell::Cell<u64>> = urcu::Rcu::new(std::cell::Cell::new(1));
/// # drop(p);
/// ```
/// And one that may be shared, but not sent:
/// ```
/// let lock: &'static std::sync::Mutex<u64> = Box::leak(Box::new(std::sync::Mutex::new(1)));
/// let p: urcu::Rcu<&std::sync::Mutex<u64>> = urcu::Rcu::new(lock);
/// # drop(p);
/// ```
/// ```compile_fail,E0277
/// let lock: &'static std::sync::Mutex<u64> = Box::leak(Box::new(std::sync::Mutex::new(1)));
/// let p: urcu::Rcu<std::sync::MutexGuard<u64>> = urcu::Rcu::new(lock.lock().unwrap());
/// # drop(p);
/// ```
struct PayloadIsSendAndSync;

/// Rule A3: the payload is dropped on the worker at some later time.
///
/// ```
/// let text = String::from("owned");
/// let p: urcu::Rcu<String> = urcu::Rcu::new(text);
/// # drop(p);
/// ```
/// ```compile_fail,E0597
/// let text = String::from("borrowed");
/// let p: urcu::Rcu<&'static str> = urcu::Rcu::new(&text);
/// # drop(p);
/// ```
/// The same for callbacks:
/// ```
/// let n = std::sync::Arc::new(1);
/// urcu::Memb::call(move || assert_eq!(*n, 1));
/// ```
/// ```compile_fail,E0277
/// let n = std::rc::Rc::new(1);
/// urcu::Memb::call(move || assert_eq!(*n, 1));
/// ```
/// ```compile_fail,E0373
/// let n = std::sync::Arc::new(1);
/// urcu::Memb::call(|| assert_eq!(*n, 1));
/// ```
struct PayloadIsStatic;

/// A section belongs to its thread.
///
/// ```
/// std::thread::scope(|s| {
///     s.spawn(|| drop(urcu::Memb::read_lock()));
/// });
/// ```
/// ```compile_fail,E0277
/// let guard = urcu::Memb::read_lock();
/// std::thread::scope(|s| {
///     s.spawn(move || drop(guard));
/// });
/// ```
/// ```compile_fail,E0277
/// let guard = urcu::Memb::read_lock();
/// std::thread::scope(|s| {
///     s.spawn(|| drop(&guard));
/// });
/// ```
struct GuardStaysOnItsThread;

/// So does a registration (rule A2: the check for a misuse counts those of the thread).
///
/// ```
/// std::thread::spawn(|| drop(urcu::Qsbr::register())).join().unwrap();
/// ```
/// ```compile_fail,E0277
/// let thread = urcu::Qsbr::register();
/// std::thread::spawn(|| drop(thread)).join().unwrap();
/// ```
/// ```compile_fail,E0277
/// let thread = urcu::Memb::register();
/// std::thread::spawn(|| drop(thread)).join().unwrap();
/// ```
struct ThreadStaysOnItsThread;

/// A reference lives no longer than the guard.
///
/// ```
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let guard = urcu::Memb::read_lock();
/// let value = p.dereference(&guard);
/// println!("{value:?}");
/// drop(guard);
/// ```
/// ```compile_fail,E0505
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let guard = urcu::Memb::read_lock();
/// let value = p.dereference(&guard);
/// drop(guard);
/// println!("{value:?}");
/// ```
/// ```compile_fail,E0716
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let value = p.dereference(&urcu::Memb::read_lock());
/// println!("{value:?}");
/// ```
struct ReferenceEndsWithTheGuard;

/// Rule A18: nor longer than the pointer, whose Drop frees at once.
///
/// ```
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let guard = urcu::Memb::read_lock();
/// let value = p.dereference(&guard);
/// println!("{value:?}");
/// drop(p);
/// ```
/// ```compile_fail,E0505
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let guard = urcu::Memb::read_lock();
/// let value = p.dereference(&guard);
/// drop(p);
/// println!("{value:?}");
/// ```
/// Exclusive access is no way around it:
/// ```
/// let mut p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let guard = urcu::Memb::read_lock();
/// let value = p.dereference(&guard).copied();
/// *p.get_mut().unwrap() = 2;
/// println!("{value:?}");
/// ```
/// ```compile_fail,E0502
/// let mut p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let guard = urcu::Memb::read_lock();
/// let value = p.dereference(&guard);
/// *p.get_mut().unwrap() = 2;
/// println!("{value:?}");
/// ```
struct ReferenceEndsWithThePointer;

/// What `Rcu` holds is invariant: a shorter life cannot be put in through a shared pointer.
///
/// ```
/// fn same<'a>(p: &'a urcu::Rcu<fn(&'static str)>) -> &'a urcu::Rcu<fn(&'static str)> { p }
/// # same(&urcu::Rcu::null());
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::Rcu<fn(&str)>) -> &'a urcu::Rcu<fn(&'static str)> { p }
/// # longer(&urcu::Rcu::null());
/// ```
struct PointerIsInvariant;

/// Rule A2: a qsbr thread cannot wait, announce or go offline while one of its guards lives.
///
/// ```
/// # static P: urcu::Rcu<u32, urcu::Qsbr> = urcu::Rcu::null();
/// let mut thread = urcu::Qsbr::register();
/// let guard = thread.read_lock();
/// let value = P.dereference(&guard);
/// println!("{value:?}");
/// drop(guard);
/// thread.synchronize();
/// thread.quiescent_state();
/// thread.barrier();
/// thread.offline(|| ());
/// if let Some(old) = P.take() { drop(old.synchronize_with(&mut thread)); }
/// ```
/// ```compile_fail,E0502
/// # static P: urcu::Rcu<u32, urcu::Qsbr> = urcu::Rcu::null();
/// let mut thread = urcu::Qsbr::register();
/// let guard = thread.read_lock();
/// let value = P.dereference(&guard);
/// thread.synchronize();
/// println!("{value:?}");
/// ```
/// ```compile_fail,E0502
/// # static P: urcu::Rcu<u32, urcu::Qsbr> = urcu::Rcu::null();
/// let mut thread = urcu::Qsbr::register();
/// let guard = thread.read_lock();
/// let value = P.dereference(&guard);
/// thread.quiescent_state();
/// println!("{value:?}");
/// ```
/// ```compile_fail,E0502
/// # static P: urcu::Rcu<u32, urcu::Qsbr> = urcu::Rcu::null();
/// let mut thread = urcu::Qsbr::register();
/// let guard = thread.read_lock();
/// let value = P.dereference(&guard);
/// thread.barrier();
/// println!("{value:?}");
/// ```
/// ```compile_fail,E0502
/// # static P: urcu::Rcu<u32, urcu::Qsbr> = urcu::Rcu::null();
/// let mut thread = urcu::Qsbr::register();
/// let guard = thread.read_lock();
/// let value = P.dereference(&guard);
/// thread.offline(|| ());
/// println!("{value:?}");
/// ```
/// ```compile_fail,E0502
/// # static P: urcu::Rcu<u32, urcu::Qsbr> = urcu::Rcu::null();
/// let mut thread = urcu::Qsbr::register();
/// let guard = thread.read_lock();
/// let value = P.dereference(&guard);
/// if let Some(old) = P.take() { drop(old.synchronize_with(&mut thread)); }
/// println!("{value:?}");
/// ```
/// The guard alone, without a reference from it, is enough; and the handle cannot go away under it:
/// ```compile_fail,E0502
/// let mut thread = urcu::Qsbr::register();
/// let guard = thread.read_lock();
/// thread.quiescent_state();
/// drop(guard);
/// ```
/// ```compile_fail,E0505
/// let thread = urcu::Qsbr::register();
/// let guard = thread.read_lock();
/// drop(thread);
/// drop(guard);
/// ```
struct QsbrWaitsHaveNoGuard;

/// In `offline` the handle is borrowed: no guard can be made.
///
/// ```
/// let mut thread = urcu::Qsbr::register();
/// thread.offline(|| ());
/// drop(thread.read_lock());
/// ```
/// ```compile_fail,E0502
/// let mut thread = urcu::Qsbr::register();
/// thread.offline(|| drop(thread.read_lock()));
/// ```
struct NoGuardWhileOffline;

/// A guard proves nothing about another flavor.
///
/// ```
/// let p: urcu::Rcu<u32, urcu::Mb> = urcu::Rcu::new(1);
/// let guard = urcu::Mb::read_lock();
/// assert_eq!(p.dereference(&guard), Some(&1));
/// ```
/// ```compile_fail,E0308
/// let p: urcu::Rcu<u32, urcu::Mb> = urcu::Rcu::new(1);
/// let guard = urcu::Memb::read_lock();
/// assert_eq!(p.dereference(&guard), Some(&1));
/// ```
/// ```compile_fail,E0308
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let guard = urcu::Mb::read_lock();
/// assert_eq!(p.dereference(&guard), Some(&1));
/// ```
/// ```compile_fail,E0308
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let thread = urcu::Qsbr::register();
/// assert_eq!(p.dereference(&thread.read_lock()), Some(&1));
/// ```
/// Nor does a handle:
/// ```
/// let p: urcu::Rcu<u32, urcu::Mb> = urcu::Rcu::new(1);
/// let mut thread = urcu::Mb::register();
/// drop(p.take().unwrap().synchronize_with(&mut thread));
/// ```
/// ```compile_fail,E0308
/// let p: urcu::Rcu<u32, urcu::Mb> = urcu::Rcu::new(1);
/// let mut thread = urcu::Memb::register();
/// drop(p.take().unwrap().synchronize_with(&mut thread));
/// ```
struct FlavorsDoNotMix;

/// Readers of `qsbr` register by hand.
///
/// ```
/// drop(urcu::Memb::read_lock());
/// drop(urcu::Qsbr::register().read_lock());
/// ```
/// ```compile_fail,E0599
/// drop(urcu::Qsbr::read_lock());
/// ```
/// And only they announce:
/// ```
/// urcu::Qsbr::register().quiescent_state();
/// ```
/// ```compile_fail,E0599
/// urcu::Memb::register().quiescent_state();
/// ```
struct QsbrIsExplicit;

/// Rule A1: there is one writer, and a change needs it exclusively.
///
/// ```
/// let mut writer = urcu::Writer::new();
/// let p: urcu::RcuLocked<u32> = urcu::RcuLocked::new(&writer, 1);
/// let value = p.get(&writer).copied();
/// drop(p.replace(&mut writer, 2));
/// println!("{value:?}");
/// ```
/// ```compile_fail,E0502
/// let mut writer = urcu::Writer::new();
/// let p: urcu::RcuLocked<u32> = urcu::RcuLocked::new(&writer, 1);
/// let value = p.get(&writer);
/// drop(p.replace(&mut writer, 2));
/// println!("{value:?}");
/// ```
/// ```compile_fail,E0502
/// let mut writer = urcu::Writer::new();
/// let p: urcu::RcuLocked<u32> = urcu::RcuLocked::new(&writer, 1);
/// let value = p.get(&writer);
/// drop(p.take(&mut writer));
/// println!("{value:?}");
/// ```
/// ```compile_fail,E0599
/// let writer = urcu::Writer::new();
/// let second = writer.clone();
/// # drop(second);
/// ```
/// The mutex guard alone is no proof, its writer is:
/// ```
/// let lock = std::sync::Mutex::new(urcu::Writer::new());
/// let mut held = lock.lock().unwrap();
/// let p: urcu::RcuLocked<u32> = urcu::RcuLocked::new(&held, 1);
/// p.assign(&mut held, 2);
/// ```
/// ```compile_fail,E0308
/// let lock = std::sync::Mutex::new(());
/// let mut held = lock.lock().unwrap();
/// let p: urcu::RcuLocked<u32> = urcu::RcuLocked::new(&held, 1);
/// p.assign(&mut held, 2);
/// ```
/// `Rcu`, which anybody may replace, has no protected dereference:
/// ```
/// let p: urcu::RcuLocked<u32> = urcu::RcuLocked::null(&urcu::Writer::new());
/// drop(p.is_null());
/// ```
/// ```compile_fail,E0599
/// let p: urcu::Rcu<u32> = urcu::Rcu::null();
/// let _ = p.get(&urcu::Writer::new());
/// ```
struct OneWriter;

/// Rule A4: no way from `Retired` to the object but through a grace period.
///
/// ```
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let old = p.take().unwrap();
/// assert_eq!(*old.synchronize(), 1);
/// ```
/// ```compile_fail,E0614
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let old = p.take().unwrap();
/// assert_eq!(*old, 1);
/// ```
/// ```compile_fail,E0382
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let old = p.take().unwrap();
/// old.free();
/// assert_eq!(*old.synchronize(), 1);
/// ```
struct RetiredIsOpaque;

/// The flavors are a closed set.
///
/// ```
/// fn name<F: urcu::Flavor>() -> &'static str { std::any::type_name::<F>() }
/// # name::<urcu::Memb>();
/// ```
/// ```compile_fail,E0277
/// fn name<F: urcu::Flavor>() -> &'static str { std::any::type_name::<F>() }
/// # name::<u32>();
/// ```
struct FlavorIsSealed;
