//! [`Ns`]: the tag of a name space.

use core::fmt;
use core::num::NonZeroU64;

/// A name space: in a directory of [`Dir::enable_ns`](crate::Dir::enable_ns) each entry belongs to one, and
/// the same name may be there once in each. A number of the owner's, not 0.
///
/// ```
/// use kernfs::{Creation, Ns, Root};
///
/// let root = Root::new();
/// let net = root.create_dir("net", 0o755)?;
/// net.enable_ns()?;
/// for id in [1, 2] {
///     let ns = Ns::new(id).unwrap();
///     net.create_dir_with("eth0", 0o755, Creation::new().ns(ns))?;
/// }
/// assert_ne!(net.find_ns("eth0", Ns::new(1)), net.find_ns("eth0", Ns::new(2)));
/// assert_eq!(net.find_ns("eth0", Ns::new(3)), None);
/// # Ok::<(), kernfs::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ns(NonZeroU64);

impl Ns {
    /// The name space of this number; `None` for 0.
    pub const fn new(id: u64) -> Option<Self> {
        match NonZeroU64::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number.
    pub const fn id(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for Ns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ns({})", self.0)
    }
}

static_assertions::const_assert_eq!(size_of::<Option<Ns>>(), 8);
