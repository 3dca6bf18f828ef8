//! The paths that clients use: to something of the tree most of the time, and then anything. None leads out of the mount,
//! for they live in a chroot.

use std::ffi::CString;

use benches::dice::Dice;

use crate::names;

/// A path that no file system takes: 4096 bytes with the NUL.
const TOO_LONG: usize = 4096;

/// What a client names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// From the top of the tree.
    pub(crate) path: CString,
    /// A name of the owner's text files.
    pub(crate) is_text: bool,
}

/// A path from the top. `stuck`: also to what may block.
pub(crate) fn any(dice: &mut Dice, stuck: bool) -> Named {
    let mut is_text = false;
    let mut path: Vec<u8> = match dice.below(20) {
        0..8 => {
            is_text = true;
            let name = match dice.below(8) {
                0 => "long".to_owned(),
                _ => names::file(dice.index(names::FILES)),
            };
            format!("{}/{name}", dir(dice)).into()
        }
        8..10 => dir(dice).into(),
        10 => format!("{}/bin", dir(dice)).into(),
        11 => format!("{}/{}", dir(dice), dice.pick(&["wo", "ro", "fixed"])).into(),
        12 => format!("{}/link", dir(dice)).into(),
        13 => {
            is_text = true;
            format!(
                "{}/link/{}",
                dir(dice),
                names::file(dice.index(names::FILES))
            )
            .into()
        }
        14..17 => users(dice),
        17 => names::odd(dice.index(2 * names::ODD)),
        18 if stuck => format!("stuck/{}", dice.pick(&names::STUCK)).into(),
        _ => dice
            .pick(&[
                &b""[..],
                b".",
                b"..",
                b"/",
                b"stuck",
                b"users/..",
                b"empty",
                b"empty/x",
            ])
            .to_vec(),
    };
    if dice.one_in(12) {
        is_text = false;
        let end = match dice.below(12) {
            0 => vec![b'x'; TOO_LONG],
            1 => names::odd(dice.index(6)),
            _ => dice
                .pick(&[
                    &b""[..],
                    b".",
                    b"..",
                    b"./.",
                    b"../..",
                    b"x",
                    b"\xff",
                    b"f1",
                ])
                .to_vec(),
        };
        path.push(b'/');
        path.extend(end);
    }
    path.retain(|byte| *byte != 0);
    let path = CString::new(path).unwrap_or_default();
    Named { path, is_text }
}

fn dir(dice: &mut Dice) -> String {
    names::dir(dice.index(names::DIRS))
}

/// A place where users make directories, and what is in those.
pub(crate) fn users(dice: &mut Dice) -> Vec<u8> {
    let mut path = names::USERS.as_bytes().to_vec();
    for _ in 0..=dice.below(3) {
        path.push(b'/');
        let name = match dice.below(30) {
            0 => names::odd(dice.index(6)),
            1 => vec![names::SLOW],
            2 => b"..".to_vec(),
            3 => b"size".to_vec(),
            _ => format!("u{}", dice.below(6)).into(),
        };
        path.extend(name);
    }
    path
}
