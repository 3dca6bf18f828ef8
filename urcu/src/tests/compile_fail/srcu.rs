//! The domains of SRCU: payloads, references, and guards that are not a flavor's.

/// Rules A3, A17: what an srcu pointer holds is shared and dropped as what `Rcu` holds.
///
/// ```
/// let srcu = urcu::Srcu::new();
/// let p = srcu.new_ptr(std::sync::Arc::new(1));
/// # drop(p);
/// ```
/// ```compile_fail,E0277
/// let srcu = urcu::Srcu::new();
/// let p = srcu.new_ptr(std::rc::Rc::new(1));
/// # drop(p);
/// ```
/// ```compile_fail,E0277
/// let srcu = urcu::Srcu::new();
/// let p = srcu.new_ptr(std::cell::Cell::new(1));
/// # drop(p);
/// ```
/// ```
/// let srcu = urcu::Srcu::new();
/// let text = String::from("owned");
/// let p: urcu::SrcuPtr<String> = srcu.new_ptr(text);
/// # drop(p);
/// ```
/// ```compile_fail,E0597
/// let srcu = urcu::Srcu::new();
/// let text = String::from("borrowed");
/// let p: urcu::SrcuPtr<&'static str> = srcu.new_ptr(&text);
/// # drop(p);
/// ```
/// Callbacks:
/// ```
/// let n = std::sync::Arc::new(1);
/// urcu::Srcu::new().call(move || assert_eq!(*n, 1));
/// ```
/// ```compile_fail,E0277
/// let n = std::rc::Rc::new(1);
/// urcu::Srcu::new().call(move || assert_eq!(*n, 1));
/// ```
struct SrcuPayload;

/// A reference ends before its srcu section, its pointer and its domain do.
///
/// ```
/// let srcu = urcu::Srcu::new();
/// let p = srcu.new_ptr(1);
/// let guard = srcu.read_lock();
/// let value = p.dereference(&guard);
/// assert_eq!(value, Some(&1));
/// drop(guard);
/// ```
/// ```compile_fail,E0505
/// let srcu = urcu::Srcu::new();
/// let p = srcu.new_ptr(1);
/// let guard = srcu.read_lock();
/// let value = p.dereference(&guard);
/// drop(guard);
/// assert_eq!(value, Some(&1));
/// ```
/// The pointer must not go first, nor be changed through `&mut`:
/// ```
/// let srcu = urcu::Srcu::new();
/// let mut p = srcu.new_ptr(1);
/// let guard = srcu.read_lock();
/// assert_eq!(p.dereference(&guard), Some(&1));
/// *p.get_mut().unwrap() = 2;
/// ```
/// ```compile_fail,E0502
/// let srcu = urcu::Srcu::new();
/// let mut p = srcu.new_ptr(1);
/// let guard = srcu.read_lock();
/// let value = p.dereference(&guard);
/// *p.get_mut().unwrap() = 2;
/// assert_eq!(value, Some(&1));
/// ```
/// A guard borrows its handle; one that owns a handle does not:
/// ```
/// let srcu = urcu::Srcu::new();
/// let guard = srcu.down_read();
/// drop(srcu);
/// guard.up_read();
/// ```
/// ```compile_fail,E0505
/// let srcu = urcu::Srcu::new();
/// let guard = srcu.read_lock();
/// drop(srcu);
/// guard.unlock();
/// ```
/// What an owned guard lends ends with it:
/// ```
/// let srcu = urcu::Srcu::new();
/// let p = srcu.new_ptr(1);
/// let guard = srcu.down_read();
/// let value = p.dereference(&guard);
/// assert_eq!(value, Some(&1));
/// guard.up_read();
/// ```
/// ```compile_fail,E0505
/// let srcu = urcu::Srcu::new();
/// let p = srcu.new_ptr(1);
/// let guard = srcu.down_read();
/// let value = p.dereference(&guard);
/// guard.up_read();
/// assert_eq!(value, Some(&1));
/// ```
struct SrcuReference;

/// A guard of a flavor is none of srcu, and the other way round.
///
/// ```
/// let srcu = urcu::Srcu::new();
/// let p = srcu.new_ptr(1);
/// let guard = srcu.read_lock();
/// p.dereference(&guard);
/// ```
/// ```compile_fail,E0308
/// let srcu = urcu::Srcu::new();
/// let p = srcu.new_ptr(1);
/// let guard = urcu::Memb::read_lock();
/// p.dereference(&guard);
/// ```
/// ```compile_fail,E0308
/// let srcu = urcu::Srcu::new();
/// let p: urcu::Rcu<u32> = urcu::Rcu::new(1);
/// let guard = srcu.read_lock();
/// p.dereference(&guard);
/// ```
/// Only srcu's crosses threads:
/// ```
/// let srcu = urcu::Srcu::new();
/// let guard = srcu.read_lock();
/// std::thread::scope(|s| {
///     s.spawn(move || drop(guard));
/// });
/// ```
/// ```compile_fail,E0277
/// let guard = urcu::Memb::read_lock();
/// std::thread::scope(|s| {
///     s.spawn(move || drop(guard));
/// });
/// ```
/// No object is had from what was retired before its grace period:
/// ```
/// let srcu = urcu::Srcu::new();
/// let old = srcu.new_ptr(1).take().unwrap();
/// assert_eq!(*old.synchronize(), 1);
/// ```
/// ```compile_fail,E0614
/// let srcu = urcu::Srcu::new();
/// let old = srcu.new_ptr(1).take().unwrap();
/// assert_eq!(*old, 1);
/// ```
struct SrcuAndFlavors;
