//! The atomics of `core` with a hook before each operation, and one after each that stores.
//!
//! Only the methods that this crate uses. Same size, same orderings, `const` constructors.

use core::sync::atomic::{self as plain, Ordering};

use super::hook;

/// `core::sync::atomic::fence`, with a hook before it.
#[inline]
pub fn fence(order: Ordering) {
    hook();
    plain::fence(order);
}

/// An atomic of `core` with hooks: the methods that this crate uses.
macro_rules! hooked {
    ($(#[$doc:meta])* $name:ident $(<$parameter:ident>)?, $value:ty, { $($more:tt)* }) => {
        $(#[$doc])*
        #[repr(transparent)]
        pub struct $name $(<$parameter>)? (plain::$name $(<$parameter>)?);

        impl $(<$parameter>)? $name $(<$parameter>)? {
            #[inline]
            pub const fn new(value: $value) -> Self {
                Self(plain::$name::new(value))
            }

            #[inline]
            pub fn get_mut(&mut self) -> &mut $value {
                self.0.get_mut()
            }

            #[inline]
            pub const fn as_ptr(&self) -> *mut $value {
                self.0.as_ptr()
            }

            #[inline]
            pub fn load(&self, order: Ordering) -> $value {
                hook();
                self.0.load(order)
            }

            #[inline]
            pub fn store(&self, value: $value, order: Ordering) {
                hook();
                self.0.store(value, order);
                hook();
            }

            #[inline]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                hooked!(@around self.0.swap(value, order))
            }

            #[inline]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                hooked!(@around self.0.compare_exchange(current, new, success, failure))
            }

            #[inline]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                hooked!(@around self.0.compare_exchange_weak(current, new, success, failure))
            }

            $($more)*
        }

        impl $(<$parameter>)? core::fmt::Debug for $name $(<$parameter>)? {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $(<$parameter>)? Default for $name $(<$parameter>)? {
            fn default() -> Self {
                Self(Default::default())
            }
        }
    };
    (@around $operation:expr) => {{
        hook();
        let result = $operation;
        hook();
        result
    }};
    (integer $name:ident, $value:ty) => {
        hooked!(
            /// `core`'s, with hooks.
            $name, $value, {
                #[inline]
                pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    hooked!(@around self.0.fetch_add(value, order))
                }

                #[inline]
                pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    hooked!(@around self.0.fetch_sub(value, order))
                }

                #[inline]
                pub fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                    hooked!(@around self.0.fetch_max(value, order))
                }

                #[inline]
                pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                    hooked!(@around self.0.fetch_or(value, order))
                }

                #[inline]
                pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                    hooked!(@around self.0.fetch_and(value, order))
                }

                #[inline]
                pub fn fetch_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    f: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    hooked!(@around self.0.fetch_update(set, fetch, f))
                }
            }
        );
    };
}

hooked!(integer AtomicI32, i32);
hooked!(integer AtomicU8, u8);
hooked!(integer AtomicU32, u32);
hooked!(integer AtomicU64, u64);
hooked!(integer AtomicUsize, usize);
hooked!(
    /// `core`'s, with hooks.
    AtomicBool, bool, {}
);
hooked!(
    /// `core`'s, with hooks.
    AtomicPtr<T>, *mut T, {}
);
