//! `cpu.pressure` and its like: what `cgroup.pressure` hides and shows. Nothing is ever short here.

use kernfs::{Cx, Errno, Has, Ops, PollFlags, Result, Seq};

use super::control::LONGEST_WRITE;

pub(super) const ALL: [&str; 3] = ["cpu.pressure", "memory.pressure", "io.pressure"];

/// One of them. Its callbacks take no lock: they are waited for with the lock held when it is hidden.
pub(super) struct PressureFile;

impl Ops for PressureFile {
    const HAS: Has = Has::SHOW
        .with(Has::WRITE)
        .with(Has::POLL)
        .with(Has::RELEASE);
    type Open = ();

    fn atomic_write_len(&self) -> usize {
        LONGEST_WRITE
    }

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, _: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        for who in ["some", "full"] {
            writeln!(seq, "{who} avg10=0.00 avg60=0.00 avg300=0.00 total=0");
        }
        Ok(())
    }

    /// There are no triggers.
    fn write(&self, _: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        match data {
            [] => Ok(0),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// Without a trigger there is nothing to wait for.
    fn poll(&self, _: &mut Cx<'_>, (): &(), _: PollFlags) -> PollFlags {
        PollFlags::CHANGED
    }
}
