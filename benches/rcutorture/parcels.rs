//! Sections that leave their thread: a reader opens one, another thread ends it.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

use crate::faults::Fault;
use crate::ops::Ops;
use crate::pool::Element;
use crate::state::{Torture, count};
use benches::dice::Dice;

/// An open section, and what its reader found in it. Fields are dropped in this order.
struct Parcel {
    element: &'static Element,
    stamp: Option<u64>,
    section: Box<dyn Send>,
}

/// A reader's thread for the sections that it sends away; it ends with the reader, when all have ended.
pub(crate) struct Courier {
    to: Option<Sender<Parcel>>,
    thread: Option<JoinHandle<()>>,
}

impl Courier {
    /// One for reader number `me`, where sections can be sent.
    pub(crate) fn hire<O: Ops>(torture: &'static Torture, me: usize) -> Option<Self> {
        if !O::SENDS {
            return None;
        }
        let (to, parcels) = channel::<Parcel>();
        let body = move || {
            let mut dice = torture.dice("courier", me);
            for parcel in parcels {
                deliver(torture, parcel, &mut dice);
            }
        };
        let thread = Builder::new().name(format!("courier/{me}")).spawn(body);
        Some(Self {
            to: Some(to),
            thread: Some(thread.expect("a thread")),
        })
    }

    /// Opens a section and sends it away.
    pub(crate) fn send<O: Ops>(&self, torture: &'static Torture) {
        if let (Some(to), Some(section)) = (&self.to, O::parcel()) {
            let element = torture.current();
            let stamp = element.stamp();
            let _ = to.send(Parcel {
                element,
                stamp,
                section,
            });
            count(&torture.deeds.parcels);
        }
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.to.take();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            std::process::abort(); // it has told why
        }
    }
}

fn deliver(torture: &Torture, parcel: Parcel, dice: &mut Dice) {
    dice.spin(2000);
    if dice.one_in(256) {
        thread::sleep(Duration::from_micros(dice.below(400)));
    }
    let Parcel {
        element,
        stamp,
        section,
    } = parcel;
    let (now, age) = (element.stamp(), element.age());
    if now != stamp || stamp.is_none() {
        torture.faults.tell(Fault::Torn, || {
            format!("a section that was sent away: stamp {stamp:?}, then {now:?}, age {age}")
        });
    }
    if age > 1 {
        torture.faults.tell(Fault::TooOld, || {
            format!("a section that was sent away holds an element of age {age}")
        });
    }
    drop(section);
    torture.deeds.delivered.fetch_add(1, Relaxed);
}
