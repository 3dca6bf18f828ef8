//! How long what a reader has found may be used.

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

/// What is borrowed from a pointer to a shared object ends with the guard and with the pointer; what was counted
/// does not.
///
/// ```
/// # use std::sync::Arc;
/// let p: urcu::RcuArc<u32> = urcu::RcuArc::new(Arc::new(1));
/// let guard = urcu::Memb::read_lock();
/// let value = p.dereference(&guard).unwrap().get();
/// drop(guard);
/// drop(p);
/// println!("{value:?}");
/// ```
/// ```compile_fail,E0505
/// # use std::sync::Arc;
/// let p: urcu::RcuArc<u32> = urcu::RcuArc::new(Arc::new(1));
/// let guard = urcu::Memb::read_lock();
/// let value = p.dereference(&guard).unwrap();
/// drop(guard);
/// println!("{value:?}");
/// # drop(p);
/// ```
/// ```compile_fail,E0505
/// # use std::sync::Arc;
/// let p: urcu::RcuArc<u32> = urcu::RcuArc::new(Arc::new(1));
/// let guard = urcu::Memb::read_lock();
/// let value = p.dereference(&guard).unwrap();
/// drop(p);
/// println!("{value:?}");
/// # drop(guard);
/// ```
/// ```compile_fail,E0505
/// # use std::sync::Arc;
/// let p: urcu::RcuArc<u32> = urcu::RcuArc::new(Arc::new(1));
/// let guard = urcu::Memb::read_lock();
/// let value = p.dereference(&guard).unwrap().into_ref();
/// drop(guard);
/// println!("{value:?}");
/// # drop(p);
/// ```
/// Rule A3:
/// ```compile_fail,E0277
/// # use std::sync::Arc;
/// let p: urcu::RcuArc<std::cell::Cell<u64>> = urcu::RcuArc::new(Arc::new(std::cell::Cell::new(1)));
/// # drop(p);
/// ```
struct BorrowedEndsWithTheGuard;

/// Rule A18: what is found in an ordered map ends with the guard and with the map.
///
/// ```
/// # use std::sync::Arc;
/// let map: urcu::OrdMap<u32, u32> = urcu::OrdMap::new();
/// let guard = urcu::Memb::read_lock();
/// map.insert(1, Arc::new(1), &guard);
/// let (value, first) = (map.get(1, &guard), map.range(.., &guard).next());
/// println!("{value:?} {first:?}");
/// drop(guard);
/// drop(map);
/// ```
/// ```compile_fail,E0505
/// # use std::sync::Arc;
/// let map: urcu::OrdMap<u32, u32> = urcu::OrdMap::new();
/// let guard = urcu::Memb::read_lock();
/// map.insert(1, Arc::new(1), &guard);
/// let value = map.get(1, &guard);
/// drop(guard);
/// println!("{value:?}");
/// # drop(map);
/// ```
/// ```compile_fail,E0505
/// # use std::sync::Arc;
/// let map: urcu::OrdMap<u32, u32> = urcu::OrdMap::new();
/// let guard = urcu::Memb::read_lock();
/// map.insert(1, Arc::new(1), &guard);
/// let value = map.get(1, &guard);
/// drop(map);
/// println!("{value:?}");
/// # drop(guard);
/// ```
/// ```compile_fail,E0505
/// # use std::sync::Arc;
/// let map: urcu::OrdMap<u32, u32> = urcu::OrdMap::new();
/// let guard = urcu::Memb::read_lock();
/// map.insert(1, Arc::new(1), &guard);
/// let first = map.range(.., &guard).next();
/// drop(guard);
/// println!("{first:?}");
/// # drop(map);
/// ```
/// ```compile_fail,E0505
/// # use std::sync::Arc;
/// let map: urcu::OrdMap<u32, u32> = urcu::OrdMap::new();
/// let guard = urcu::Memb::read_lock();
/// map.insert(1, Arc::new(1), &guard);
/// let first = map.range(.., &guard).next();
/// drop(map);
/// println!("{first:?}");
/// # drop(guard);
/// ```
/// What an insertion found in its way, too:
/// ```
/// # use std::sync::Arc;
/// let map: urcu::OrdMap<u32, u32> = urcu::OrdMap::new();
/// let guard = urcu::Memb::read_lock();
/// let refused = map.insert_unique(1, Arc::new(1), &guard);
/// println!("{refused:?}");
/// drop(guard);
/// # drop(map);
/// ```
/// ```compile_fail,E0505
/// # use std::sync::Arc;
/// let map: urcu::OrdMap<u32, u32> = urcu::OrdMap::new();
/// let guard = urcu::Memb::read_lock();
/// let refused = map.insert_unique(1, Arc::new(1), &guard);
/// drop(guard);
/// println!("{refused:?}");
/// # drop(map);
/// ```
struct FoundEndsWithTheGuard;

/// Rule A18: what a reader finds on a list, or by an id, borrows guard and structure.
///
/// ```
/// use urcu::{Memb, Writer, list::List};
/// let list: List<u32> = List::new(&Writer::new());
/// let guard = Memb::read_lock();
/// let first = list.front(&guard);
/// println!("{first:?}");
/// drop(guard);
/// drop(list);
/// ```
/// ```compile_fail,E0505
/// use urcu::{Memb, Writer, list::List};
/// let list: List<u32> = List::new(&Writer::new());
/// let guard = Memb::read_lock();
/// let first = list.front(&guard);
/// drop(guard);
/// println!("{first:?}");
/// drop(list);
/// ```
/// ```compile_fail,E0505
/// use urcu::{Memb, Writer, list::List};
/// let list: List<u32> = List::new(&Writer::new());
/// let other: List<u32> = List::new(&Writer::new());
/// let guard = Memb::read_lock();
/// let first = list.front(&guard);
/// other.append(&mut Writer::new(), list);
/// println!("{first:?}");
/// drop(guard);
/// ```
/// ```
/// use urcu::{Id, Idr, Memb};
/// let idr: Idr<u32> = Idr::new();
/// let guard = Memb::read_lock();
/// let found = idr.get(Id::from_raw(1).unwrap(), &guard);
/// println!("{found:?}");
/// drop(idr);
/// ```
/// ```compile_fail,E0505
/// use urcu::{Id, Idr, Memb};
/// let idr: Idr<u32> = Idr::new();
/// let guard = Memb::read_lock();
/// let found = idr.get(Id::from_raw(1).unwrap(), &guard);
/// drop(idr);
/// println!("{found:?}");
/// ```
struct WhatIsFoundBorrowsTheStructure;
