//! What a client writes, and what it makes of what it reads.

use benches::dice::Dice;

use crate::text;

/// The texts of this run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contents {
    pub(crate) key: u64,
}

impl Contents {
    /// Something to write: a text, or anything, of any size up to 1 MiB.
    pub(crate) fn to_write(self, dice: &mut Dice) -> Vec<u8> {
        match dice.below(10) {
            0 => Vec::new(),
            1 => b"bad\n".to_vec(),
            2 => b"17\n".to_vec(),
            3 => vec![b'x'; size(dice)],
            4 => text::text(self.key, text::number(dice, true)),
            _ => text::text(self.key, text::number(dice, false)),
        }
    }

    /// Says what is wrong with a text that was read from its beginning to its end.
    pub(crate) fn wrong(self, read: &[u8]) -> Option<String> {
        (!text::is_whole(self.key, read)).then(|| format!("torn: {}", text::excerpt(read)))
    }
}

/// The sizes where something begins or ends.
pub(crate) fn size(dice: &mut Dice) -> usize {
    match dice.below(4) {
        0 => dice.index(300),
        _ => dice.pick(&[0, 1, 2, 4095, 4096, 4097, 8192, 65_536, 1 << 20]),
    }
}

/// Offsets, likewise.
pub(crate) fn offset(dice: &mut Dice) -> i64 {
    match dice.below(12) {
        0..4 => 0,
        4 => dice.below(100) as i64,
        5 => i64::MAX,
        6 => i64::MAX - dice.below(5000) as i64,
        7 => -1,
        8 => i64::MIN,
        _ => dice.pick(&[
            1,
            4095,
            4096,
            4097,
            1 << 31,
            (1 << 31) - 1,
            1 << 32,
            1 << 62,
        ]),
    }
}
