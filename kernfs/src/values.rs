//! Attributes of atomics: no closure to write.

use core::fmt;
use core::ops::Deref;
use core::str::FromStr;
use core::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use crate::attr::{Attr, ro, rw};

/// An atomic of the standard library; see [`ro_atomic`].
pub trait Atomic: sealed::Sealed + Send + Sync + 'static {
    #[doc(hidden)]
    type Value: fmt::Display + FromStr;
    #[doc(hidden)]
    fn value(&self) -> Self::Value;
    #[doc(hidden)]
    fn set_value(&self, value: Self::Value);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! atomics {
    ($($atomic:ty: $value:ty,)*) => {
        $(
            impl sealed::Sealed for $atomic {}
            impl Atomic for $atomic {
                type Value = $value;
                fn value(&self) -> $value {
                    // A value of its own: it publishes nothing else.
                    self.load(Ordering::Relaxed)
                }
                fn set_value(&self, value: $value) {
                    self.store(value, Ordering::Relaxed);
                }
            }
        )*
    };
}

atomics! {
    AtomicI8: i8, AtomicI16: i16, AtomicI32: i32, AtomicI64: i64, AtomicIsize: isize,
    AtomicU8: u8, AtomicU16: u16, AtomicU32: u32, AtomicU64: u64, AtomicUsize: usize,
}

impl sealed::Sealed for AtomicBool {}
impl Atomic for AtomicBool {
    /// 0 and 1, as sysfs has it.
    type Value = Flag;
    fn value(&self) -> Flag {
        Flag(self.load(Ordering::Relaxed))
    }
    fn set_value(&self, value: Flag) {
        self.store(value.0, Ordering::Relaxed);
    }
}

/// A truth value as the kernel's `kstrtobool` reads it.
#[doc(hidden)]
#[derive(Debug)]
pub struct Flag(bool);

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        u8::from(self.0).fmt(f)
    }
}

impl FromStr for Flag {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "1" | "y" | "Y" | "on" | "true" => Ok(Self(true)),
            "0" | "n" | "N" | "off" | "false" => Ok(Self(false)),
            _ => Err(()),
        }
    }
}

/// The value of an atomic (0444), which is a static or in an `Arc`.
///
/// ```
/// use kernfs::{OpenFlags, Root, ro_atomic, rw_atomic};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
///
/// static HITS: AtomicU64 = AtomicU64::new(0);
/// let enabled = Arc::new(AtomicBool::new(false));
///
/// let root = Root::new();
/// root.attr("hits", ro_atomic(&HITS))?;
/// let file = root.attr("enabled", rw_atomic(Arc::clone(&enabled)))?;
/// file.open(OpenFlags::WRITE)?.write_at(b"on\n", 0)?;
/// assert!(enabled.load(Relaxed));
/// # Ok::<(), kernfs::Error>(())
/// ```
pub fn ro_atomic<A: Atomic>(atomic: impl Deref<Target = A> + Send + Sync + 'static) -> Attr {
    ro(move || atomic.value())
}

/// The value of an atomic, which may be stored (0644). Truth values are shown as 0 and 1, and may be written
/// as 1, y, Y, on, true and 0, n, N, off, false.
pub fn rw_atomic<A: Atomic>(
    atomic: impl Deref<Target = A> + Clone + Send + Sync + 'static,
) -> Attr {
    let shown = atomic.clone();
    rw(move || shown.value(), move |value| atomic.set_value(value))
}
