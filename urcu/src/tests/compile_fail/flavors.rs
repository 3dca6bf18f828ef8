//! Flavors that are not to be mixed up, and what QSBR's handles forbid.

/// Rule A2: a qsbr thread announces nothing while it scans.
///
/// ```
/// let mut thread = urcu::Qsbr::register();
/// let map: urcu::OrdMap<u32, u32, urcu::Qsbr> = urcu::OrdMap::new();
/// let guard = thread.read_lock();
/// let mut scan = map.iter(&guard);
/// scan.next();
/// drop(guard);
/// thread.quiescent_state();
/// # drop(map);
/// ```
/// ```compile_fail,E0502
/// let mut thread = urcu::Qsbr::register();
/// let map: urcu::OrdMap<u32, u32, urcu::Qsbr> = urcu::OrdMap::new();
/// let guard = thread.read_lock();
/// let mut scan = map.iter(&guard);
/// thread.quiescent_state();
/// scan.next();
/// drop(guard);
/// # drop(map);
/// ```
struct QsbrScansInOneSection;

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
/// thread.wait_for(urcu::Qsbr::get_state());
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
/// thread.wait_for(urcu::Qsbr::get_state());
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
/// Nor can what was read before be used there, or what is read there leave:
/// ```
/// # static P: urcu::Rcu<u32, urcu::Qsbr> = urcu::Rcu::null();
/// let mut thread = urcu::Qsbr::register();
/// let value = P.dereference(&thread.read_lock()).copied();
/// thread.offline(|| println!("{value:?}"));
/// ```
/// ```compile_fail,E0502
/// # static P: urcu::Rcu<u32, urcu::Qsbr> = urcu::Rcu::null();
/// let mut thread = urcu::Qsbr::register();
/// let guard = thread.read_lock();
/// let value = P.dereference(&guard);
/// thread.offline(|| println!("{value:?}"));
/// ```
struct NoGuardWhileOffline;

/// A job of a thread pool, which gets the worker's registration by reference, can read, but can neither
/// announce nor keep what it has read.
///
/// ```
/// # static P: urcu::Rcu<u32, urcu::Qsbr> = urcu::Rcu::null();
/// let mut kept: Option<u32> = None;
/// let mut job = |thread: &urcu::Thread<urcu::Qsbr>| {
///     kept = P.dereference(&thread.read_lock()).copied();
/// };
/// let mut thread = urcu::Qsbr::register();
/// job(&thread);
/// thread.quiescent_state();
/// println!("{kept:?}");
/// ```
/// ```compile_fail,E0521
/// # static P: urcu::Rcu<u32, urcu::Qsbr> = urcu::Rcu::null();
/// let mut kept: Option<urcu::Guard<'_, urcu::Qsbr>> = None;
/// let mut job = |thread: &urcu::Thread<urcu::Qsbr>| {
///     kept = Some(thread.read_lock());
/// };
/// let mut thread = urcu::Qsbr::register();
/// job(&thread);
/// thread.quiescent_state();
/// println!("{kept:?}");
/// ```
/// ```compile_fail,E0596
/// let mut job = |thread: &urcu::Thread<urcu::Qsbr>| {
///     thread.quiescent_state();
/// };
/// job(&urcu::Qsbr::register());
/// ```
struct JobsOnlyRead;

/// What tells a grace period not to wait for an answer is for threads that register by themselves: a `Qsbr`
/// thread that sleeps goes offline.
///
/// ```
/// urcu::Memb::park(|| ());
/// ```
/// ```compile_fail,E0599
/// urcu::Qsbr::park(|| ());
/// ```
struct QsbrDoesNotPark;

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
