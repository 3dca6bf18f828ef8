//! All contenders, in the order of the table.

mod baseline;
mod bounded;
mod calls;
mod epoch;
mod flavors;
mod lfht;
mod liburcu;
mod liburcu_api;
mod locks;
pub mod maps;
mod swap;

use crate::grace::GracePeriods;
use crate::peer::Peer;

pub use bounded::set_limits;
pub use liburcu_api::{ForkHandlers, fork_handlers, version as liburcu_version};

/// Does something generic with each peer.
pub trait Visitor {
    /// Called once for each contender.
    fn visit<P: Peer + 'static>(&mut self, peer: P);

    /// Called for each contender that cannot run here.
    fn skip(&mut self, why: String);
}

/// Names that aims and sections refer to.
pub mod names {
    pub use super::baseline::{KEPT, LOCKED, MALLOC, NAME as PLAIN};
    pub use super::bounded::{BYTES as BOUND, NAME as BOUNDED};
    pub use super::calls::NAME as CALLS;
    pub use super::epoch::{CROSSBEAM, SEIZE};
    pub use super::flavors::{MB, MEMB, QSBR};
    pub use super::liburcu_api::{MB_SO, MEMB_SO, QSBR_SO};
    pub use super::locks::STD_RWLOCK;
    pub use super::maps::names::*;
}

/// Shows every peer to the visitor.
pub fn visit_all(visitor: &mut impl Visitor) {
    baseline::visit(visitor);
    flavors::visit(visitor);
    calls::visit(visitor);
    epoch::visit(visitor);
    visitor.visit(swap::Swap::new());
    locks::visit(visitor);
    liburcu::visit(visitor);
}

/// Something generic to do with one peer.
pub trait Action {
    /// What it gives.
    type Output;

    /// Does it.
    fn run<P: Peer>(self, peer: &P) -> Self::Output;
}

/// Does something with the peer of that name.
///
/// # Errors
/// What the action says, or that there is no such peer here.
pub fn with<A, T>(name: &str, action: A) -> Result<T, String>
where
    A: Action<Output = Result<T, String>>,
{
    let mut find = Find {
        name,
        action: Some(action),
        output: Err(format!("no {name} here")),
    };
    visit_all(&mut find);
    find.visit(bounded::Bounded::new()); // compared by memory, not by speed
    find.visit(baseline::NeverFreed::new());
    find.output
}

struct Find<'a, A: Action> {
    name: &'a str,
    action: Option<A>,
    output: A::Output,
}

impl<A: Action> Visitor for Find<'_, A> {
    fn visit<P: Peer + 'static>(&mut self, peer: P) {
        if peer.name() == self.name
            && let Some(action) = self.action.take()
        {
            self.output = action.run(&peer);
        }
    }

    fn skip(&mut self, _why: String) {}
}

/// Everything that has grace periods: the flavors of `urcu`, and those of liburcu that are installed.
pub fn grace_periods() -> Vec<Box<dyn GracePeriods>> {
    let mut all = flavors::grace_periods();
    all.extend(liburcu::grace_periods());
    all
}
