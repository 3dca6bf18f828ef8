//! Files of many records: the kernel's `seq_start`, `seq_next`, `seq_stop`, `seq_show`.

use core::fmt;

use crate::cx::Cx;
use crate::error::Result;
use crate::seq::Seq;

/// An iteration over the records of a file, standing at one of them. Made by
/// [`Ops::start`](crate::Ops::start).
///
/// One reading call makes one of these, shows as many records as fit and are wanted, and drops it: dropping
/// is the kernel's `seq_stop`. So it may hold a lock: it ends before the call returns, whatever happens,
/// also after an error or a panic of the other two.
#[doc(alias = "seq_operations")]
#[doc(alias = "seq_stop")]
pub trait Records {
    /// Shows the record where the iteration stands. If it does not fit, it will be shown again later, by
    /// another iteration that starts there. See [`Seq`].
    ///
    /// # Errors
    /// The reader gets the error, after the records before.
    #[doc(alias = "seq_show")]
    fn show(&mut self, cx: &mut Cx<'_>, seq: &mut Seq) -> Result<()>;

    /// Goes on to the next record and tells its position, which is larger than the last one. `None`: there
    /// is none.
    ///
    /// # Errors
    /// The reader gets the error, after the records before.
    #[doc(alias = "seq_next")]
    fn next(&mut self, cx: &mut Cx<'_>) -> Result<Option<u64>>;
}

/// What [`Ops::start`](crate::Ops::start) gives: an iteration, and the position of the record that it stands at.
pub type Start<'a> = (u64, Box<dyn Records + 'a>);

struct Lines<I: Iterator> {
    iter: I,
    item: I::Item,
    position: u64,
}

/// The items of an iterator as records, each on a line of its own, numbered from 0: what
/// [`Ops::start`](crate::Ops::start) returns for position `from`.
///
/// Going on at a position skips the items before it, so reading n lines page by page looks at each item
/// once a page.
///
/// ```
/// use kernfs::{Cx, Has, OpenFlags, Ops, Result, Root, Start, lines};
/// use std::sync::Mutex;
///
/// struct Jobs(Mutex<Vec<String>>);
///
/// impl Ops for Jobs {
///     const HAS: Has = Has::SEQ;
///     type Open = ();
///
///     fn open(&self, _: &mut Cx<'_>) -> Result<()> {
///         Ok(())
///     }
///     fn start<'a>(
///         &'a self,
///         _: &mut Cx<'_>,
///         _: &'a (),
///         from: u64,
///     ) -> Result<Option<Start<'a>>> {
///         let jobs = self.0.lock().unwrap().clone();
///         Ok(lines(jobs.into_iter(), from))
///     }
/// }
///
/// let root = Root::new();
/// let jobs = Jobs(Mutex::new(vec!["build".into(), "test".into()]));
/// let file = root.create_file("jobs", 0o444, 0, jobs)?;
/// let mut text = String::new();
/// std::io::Read::read_to_string(&mut file.open(OpenFlags::READ)?, &mut text).unwrap();
/// assert_eq!(text, "build\ntest\n");
/// # Ok::<(), kernfs::Error>(())
/// ```
pub fn lines<'a, I>(mut iter: I, from: u64) -> Option<Start<'a>>
where
    I: Iterator<Item: fmt::Display> + 'a,
{
    let item = iter.nth(usize::try_from(from).ok()?)?;
    let records = Lines {
        iter,
        item,
        position: from,
    };
    Some((from, Box::new(records)))
}

impl<I: Iterator<Item: fmt::Display>> Records for Lines<I> {
    fn show(&mut self, _: &mut Cx<'_>, seq: &mut Seq) -> Result<()> {
        writeln!(seq, "{}", self.item);
        Ok(())
    }

    fn next(&mut self, _: &mut Cx<'_>) -> Result<Option<u64>> {
        let Some(item) = self.iter.next() else {
            return Ok(None);
        };
        self.item = item;
        self.position += 1;
        Ok(Some(self.position))
    }
}
