//! The first request of a connection: which version, which abilities.
//!
//! Wanted: an O_TRUNC that comes with OPEN instead of as a SETATTR, parallel lookups in a directory, writes
//! of up to 1 MiB in one request (a text attribute must not be stored in pieces). Not wanted: the
//! write-back cache, OPEN-less files, READDIRPLUS (measured slower), POSIX ACLs.

use super::abi::{self, Field, InitIn, InitOut, init};
use super::channel::{Channel, Received};
use super::request::{self, Request};
use crate::error::{Errno, Result};
use crate::flags::RootFlags;
use crate::sys::mounting as sys;

/// Our answer, or the errno to refuse with.
fn negotiate(offer: &InitIn, tree: RootFlags) -> Result<InitOut, i32> {
    if offer.major != abi::MAJOR || offer.minor < abi::MIN_MINOR {
        return Err(sys::EPROTO);
    }
    let mut wanted =
        init::ATOMIC_O_TRUNC | init::BIG_WRITES | init::PARALLEL_DIROPS | init::MAX_PAGES;
    let mut flags2 = 0;
    if tree.contains(RootFlags::SUPPORT_EXPORTOP) {
        wanted |= init::EXPORT_SUPPORT;
    } else {
        // Else the kernel makes handles that lead nowhere.
        wanted |= init::INIT_EXT;
        flags2 = init::NO_EXPORT_SUPPORT;
    }
    Ok(InitOut {
        major: abi::MAJOR,
        minor: abi::MINOR.min(offer.minor),
        max_readahead: offer.max_readahead,
        flags: offer.flags & wanted,
        max_background: 16,
        congestion_threshold: 12,
        max_write: abi::MAX_WRITE,
        time_gran: 1,
        max_pages: abi::MAX_PAGES,
        flags2,
        ..InitOut::default()
    })
}

/// Reads INIT and answers it. The kernel has queued it when mount(2) returns.
pub(super) fn handshake(channel: &Channel, tree: RootFlags) -> Result<()> {
    let ended = || Errno::ENOTCONN.because("the kernel closed a new FUSE connection");
    let mut buffer = Channel::buffer();
    loop {
        let len = match channel.receive(&mut buffer) {
            Received::Request(len) => len,
            Received::Again => continue,
            Received::Ended => return Err(ended()),
        };
        let Some(Ok((header, Request::Init(offer)))) =
            request::parse(buffer.get(..len).unwrap_or_default())
        else {
            return Err(Errno::EIO.because("the kernel began a FUSE connection without INIT"));
        };
        return match negotiate(&offer, tree) {
            Ok(answer) => {
                let mut out = Vec::new();
                answer.put(&mut out);
                channel.reply(header.unique, &out).map_err(|_| ended())
            }
            Err(errno) => {
                let _ = channel.reply_error(header.unique, errno);
                Err(Errno::EOPNOTSUPP.because(format!(
                    "this kernel speaks FUSE {}.{}, {}.{} is needed (Linux 5.4)",
                    offer.major,
                    offer.minor,
                    abi::MAJOR,
                    abi::MIN_MINOR
                )))
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_kernels_are_refused_and_new_ones_get_what_both_know() {
        let offer = |major, minor| InitIn {
            major,
            minor,
            max_readahead: 4096,
            flags: init::MAX_PAGES | init::INIT_EXT | 1 << 16, // bit 16: write-back cache
        };
        let none = RootFlags::NONE;
        assert_eq!(negotiate(&offer(7, 30), none), Err(sys::EPROTO));
        assert_eq!(negotiate(&offer(8, 45), none), Err(sys::EPROTO));
        let answer = negotiate(&offer(7, 99), none).unwrap_or_default();
        let both = init::MAX_PAGES | init::INIT_EXT;
        assert_eq!((answer.minor, answer.flags), (abi::MINOR, both));
        assert_eq!(answer.flags2, init::NO_EXPORT_SUPPORT);
        let handles = negotiate(&offer(7, 99), RootFlags::SUPPORT_EXPORTOP).unwrap_or_default();
        assert_eq!((handles.flags, handles.flags2), (init::MAX_PAGES, 0));
        assert_eq!(
            negotiate(&offer(7, 31), none).map(|answer| answer.minor),
            Ok(31)
        );
    }
}
