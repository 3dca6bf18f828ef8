//! Text that says of itself whether it is whole: published by the owner, written by clients, read by all.
//!
//! Each begins with the key of the run and its own number, from which all of it follows. What was put together of two,
//! cut, or never published, is not whole.

use benches::dice::Dice;

/// The bytes of a number: 17 of the key, 17 of the number, then so many that follow from it, and a newline.
const HEAD: usize = 34;
/// The longest text of a file that takes a page.
pub(crate) const PAGE: usize = 4096;
/// The longest of one that takes more.
pub(crate) const LONG: usize = 60_000;

/// The number of a text, of which its length follows too: short ones most of the time.
pub(crate) fn number(dice: &mut Dice, long: bool) -> u64 {
    let size = match (long, dice.below(8)) {
        (true, 0..4) => dice.below((LONG - HEAD) as u64),
        (_, 4) => (PAGE - HEAD - 1) as u64,
        (_, 5) => dice.below((PAGE - HEAD) as u64),
        _ => dice.below(40),
    };
    dice.below(1 << 40) << 16 | size
}

/// The text of a number.
pub(crate) fn text(key: u64, number: u64) -> Vec<u8> {
    let size = (number & 0xffff) as usize;
    let mut text = format!("{key:016x} {number:016x} ").into_bytes();
    let mut state = number | 1;
    text.extend((0..size).map(|_| {
        state = state
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(key | 1);
        b'a' + (state >> 59) as u8 % 26
    }));
    text.push(b'\n');
    text
}

/// Whether it is a text of this run, whole.
pub(crate) fn is_whole(key: u64, bytes: &[u8]) -> bool {
    let number = bytes.get(17..33).and_then(|hex| str::from_utf8(hex).ok());
    let number = number.and_then(|hex| u64::from_str_radix(hex, 16).ok());
    number.is_some_and(|number| bytes == text(key, number))
}

/// Bytes for a message: their ends, and how many there are.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    let part = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match bytes.len() {
        0..120 => format!("{} bytes, \"{}\"", bytes.len(), part(bytes)),
        len => format!(
            "{len} bytes, \"{}\" ... \"{}\"",
            part(&bytes[..60]),
            part(&bytes[len - 40..])
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_whole_and_no_part_of_it_nor_any_mixture() {
        let mut dice = Dice::new(1, 0);
        let (one, other) = (number(&mut dice, false), number(&mut dice, true));
        let (one, other) = (text(7, one), text(7, other));
        assert!(is_whole(7, &one) && is_whole(7, &other));
        assert!(!is_whole(8, &one), "of another run");
        assert!(!is_whole(7, &one[..one.len() - 1]) && !is_whole(7, b""));
        let mixed = [&one[..HEAD], &other[HEAD..]].concat();
        assert!(!is_whole(7, &mixed));
        let mut twice = one.clone();
        twice.extend(&one);
        assert!(!is_whole(7, &twice));
    }

    #[test]
    fn no_text_is_longer_than_its_file_takes() {
        let mut dice = Dice::new(2, 0);
        for _ in 0..10_000 {
            assert!(text(1, number(&mut dice, false)).len() <= PAGE);
            assert!(text(1, number(&mut dice, true)).len() <= LONG + 1);
        }
    }
}
