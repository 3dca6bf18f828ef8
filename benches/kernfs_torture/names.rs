//! Where what is in the tree.

/// Directories of the owner, which come and go.
pub(crate) const DIRS: usize = 5;
/// What each has: files that come and go, of which now and then one is something else.
pub(crate) const FILES: usize = 8;
/// Files whose callbacks block.
pub(crate) const STUCK: [&str; 4] = ["show", "write", "open", "poll"];
/// Where users make directories.
pub(crate) const USERS: &str = "users";
/// What a directory begins with whose mkdir(2) may block.
pub(crate) const SLOW: u8 = b'w';

pub(crate) fn dir(number: usize) -> String {
    format!("d{number}")
}

pub(crate) fn file(number: usize) -> String {
    format!("f{number}")
}

/// A name that no program expects. The tree has some of these.
pub(crate) fn odd(number: usize) -> Vec<u8> {
    match number % 6 {
        0 => vec![b'n'; 255],
        1 => vec![b'n'; 256],
        2 => (1..=255).filter(|byte| *byte != b'/').collect(),
        3 => b" \t\n".to_vec(),
        4 => vec![b'n'; 1024],
        _ => b"...".to_vec(),
    }
}

/// How many of the odd names the tree has.
pub(crate) const ODD: usize = 4;
