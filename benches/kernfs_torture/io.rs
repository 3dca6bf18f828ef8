//! What clients do with files: open, read, write, seek, poll, map.

use crate::calls::Call;
use crate::client::Client;
use crate::contents::{offset, size};
use crate::held::Held;
use crate::sys::{self, At};
use crate::text;

/// Opens something by its name, for anything.
pub(crate) fn open(client: &mut Client) {
    let (named, from) = (client.named(), client.from());
    let dice = &mut client.dice;
    let access = dice.pick(&[
        libc::O_RDONLY,
        libc::O_RDONLY,
        libc::O_WRONLY,
        libc::O_RDWR,
        libc::O_RDWR,
        3,
    ]);
    let (call, flags) = match dice.below(20) {
        0 => (Call::Create, access | libc::O_CREAT),
        1 => (Call::Create, access | libc::O_CREAT | libc::O_EXCL),
        2 => (Call::Temporary, libc::O_RDWR | libc::O_TMPFILE),
        3 | 4 => (
            Call::OpenPath,
            libc::O_PATH | dice.pick(&[0, libc::O_NOFOLLOW, libc::O_DIRECTORY]),
        ),
        5 => (Call::Open, access | libc::O_DIRECTORY),
        6 => (Call::Open, access | libc::O_NOFOLLOW),
        7 => (Call::Open, access | libc::O_DIRECT),
        8 => (Call::Open, access | libc::O_TRUNC),
        9 => (Call::Open, access | libc::O_APPEND | libc::O_NOATIME),
        10..13 => (Call::Open, libc::O_RDONLY | libc::O_DIRECTORY),
        _ => (Call::Open, access),
    };
    let flags = flags | libc::O_NONBLOCK;
    let path = named.path.to_bytes().to_vec();
    let fd = client.with_alarm(|client| {
        client.call(call, &path, |_| {
            sys::open(At(from, &named.path), flags, 0o666)
        })
    });
    if let Some(fd) = fd {
        let held = Held {
            fd,
            path,
            // Somewhere else the name may be that of anything.
            is_text: named.is_text && from == libc::AT_FDCWD && call == Call::Open,
        };
        client.held.add(held, &mut client.dice);
    }
}

/// One of the open ones: its descriptor, what it is.
fn held(client: &mut Client) -> Option<(i32, Vec<u8>, bool)> {
    let held = client.held.any(&mut client.dice)?;
    Some((held.fd, held.path.clone(), held.is_text))
}

/// Reads or writes one of the open files.
pub(crate) fn read_or_write(client: &mut Client) {
    let Some((fd, path, is_text)) = held(client) else {
        return open(client);
    };
    match client.dice.below(10) {
        0..3 => whole(client, fd, &path, is_text),
        3..5 => read_at(client, fd, &path, is_text),
        5 => {
            let size = size(&mut client.dice);
            client.call(Call::Read, &path, |c| sys::read(fd, &mut c.buffer[..size]));
        }
        6 => list(client, fd, &path),
        _ => write(client, fd, &path, is_text),
    }
}

/// From the beginning to the end, in pieces.
fn whole(client: &mut Client, fd: i32, path: &[u8], is_text: bool) {
    if client
        .call(Call::Seek, path, |_| sys::seek(fd, 0, libc::SEEK_SET))
        .is_none()
    {
        return;
    }
    let mut read = Vec::new();
    let piece = match client.dice.below(4) {
        0 => 1 + client.dice.index(300),
        1 => 4096,
        _ => 1 << 17,
    };
    loop {
        let n = client.with_alarm(|client| {
            client.call(Call::Read, path, |c| sys::read(fd, &mut c.buffer[..piece]))
        });
        match n {
            None => return, // it was removed on the way, or is none to be read
            Some(0) => break,
            Some(n) => read.extend_from_slice(&client.buffer[..n]),
        }
        if read.len() > 1 << 18 {
            return;
        }
    }
    if is_text {
        judge(client, path, &read);
    }
}

fn judge(client: &mut Client, path: &[u8], read: &[u8]) {
    client.tally.texts += 1;
    if let Some(wrong) = client.contents.wrong(read) {
        client
            .tally
            .fault(format!("{}: {wrong}", path.escape_ascii()));
    }
}

/// From anywhere; from the beginning, with room for all, it is a text.
fn read_at(client: &mut Client, fd: i32, path: &[u8], is_text: bool) {
    let offset = offset(&mut client.dice);
    let size = size(&mut client.dice);
    let n = client.call(Call::ReadAt, path, |c| {
        sys::read_at(fd, &mut c.buffer[..size], offset)
    });
    if let Some(n) = n
        && is_text
        && offset == 0
        && n < size
    {
        let read = client.buffer[..n].to_vec();
        judge(client, path, &read);
    }
}

/// A text written at once is taken whole, or refused for what became of the file, but not for what it is.
fn write(client: &mut Client, fd: i32, path: &[u8], is_text: bool) {
    let data = client.contents.to_write(&mut client.dice);
    let at = match client.dice.below(3) {
        0 => None,
        1 => Some(0),
        _ => Some(offset(&mut client.dice)),
    };
    let mut refused = false;
    client.with_alarm(|client| {
        let call = at.map_or(Call::Write, |_| Call::WriteAt);
        client.call(call, path, |_| {
            let answer = match at {
                Some(offset) => sys::write_at(fd, &data, offset),
                None => sys::write(fd, &data),
            };
            refused = match answer {
                Ok(n) => n != data.len(),
                // Elsewhere the offset may be what is refused.
                Err(errno) => errno == libc::EINVAL && at == Some(0),
            };
            answer
        })
    });
    let fits = data.len() <= text::PAGE;
    if is_text && refused && fits && client.contents.wrong(&data).is_none() {
        let words = text::excerpt(&data);
        client
            .tally
            .fault(format!("{}: did not take {words}", path.escape_ascii()));
    }
}

fn list(client: &mut Client, fd: i32, path: &[u8]) {
    let size = client.dice.pick(&[0, 1, 24, 300, 4096, 32 << 10]);
    if client.dice.one_in(2) {
        client.call(Call::Seek, path, |c| {
            let offset = if c.dice.one_in(2) {
                0
            } else {
                offset(&mut c.dice)
            };
            sys::seek(fd, offset, libc::SEEK_SET)
        });
    }
    client.call(Call::List, path, |c| sys::list(fd, &mut c.buffer[..size]));
}

/// What else there is for a descriptor.
pub(crate) fn other(client: &mut Client) {
    let Some((fd, path, is_text)) = held(client) else {
        return open(client);
    };
    let path = path.as_slice();
    match client.dice.below(13) {
        0..3 => drop(client.with_alarm(|client| {
            client.call(Call::Poll, path, |c| {
                let events = c
                    .dice
                    .pick(&[libc::POLLPRI, libc::POLLIN | libc::POLLOUT, 0]);
                sys::poll(fd, events, c.dice.pick(&[0, 0, 1, 5]))
            })
        })),
        3..5 => drop(client.call(Call::Seek, path, |c| {
            let whence = c.dice.pick(&[
                libc::SEEK_SET,
                libc::SEEK_CUR,
                libc::SEEK_END,
                libc::SEEK_DATA,
                libc::SEEK_HOLE,
                77,
            ]);
            sys::seek(fd, offset(&mut c.dice), whence)
        })),
        5..7 => map(client, fd, path, is_text),
        7 => drop(client.call(Call::SendFile, path, |c| {
            let (to, offset, size) = (c.scratch, offset(&mut c.dice), size(&mut c.dice));
            sys::send_file(to, fd, offset, size)
        })),
        8 => drop(client.call(Call::Sync, path, |c| sys::sync(fd, c.dice.one_in(2)))),
        9 => drop(client.call(Call::Ioctl, path, |_| sys::ioctl(fd))),
        10 => drop(client.call(Call::Allocate, path, |c| {
            sys::allocate(fd, offset(&mut c.dice), size(&mut c.dice) as i64)
        })),
        11 => drop(client.call(Call::Lock, path, |c| {
            sys::lock(
                fd,
                c.dice.pick(&[libc::LOCK_SH, libc::LOCK_EX, libc::LOCK_UN]),
            )
        })),
        _ => reopen(client, fd, path, is_text),
    }
    // Nothing of it is kept.
    if client.dice.one_in(20) {
        let scratch = client.scratch;
        let _ = sys::truncate_fd(scratch, 0);
    }
}

fn map(client: &mut Client, fd: i32, path: &[u8], is_text: bool) {
    let mapped = client.call(Call::Map, path, |c| {
        let offset = c.dice.pick(&[0, 0, 0, 4096, 1, i64::MAX & !4095, -4096]);
        let size = size(&mut c.dice);
        let shared = c.dice.one_in(4);
        sys::Mapped::new(fd, size, offset, shared)
            .map(|map| (map, offset == 0 && size >= text::PAGE))
    });
    let Some((map, from_the_start)) = mapped else {
        return;
    };
    let mut copy = vec![0; 4096];
    let n = client.call(Call::Touch, path, |c| map.copy(c.scratch, &mut copy));
    // The page is a text and zeros behind it; or the beginning of a longer one, which is not judged.
    if let Some(4096) = n
        && is_text
        && from_the_start
        && let Some(end) = copy.iter().position(|byte| *byte == b'\n')
    {
        judge(client, path, &copy[..=end]);
    }
}

fn reopen(client: &mut Client, fd: i32, path: &[u8], is_text: bool) {
    let number = std::ffi::CString::new(fd.to_string()).unwrap_or_default();
    let own = At(client.own_descriptors, &number);
    let flags = client.dice.pick(&[
        libc::O_RDONLY,
        libc::O_RDWR,
        libc::O_RDONLY | libc::O_DIRECTORY,
    ]);
    let again =
        client.with_alarm(|client| client.call(Call::Reopen, path, |_| sys::open(own, flags, 0)));
    if let Some(fd) = again {
        let path = path.to_vec();
        client
            .held
            .add(Held { fd, path, is_text }, &mut client.dice);
    }
}
