//! The thread that does what nobody's call does: tells of a change that came too soon after another, and sees that
//! processes have ended.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::groups::Id;
use super::model::Model;

/// How long a process may have ended without `cgroup.events` telling of it, if nobody looks.
const LOOK: Duration = Duration::from_millis(100);

/// What the thread shall do.
#[derive(Debug)]
pub(super) enum Wish {
    /// [`Model::is_due`], then.
    At(Instant, Id),
    /// Watch the processes.
    Tasks,
    End,
}

/// The thread.
pub(super) fn run(wishes: &Receiver<Wish>, model: &Weak<Model>) {
    let mut due = BTreeSet::new();
    let mut look: Option<Instant> = None;
    loop {
        let next = due.first().map(|&(when, _)| when);
        let wish = match next.into_iter().chain(look).min() {
            Some(when) => wishes.recv_timeout(when.saturating_duration_since(Instant::now())),
            None => wishes.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match wish {
            Ok(Wish::At(when, id)) => drop(due.insert((when, id))),
            Ok(Wish::Tasks) => look = look.or(Some(Instant::now() + LOOK)),
            Ok(Wish::End) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let Some(model) = model.upgrade() else { return };
        let now = Instant::now();
        while let Some(&(when, id)) = due.first()
            && when <= now
        {
            due.pop_first();
            model.is_due(id);
        }
        if look.is_some_and(|when| when <= now) {
            look = model.reap().then(|| now + LOOK);
        }
    }
}
