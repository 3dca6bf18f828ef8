//! Errors as the kernel gives them: an errno, and a line that says what was asked of which node.
//!
//! The numbers come from the platform (they differ between architectures), so that a mount can hand them
//! on as they are.

use core::fmt;
use core::num::NonZeroI32;
use std::borrow::Cow;
use std::io;

use crate::sys::errno as raw;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// An error number of the platform. Never 0.
///
/// ```
/// use kernfs::Errno;
/// assert_eq!(Errno::ENOENT.to_string(), "no such file or directory (ENOENT)");
/// assert_eq!(Errno::new(0), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(NonZeroI32);

macro_rules! errnos {
    ($($name:ident $text:literal)*) => {
        impl Errno {
            $(
                #[doc = $text]
                pub const $name: Self = Self::known(raw::$name);
            )*

            fn describe(self) -> Option<(&'static str, &'static str)> {
                match self {
                    $(Self::$name => Some((stringify!($name), $text)),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    EPERM "operation not permitted"
    ENOENT "no such file or directory"
    EINTR "interrupted"
    EIO "input/output error"
    E2BIG "too long"
    EBADF "not open for this"
    EAGAIN "try again"
    ENOMEM "out of memory"
    EACCES "permission denied"
    EBUSY "busy"
    EEXIST "exists already"
    ENODEV "the node is gone"
    ENFILE "too many open files"
    ENOTDIR "not a directory"
    EISDIR "is a directory"
    EINVAL "invalid argument"
    EFBIG "beyond the end"
    ENOSPC "no space left"
    ERANGE "out of range"
    ESRCH "no such process"
    EDEADLK "would wait for itself"
    ENAMETOOLONG "name too long"
    ELOOP "too many symbolic links"
    ENOSYS "not implemented"
    ENODATA "no data"
    EOPNOTSUPP "not supported"
    ETIMEDOUT "timed out"
    ENOTCONN "not connected"
    ESTALE "stale handle"
}

impl Errno {
    const fn known(value: i32) -> Self {
        match NonZeroI32::new(value) {
            Some(value) => Self(value),
            None => panic!("no errno is 0"), // evaluated by the compiler
        }
    }

    /// The errno with this number. `None` unless it is in 1..=4095, where the kernel's error values lie.
    pub const fn new(value: i32) -> Option<Self> {
        match NonZeroI32::new(value) {
            Some(number) if 0 < value && value <= 4095 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number, as in `errno`.
    pub const fn raw(self) -> i32 {
        self.0.get()
    }

    /// An error with this errno and a line of context.
    pub fn because(self, context: impl Into<Cow<'static, str>>) -> Error {
        Error {
            errno: self,
            context: context.into(),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.describe() {
            Some((name, text)) => write!(f, "{text} ({name})"),
            None => write!(f, "errno {}", self.raw()),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.describe() {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "Errno({})", self.raw()),
        }
    }
}

/// An [`Errno`] and what was being done.
///
/// ```
/// let root = kernfs::Root::new();
/// let error = root.create_dir("a/b", 0o755).unwrap_err();
/// assert_eq!(error.errno(), kernfs::Errno::EINVAL);
/// assert_eq!(error.to_string(), "name \"a/b\" has a slash in it: invalid argument (EINVAL)");
/// ```
#[derive(Clone, Debug)]
pub struct Error {
    errno: Errno,
    context: Cow<'static, str>,
}

impl Error {
    /// The number.
    pub fn errno(&self) -> Errno {
        self.errno
    }

    /// What was being done; may be empty.
    pub fn context(&self) -> &str {
        &self.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.context.is_empty() {
            self.errno.fmt(f)
        } else {
            write!(f, "{}: {}", self.context, self.errno)
        }
    }
}

impl std::error::Error for Error {}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Self {
        errno.because("")
    }
}

impl From<Error> for io::Error {
    /// Keeps the context and the kind; `raw_os_error` is `None`, the errno is in the [`Error`] inside.
    fn from(error: Error) -> Self {
        let kind = io::Error::from_raw_os_error(error.errno.raw()).kind();
        Self::new(kind, error)
    }
}

impl From<io::Error> for Error {
    /// For callbacks that use `?` on what std gives: the errno if there is one, else EIO.
    fn from(error: io::Error) -> Self {
        if let Some(inner) = error.get_ref().and_then(|e| e.downcast_ref::<Self>()) {
            return inner.clone();
        }
        let errno = error.raw_os_error().and_then(Errno::new);
        errno.unwrap_or(Errno::EIO).because(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_keeps_the_errno_both_ways() {
        let error = Errno::ENODEV.because("read of /gone");
        let io: io::Error = error.into();
        assert!(io.to_string().contains("read of /gone"));
        assert_eq!(Error::from(io).errno(), Errno::ENODEV);
        assert_eq!(
            Error::from(io::Error::from_raw_os_error(13)).errno(),
            Errno::EACCES
        );
        assert_eq!(Error::from(io::Error::other("x")).errno(), Errno::EIO);
    }

    #[test]
    fn only_the_kernels_range_is_an_errno() {
        assert!(Errno::new(-1).is_none() && Errno::new(4096).is_none());
        assert_eq!(
            Errno::new(4095).map(|e| e.to_string()),
            Some("errno 4095".into())
        );
    }
}
