//! A client process: random system calls on the mount, one after the other, until it is told to end.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::attributes;
use crate::client::{Client, Orders};
use crate::io;
use crate::place::Place;

/// The first argument of a client.
pub(crate) const ARGUMENT: &str = "--client";

/// Starts a client; what it counted comes on its standard output at the end.
pub(crate) fn start(place: &Place, orders: Orders) -> std::io::Result<Child> {
    let Orders {
        number,
        seed,
        key,
        stuck,
        nobody,
    } = orders;
    Command::new("/proc/self/exe")
        .arg(ARGUMENT)
        .arg(place.path())
        .args([number.to_string(), seed.to_string(), key.to_string()])
        .args([stuck, nobody].map(|yes| yes.to_string()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
}

fn orders(mut arguments: impl Iterator<Item = OsString>) -> Option<(OsString, Orders)> {
    let place = arguments.next()?;
    let mut word = || arguments.next()?.into_string().ok();
    let orders = Orders {
        number: word()?.parse().ok()?,
        seed: word()?.parse().ok()?,
        key: word()?.parse().ok()?,
        stuck: word()?.parse().ok()?,
        nobody: word()?.parse().ok()?,
    };
    Some((place, orders))
}

/// The body of a client process.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> Result<u8, String> {
    let (place, orders) = orders(arguments).ok_or("this is for the program itself")?;
    let mut client = Client::enter(Path::new(&place), orders).map_err(|why| why.to_string())?;
    while !client.is_over() {
        act(&mut client);
    }
    print!("{}", client.tally.to_lines());
    Ok(0)
}

fn act(client: &mut Client) {
    match client.dice.below(100) {
        0..14 => io::open(client),
        14..48 => io::read_or_write(client),
        48..56 => io::other(client),
        56..60 => client.held.close(&mut client.dice),
        60..72 => attributes::look(client),
        72..80 => attributes::change(client),
        80..86 => attributes::extended(client),
        86..95 => attributes::make_and_remove(client),
        95..98 => attributes::refused(client),
        _ => attributes::handles(client),
    }
}
