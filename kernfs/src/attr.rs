//! Attributes in one line: a value that is shown, stored, or both.
//!
//! What sysfs is to kernfs: text of one value, a newline at the end, mode 0444, 0644 or 0200, size 4096.
//!
//! ```
//! use kernfs::{OpenFlags, Root, ro, rw};
//! use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
//!
//! static HITS: AtomicU64 = AtomicU64::new(0);
//! static LIMIT: AtomicU32 = AtomicU32::new(10);
//!
//! let root = Root::new();
//! root.attr("hits", ro(|| HITS.load(Relaxed)))?;
//! root.attr("limit", rw(|| LIMIT.load(Relaxed), |limit| LIMIT.store(limit, Relaxed)))?;
//!
//! let limit = root.find("limit").and_then(|n| n.as_file()).unwrap().open(OpenFlags::RDWR)?;
//! limit.write_at(b"25\n", 0)?;
//! assert_eq!(LIMIT.load(Relaxed), 25);
//! assert!(limit.write_at(b"many", 0).is_err()); // EINVAL, and the value stays
//! let mut text = [0; 16];
//! let n = limit.read_at(&mut text, 0)?;
//! assert_eq!(&text[..n], b"25\n");
//! # Ok::<(), kernfs::Error>(())
//! ```

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use crate::create::Creation;
use crate::cx::Cx;
use crate::error::{Errno, Error, Result};
use crate::flags::Has;
use crate::node::{Dir, File};
use crate::opened::{Opened, Seat};
use crate::ops::{AnyOps, Ops};
use crate::seq::Seq;

/// The size that stat(2) shows of an attribute, and the most that one write stores.
const SIZE: u64 = 4096;

/// An attribute to be: made by [`ro`], [`rw`], [`wo`], [`ro_atomic`](crate::ro_atomic),
/// [`rw_atomic`](crate::rw_atomic) and [`bin`](crate::bin), used by [`Dir::attr`] and
/// [`Group`](crate::Group). Clones show the same value.
#[derive(Clone)]
#[must_use = "give it to Dir::attr"]
#[doc(alias = "attribute")]
pub struct Attr {
    mode: u32,
    size: u64,
    ops: Arc<dyn AnyOps>,
}

impl Attr {
    pub(crate) fn new(mode: u32, size: u64, ops: Arc<dyn AnyOps>) -> Self {
        Self { mode, size, ops }
    }

    fn text(mode: u32, ops: Arc<dyn AnyOps>) -> Self {
        Self::new(mode, SIZE, ops)
    }

    /// Another mode than the usual one.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Says in a sentence what the value is: the `# HELP` of [`Dir::open_metrics`]. Files of one metric need it once.
    pub fn help(self, text: &'static str) -> Self {
        let ops = Arc::new(Helped(self.ops, text));
        Self { ops, ..self }
    }

    pub(crate) fn usual_mode(&self) -> u32 {
        self.mode
    }
}

/// Callbacks with a sentence about them.
struct Helped(Arc<dyn AnyOps>, &'static str);

impl AnyOps for Helped {
    fn any_has(&self) -> Has {
        self.0.any_has()
    }
    fn any_atomic_write_len(&self) -> usize {
        self.0.any_atomic_write_len()
    }
    fn any_open(self: Arc<Self>, cx: &mut Cx<'_>, seat: Seat) -> Result<Arc<Opened>> {
        Arc::clone(&self.0).any_open(cx, seat)
    }
    fn any_help(&self) -> Option<&'static str> {
        Some(self.1)
    }
}

impl fmt::Debug for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attr")
            .field("mode", &format_args!("{:#o}", self.mode))
            .field("has", &self.ops.any_has())
            .finish()
    }
}

impl Dir {
    /// Makes an attribute: a file with a value as text.
    ///
    /// Storing a value notifies nobody, as in sysfs: call [`File::notify`] when the value changed.
    ///
    /// # Errors
    /// As [`Dir::create_file`].
    #[doc(alias = "sysfs_create_file")]
    #[doc(alias = "device_create_file")]
    pub fn attr(&self, name: impl AsRef<[u8]>, attr: impl Into<Attr>) -> Result<File> {
        let attr = attr.into();
        self.create_any(
            name.as_ref(),
            attr.mode,
            attr.size,
            attr.ops,
            Creation::new(),
        )
    }
}

/// A value that can be read (0444). `get` runs at each read; its text is what `Display` gives, and a
/// newline.
#[doc(alias = "DEVICE_ATTR_RO")]
#[doc(alias = "__ATTR_RO")]
pub fn ro<T: fmt::Display>(get: impl Fn() -> T + Send + Sync + 'static) -> Attr {
    Attr::text(0o444, Arc::new(ReadOnly(show(get))))
}

/// A value that can be read and stored (0644). What is written is trimmed of white space and parsed with
/// `FromStr`; text that does not parse is EINVAL. `set` returns nothing, or a `Result` to refuse a value.
///
/// ```
/// use kernfs::{Errno, rw};
/// # use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
/// static PERCENT: AtomicU8 = AtomicU8::new(0);
/// let percent = rw(
///     || PERCENT.load(Relaxed),
///     |p: u8| {
///         if p > 100 {
///             return Err(Errno::EINVAL);
///         }
///         PERCENT.store(p, Relaxed);
///         Ok(())
///     },
/// );
/// ```
#[doc(alias = "DEVICE_ATTR_RW")]
#[doc(alias = "__ATTR_RW")]
pub fn rw<T: fmt::Display, V: FromStr, R: Stored>(
    get: impl Fn() -> T + Send + Sync + 'static,
    set: impl Fn(V) -> R + Send + Sync + 'static,
) -> Attr {
    Attr::text(0o644, Arc::new(ReadWrite(show(get), store(set))))
}

/// A value that can only be stored (0200): a trigger. See [`rw`].
#[doc(alias = "DEVICE_ATTR_WO")]
#[doc(alias = "__ATTR_WO")]
pub fn wo<V: FromStr, R: Stored>(set: impl Fn(V) -> R + Send + Sync + 'static) -> Attr {
    Attr::text(0o200, Arc::new(WriteOnly(store(set))))
}

/// What a `set` closure may return: `()`, or a `Result` with an [`Error`] or [`Errno`].
pub trait Stored: sealed::Sealed {
    #[doc(hidden)]
    fn stored(self) -> Result<()>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E: Into<crate::error::Error>> Sealed for Result<(), E> {}
}

impl Stored for () {
    fn stored(self) -> Result<()> {
        Ok(())
    }
}

impl<E: Into<Error>> Stored for Result<(), E> {
    fn stored(self) -> Result<()> {
        self.map_err(Into::into)
    }
}

type Show = Box<dyn Fn(&mut Seq) + Send + Sync>;
type Store = Box<dyn Fn(&[u8]) -> Result<()> + Send + Sync>;

fn show<T: fmt::Display>(get: impl Fn() -> T + Send + Sync + 'static) -> Show {
    Box::new(move |seq| writeln!(seq, "{}", get()))
}

fn store<V: FromStr, R: Stored>(set: impl Fn(V) -> R + Send + Sync + 'static) -> Store {
    Box::new(move |data| {
        let text = str::from_utf8(data).map(str::trim_ascii).ok();
        match text.and_then(|text| V::from_str(text).ok()) {
            Some(value) => set(value).stored(),
            None => Err(Errno::EINVAL.because(format!("value \"{}\"", data.escape_ascii()))),
        }
    })
}

struct ReadOnly(Show);
struct ReadWrite(Show, Store);
struct WriteOnly(Store);

/// As in sysfs, a write of nothing stores nothing.
fn write(store: &Store, data: &[u8]) -> Result<usize> {
    if !data.is_empty() {
        store(data)?;
    }
    Ok(data.len())
}

impl Ops for ReadOnly {
    const HAS: Has = Has::SHOW;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        (self.0)(seq);
        Ok(())
    }
}

impl Ops for ReadWrite {
    const HAS: Has = Has::SHOW.with(Has::WRITE);
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        (self.0)(seq);
        Ok(())
    }
    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        write(&self.1, data)
    }
}

impl Ops for WriteOnly {
    const HAS: Has = Has::WRITE;
    type Open = ();
    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }
    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        write(&self.0, data)
    }
}
