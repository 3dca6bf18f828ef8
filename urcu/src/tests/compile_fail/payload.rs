//! What may be shared, what stays on its thread, and what each type is variant in.

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

/// So is what lists, maps and queues hold. (`List` was covariant, because its links do not name the type: a reader's
/// function that takes any `&str` was called with one that did not live for ever, by a name that said it does.)
///
/// ```
/// fn same0<'a>(p: &'a urcu::list::List<fn(&'static str)>) -> &'a urcu::list::List<fn(&'static str)> { p }
/// fn same1<'a>(p: &'a urcu::list::HList<fn(&'static str)>) -> &'a urcu::list::HList<fn(&'static str)> { p }
/// fn same2<'a>(p: &'a urcu::RcuArc<fn(&'static str)>) -> &'a urcu::RcuArc<fn(&'static str)> { p }
/// fn same3<'a>(p: &'a urcu::RcuLocked<fn(&'static str)>) -> &'a urcu::RcuLocked<fn(&'static str)> { p }
/// fn same4<'a>(p: &'a urcu::OrdMap<u8, fn(&'static str)>) -> &'a urcu::OrdMap<u8, fn(&'static str)> { p }
/// fn same5<'a>(p: &'a urcu::RcuHashMap<u8, fn(&'static str)>) -> &'a urcu::RcuHashMap<u8, fn(&'static str)> { p }
/// fn same6<'a>(p: &'a urcu::RcuHashMap<fn(&'static str), u8>) -> &'a urcu::RcuHashMap<fn(&'static str), u8> { p }
/// fn same7<'a>(p: &'a urcu::Idr<fn(&'static str)>) -> &'a urcu::Idr<fn(&'static str)> { p }
/// fn same8<'a>(p: &'a urcu::lfs::Stack<fn(&'static str)>) -> &'a urcu::lfs::Stack<fn(&'static str)> { p }
/// fn same9<'a>(p: &'a urcu::wfcq::Queue<fn(&'static str)>) -> &'a urcu::wfcq::Queue<fn(&'static str)> { p }
/// fn same10<'a>(p: &'a urcu::llist::Llist<fn(&'static str)>) -> &'a urcu::llist::Llist<fn(&'static str)> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::list::List<fn(&str)>) -> &'a urcu::list::List<fn(&'static str)> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::list::HList<fn(&str)>) -> &'a urcu::list::HList<fn(&'static str)> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::RcuArc<fn(&str)>) -> &'a urcu::RcuArc<fn(&'static str)> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::RcuLocked<fn(&str)>) -> &'a urcu::RcuLocked<fn(&'static str)> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::OrdMap<u8, fn(&str)>) -> &'a urcu::OrdMap<u8, fn(&'static str)> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::RcuHashMap<u8, fn(&str)>) -> &'a urcu::RcuHashMap<u8, fn(&'static str)> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::RcuHashMap<fn(&str), u8>) -> &'a urcu::RcuHashMap<fn(&'static str), u8> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::Idr<fn(&str)>) -> &'a urcu::Idr<fn(&'static str)> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::lfs::Stack<fn(&str)>) -> &'a urcu::lfs::Stack<fn(&'static str)> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::wfcq::Queue<fn(&str)>) -> &'a urcu::wfcq::Queue<fn(&'static str)> { p }
/// ```
/// ```compile_fail,E0308
/// fn longer<'a>(p: &'a urcu::llist::Llist<fn(&str)>) -> &'a urcu::llist::Llist<fn(&'static str)> { p }
/// ```
struct StructuresAreInvariant;

/// Rule A3: keys and values of an ordered map are shared and dropped elsewhere; a guard of another flavor is none.
///
/// ```
/// let map: urcu::OrdMap<u32, std::sync::Mutex<u32>> = urcu::OrdMap::new();
/// assert!(map.get(1, &urcu::Memb::read_lock()).is_none());
/// ```
/// ```compile_fail,E0277
/// let map: urcu::OrdMap<u32, std::cell::Cell<u32>> = urcu::OrdMap::new();
/// assert!(map.get(1, &urcu::Memb::read_lock()).is_none());
/// ```
/// ```compile_fail,E0277
/// let map: urcu::OrdMap<*const u32, std::sync::Mutex<u32>> = urcu::OrdMap::new();
/// assert!(map.get(std::ptr::null(), &urcu::Memb::read_lock()).is_none());
/// ```
/// ```compile_fail,E0277
/// let map: urcu::OrdMap<String, std::sync::Mutex<u32>> = urcu::OrdMap::new();
/// assert!(map.get(String::new(), &urcu::Memb::read_lock()).is_none());
/// ```
/// ```compile_fail,E0308
/// let map: urcu::OrdMap<u32, std::sync::Mutex<u32>> = urcu::OrdMap::new();
/// assert!(map.get(1, &urcu::Mb::read_lock()).is_none());
/// ```
/// ```compile_fail,E0597
/// let number = 1;
/// let map: urcu::OrdMap<&'static u32, u32> = urcu::OrdMap::new();
/// assert!(map.get(&number, &urcu::Memb::read_lock()).is_none());
/// ```
struct OrderedPayload;
