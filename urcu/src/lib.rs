//! Read-copy-update for user space: kernel verbs, kernel guarantees, no `unsafe` in your code.

mod arena;
mod barrier;
mod call;
mod domain;
mod flavor;
mod fork;
mod gp;
mod guard;
pub mod kernel;
pub mod llist;
mod locked;
mod pad;
mod park;
mod ptr;
mod queue;
mod register;
mod retire;
mod stall;
mod stats;
mod sys;
mod thread;
mod word;

pub use flavor::{Domain, Flavor, Mb, Memb, Qsbr};
pub use guard::Guard;
pub use locked::{RcuLocked, Writer};
pub use park::{Event, futex};
pub use ptr::Rcu;
pub use retire::Retired;
pub use stall::{Culprit, Report, set_report_hook, set_stall_timeout};
pub use stats::Stats;
pub use thread::Thread;
