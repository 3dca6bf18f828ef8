//! Who may change a pointer or a structure, and take from it.

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

/// Rule A1: a list is changed with `&mut` of its writer, and a cursor keeps it.
///
/// ```
/// use urcu::{Writer, list::List};
/// let mut writer = Writer::new();
/// let list: List<u32> = List::new(&writer);
/// let mut cursor = list.cursor(&mut writer);
/// cursor.insert_after(1);
/// list.push_front(&mut writer, 2);
/// ```
/// ```compile_fail,E0499
/// use urcu::{Writer, list::List};
/// let mut writer = Writer::new();
/// let list: List<u32> = List::new(&writer);
/// let mut cursor = list.cursor(&mut writer);
/// list.push_front(&mut writer, 2);
/// cursor.insert_after(1);
/// ```
/// What the writer sees ends with the change:
/// ```
/// use urcu::{Writer, list::List};
/// let mut writer = Writer::new();
/// let list: List<u32> = List::new(&writer);
/// let first = list.iter_locked(&writer).next();
/// println!("{first:?}");
/// list.push_front(&mut writer, 2);
/// ```
/// ```compile_fail,E0502
/// use urcu::{Writer, list::List};
/// let mut writer = Writer::new();
/// let list: List<u32> = List::new(&writer);
/// let first = list.iter_locked(&writer).next();
/// list.push_front(&mut writer, 2);
/// println!("{first:?}");
/// ```
struct ListIsChangedWithItsWriter;

/// One consumer at a time takes, and not beside a `&mut` of the queue.
///
/// ```
/// let mut queue: urcu::wfcq::Queue<u32> = urcu::wfcq::Queue::new();
/// let mut consumer = queue.consumer_mut();
/// consumer.pop();
/// drop(consumer);
/// queue.consumer_mut().pop();
/// ```
/// ```compile_fail,E0499
/// let mut queue: urcu::wfcq::Queue<u32> = urcu::wfcq::Queue::new();
/// let mut consumer = queue.consumer_mut();
/// consumer.pop();
/// queue.consumer_mut().pop();
/// drop(consumer);
/// ```
/// A stack's memory waits for readers of its own flavor:
/// ```
/// let stack: urcu::lfs::Stack<u32> = urcu::lfs::Stack::new();
/// stack.pop(&urcu::Memb::read_lock());
/// ```
/// ```compile_fail,E0308
/// let stack: urcu::lfs::Stack<u32> = urcu::lfs::Stack::new();
/// stack.pop(&urcu::Mb::read_lock());
/// ```
struct QueuesKeepToTheirTakers;
