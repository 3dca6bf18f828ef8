//! All contenders, in the order of the table.

mod baseline;
mod epoch;
mod flavors;
mod liburcu;
mod locks;
mod swap;

use crate::grace::GracePeriods;
use crate::peer::Peer;

/// Does something generic with each peer.
pub trait Visitor {
    /// Called once for each contender.
    fn visit<P: Peer + 'static>(&mut self, peer: P);

    /// Called for each contender that cannot run here.
    fn skip(&mut self, why: String);
}

/// Names that the measures refer to.
pub mod names {
    pub use super::baseline::NAME as PLAIN;
    pub use super::epoch::CROSSBEAM;
    pub use super::flavors::{MB, MEMB, QSBR};
    pub use super::locks::STD_RWLOCK;
}

/// Shows every peer to the visitor.
pub fn visit_all(visitor: &mut impl Visitor) {
    baseline::visit(visitor);
    flavors::visit(visitor);
    epoch::visit(visitor);
    visitor.visit(swap::Swap::new());
    locks::visit(visitor);
    liburcu::visit(visitor);
}

/// Everything that has grace periods: the flavors of `urcu`, and those of liburcu that are installed.
pub fn grace_periods() -> Vec<Box<dyn GracePeriods>> {
    let mut all = flavors::grace_periods();
    all.extend(liburcu::grace_periods());
    all
}
