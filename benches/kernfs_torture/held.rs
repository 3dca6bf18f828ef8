//! The descriptors that a client has open on the mount.

use benches::dice::Dice;

use crate::sys;

/// So many; one that comes on top takes the place of another one.
const MOST: usize = 12;

/// One of them.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) fd: i32,
    pub(crate) path: Vec<u8>,
    /// It was opened by a name of the owner's text files: what is read must be whole.
    pub(crate) is_text: bool,
}

impl Drop for Held {
    fn drop(&mut self) {
        sys::close(self.fd);
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Held>);

impl Table {
    pub(crate) fn add(&mut self, held: Held, dice: &mut Dice) {
        if self.0.len() < MOST {
            self.0.push(held);
        } else {
            let at = dice.index(MOST);
            self.0[at] = held;
        }
    }

    pub(crate) fn any(&self, dice: &mut Dice) -> Option<&Held> {
        match self.0.len() {
            0 => None,
            len => self.0.get(dice.index(len)),
        }
    }

    /// Closes one.
    pub(crate) fn close(&mut self, dice: &mut Dice) {
        if !self.0.is_empty() {
            let at = dice.index(self.0.len());
            self.0.swap_remove(at);
        }
    }
}
