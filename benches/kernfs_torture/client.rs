//! One client as its process sees it: what it has open, what it counted, and how it makes a call.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use benches::dice::Dice;

use crate::calls::Call;
use crate::contents::Contents;
use crate::held::Table;
use crate::paths::{self, Named};
use crate::place::Place;
use crate::progress::Progress;
use crate::sys::{self, Answer, At};
use crate::tally::Tally;

/// The user that is not root.
pub(crate) const NOBODY: u32 = 65534;

/// How often it looks whether it is over.
const LOOK: u64 = 16;

/// What a client is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    pub(crate) number: usize,
    pub(crate) seed: u64,
    /// Of the texts of this run.
    pub(crate) key: u64,
    pub(crate) stuck: bool,
    pub(crate) nobody: bool,
}

/// A client, in its chroot.
pub(crate) struct Client {
    orders: Orders,
    progress: Progress,
    begun: u64,
    /// No mode stops it.
    superuser: bool,
    pub(crate) dice: Dice,
    pub(crate) tally: Tally,
    pub(crate) held: Table,
    pub(crate) contents: Contents,
    /// /proc/self/fd, which is not in the chroot.
    pub(crate) own_descriptors: i32,
    /// Memory, to write to.
    pub(crate) scratch: i32,
    pub(crate) inotify: i32,
    pub(crate) buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn enter(place: &Path, orders: Orders) -> std::io::Result<Self> {
        let told = |errno| std::io::Error::from_raw_os_error(errno);
        let progress = Place::progress_in(place)?;
        let directory = libc::O_DIRECTORY | libc::O_PATH;
        let own = At(libc::AT_FDCWD, c"/proc/self/fd");
        let own_descriptors = sys::open(own, directory, 0).map_err(told)?;
        let scratch = sys::memory_file().map_err(told)?;
        let inotify = sys::inotify().map_err(told)?;
        let mount = CString::new(place.join("mount").as_os_str().as_bytes())?;
        sys::live_in(&mount).map_err(told)?;
        sys::heed_alarms();
        if orders.nobody {
            sys::become_user(NOBODY).map_err(told)?;
        }
        Ok(Self {
            dice: Dice::new(orders.seed, orders.number as u64),
            contents: Contents { key: orders.key },
            superuser: !orders.nobody,
            orders,
            progress,
            begun: 0,
            tally: Tally::default(),
            held: Table::default(),
            own_descriptors,
            scratch,
            inotify,
            buffer: vec![0; 1 << 20],
        })
    }

    /// Whether it is to end.
    pub(crate) fn is_over(&self) -> bool {
        self.tally.has_seen_enough() || self.begun.is_multiple_of(LOOK) && self.progress.is_over()
    }

    /// Makes a call, and judges what it comes to. `what` it is about: for who finds it hanging.
    pub(crate) fn call<T>(
        &mut self,
        call: Call,
        what: &[u8],
        make: impl FnOnce(&mut Self) -> Answer<T>,
    ) -> Option<T> {
        self.begun += 1;
        let number = self.orders.number;
        if let Err(error) = self.progress.begins(number, self.begun, call, what) {
            self.tally.fault(format!("progress: {error}"));
        }
        let answer = make(self);
        let errno = answer.as_ref().err().copied().unwrap_or(0);
        self.tally.count(call, errno, self.superuser, what);
        answer.ok()
    }

    /// A path of the tree.
    pub(crate) fn named(&mut self) -> Named {
        paths::any(&mut self.dice, self.orders.stuck)
    }

    /// From where that path is followed: nearly always from the top, else from something that is open.
    pub(crate) fn from(&mut self) -> i32 {
        if self.dice.one_in(8)
            && let Some(held) = self.held.any(&mut self.dice)
        {
            return held.fd;
        }
        libc::AT_FDCWD
    }

    /// While callbacks block, sometimes a signal comes.
    pub(crate) fn with_alarm<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        if !self.orders.stuck || !self.dice.one_in(10) {
            return run(self);
        }
        sys::alarm_in(1 + self.dice.below(20_000) as i64);
        let result = run(self);
        sys::alarm_in(0);
        result
    }
}
