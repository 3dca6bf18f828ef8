//! The files of a group that hold one value: a table of them, as the kernel's `cftype`, and the callbacks that serve all.

use std::sync::Arc;

use kernfs::{Cx, Errno, Has, Ops, Result, Seq};

use super::groups::{Groups, Id};
use super::limit::Limit;
use super::model::{Model, State};
use super::number;

/// The most that one write may have; more is E2BIG.
pub(super) const LONGEST_WRITE: usize = 4096;

type Show = fn(&Groups, Id, &mut Seq) -> Result<(), Errno>;
type Write = fn(&mut State, Id, &str) -> Result<()>;

/// A kind of file.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) name: &'static str,
    pub(super) mode: u32,
    pub(super) on_root: bool,
    show: Option<Show>,
    write: Option<Write>,
}

impl Control {
    const fn new(name: &'static str, show: Option<Show>, write: Option<Write>) -> Self {
        let readable = if show.is_some() { 0o444 } else { 0 };
        let writable = if write.is_some() { 0o200 } else { 0 };
        Self {
            name,
            mode: readable | writable,
            on_root: true,
            show,
            write,
        }
    }

    const fn not_on_root(self) -> Self {
        Self {
            on_root: false,
            ..self
        }
    }
}

/// Notified when its text changes.
pub(super) const EVENTS: &str = "cgroup.events";

pub(super) const ALL: [Control; 9] = [
    Control::new("cgroup.controllers", Some(show_none), None),
    Control::new(EVENTS, Some(show_events), None).not_on_root(),
    Control::new("cgroup.freeze", Some(show_freeze), Some(freeze)).not_on_root(),
    Control::new("cgroup.kill", None, Some(kill)).not_on_root(),
    Control::new(
        "cgroup.max.depth",
        Some(show_max_depth),
        Some(set_max_depth),
    ),
    Control::new(
        "cgroup.max.descendants",
        Some(show_max_descendants),
        Some(set_max_descendants),
    ),
    Control::new("cgroup.pressure", Some(show_pressure), Some(set_pressure)),
    Control::new("cgroup.stat", Some(show_stat), None),
    Control::new("cgroup.type", Some(show_type), Some(set_type)).not_on_root(),
];

/// There are none here.
fn show_none(_: &Groups, _: Id, _: &mut Seq) -> Result<(), Errno> {
    Ok(())
}

fn show_events(groups: &Groups, id: Id, seq: &mut Seq) -> Result<(), Errno> {
    let events = groups.events(id);
    let (populated, frozen) = (u8::from(events.populated), u8::from(events.frozen));
    writeln!(seq, "populated {populated}\nfrozen {frozen}");
    Ok(())
}

fn show_freeze(groups: &Groups, id: Id, seq: &mut Seq) -> Result<(), Errno> {
    writeln!(seq, "{}", u8::from(groups.get(id)?.freeze));
    Ok(())
}

fn freeze(state: &mut State, id: Id, text: &str) -> Result<()> {
    state.groups.get_mut(id)?.freeze = number::switch(text)?;
    Ok(())
}

/// Nobody is killed for being on a list: they are only taken off it.
fn kill(state: &mut State, id: Id, text: &str) -> Result<()> {
    if number::of(text)? != 1 {
        return Err(Errno::ERANGE.into());
    }
    if state.groups.is_threaded(id) {
        return Err(Errno::EOPNOTSUPP.into());
    }
    state.groups.kill(id);
    Ok(())
}

fn show_max_depth(groups: &Groups, id: Id, seq: &mut Seq) -> Result<(), Errno> {
    writeln!(seq, "{}", groups.get(id)?.max_depth);
    Ok(())
}

fn set_max_depth(state: &mut State, id: Id, text: &str) -> Result<()> {
    state.groups.get_mut(id)?.max_depth = Limit::of(text)?;
    Ok(())
}

fn show_max_descendants(groups: &Groups, id: Id, seq: &mut Seq) -> Result<(), Errno> {
    writeln!(seq, "{}", groups.get(id)?.max_descendants);
    Ok(())
}

fn set_max_descendants(state: &mut State, id: Id, text: &str) -> Result<()> {
    state.groups.get_mut(id)?.max_descendants = Limit::of(text)?;
    Ok(())
}

fn show_pressure(groups: &Groups, id: Id, seq: &mut Seq) -> Result<(), Errno> {
    writeln!(seq, "{}", u8::from(groups.get(id)?.pressure));
    Ok(())
}

/// Hides and shows the pressure files. Hiding waits for their callbacks, of which none takes the lock.
fn set_pressure(state: &mut State, id: Id, text: &str) -> Result<()> {
    let on = number::switch(text)?;
    let files = state.files.get(&id).ok_or(Errno::ENODEV)?;
    for file in &files.pressure {
        if on { file.show()? } else { file.hide()? }
    }
    state.groups.get_mut(id)?.pressure = on;
    Ok(())
}

fn show_stat(groups: &Groups, id: Id, seq: &mut Seq) -> Result<(), Errno> {
    let descendants = groups.get(id)?.descendants;
    writeln!(seq, "nr_descendants {descendants}\nnr_dying_descendants 0");
    Ok(())
}

fn show_type(groups: &Groups, id: Id, seq: &mut Seq) -> Result<(), Errno> {
    writeln!(seq, "{}", groups.kind(id));
    Ok(())
}

fn set_type(state: &mut State, id: Id, text: &str) -> Result<()> {
    match text {
        "threaded" => Ok(state.groups.make_threaded(id)?),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// One of these files.
pub(super) struct ControlFile {
    pub(super) model: Arc<Model>,
    pub(super) group: Id,
    pub(super) control: &'static Control,
}

impl Ops for ControlFile {
    /// All of it for every file, so that root, who may open against the mode, hears EINVAL. With `release` a file that
    /// was hidden stays dead for who had it open.
    const HAS: Has = Has::SHOW.with(Has::WRITE).with(Has::RELEASE);
    type Open = ();

    fn atomic_write_len(&self) -> usize {
        LONGEST_WRITE
    }

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn show(&self, cx: &mut Cx<'_>, (): &(), seq: &mut Seq) -> Result<()> {
        let show = self.control.show.ok_or(Errno::EINVAL)?;
        let _unprotected = cx.break_protection();
        self.model.work(self.group, |state| {
            Ok(show(&state.groups, self.group, seq)?)
        })
    }

    fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        if !data.is_empty() {
            let write = self.control.write.ok_or(Errno::EINVAL)?;
            let text = number::text(data)?;
            // See the head of `model`.
            let _unprotected = cx.break_protection();
            self.model
                .work(self.group, |state| write(state, self.group, text))?;
        }
        Ok(data.len())
    }
}
