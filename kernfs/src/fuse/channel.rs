//! One open /dev/fuse: reads requests, writes replies and notifications.
//!
//! The kernel keeps the requests that were read through a descriptor in that descriptor's own table,
//! so a reply must go out through the channel its request came in by. A write is one message or an
//! error; it never blocks on the client. Left out: splice, FUSE over io_uring.

use std::io::{self, IoSlice, Read, Write};

use super::abi::{Field, MAX_WRITE, OutHeader, REQUEST_OVERHEAD};
use crate::sys::mounting as sys;

/// The largest errno a reply may carry: the kernel refuses others, and the client would hang.
const ERRNO_MAX: i32 = 511;

/// What a read of the device gave.
#[derive(Debug)]
pub(super) enum Received {
    /// A request of so many bytes.
    Request(usize),
    /// Nothing this time: read again.
    Again,
    /// The connection has ended: unmounted or aborted.
    Ended,
}

/// One device descriptor.
#[derive(Debug)]
pub(super) struct Channel {
    device: sys::Device,
}

impl Channel {
    pub(super) fn new(device: sys::Device) -> Self {
        Self { device }
    }

    /// A second channel of the same connection, or `None` where the kernel cannot.
    pub(super) fn try_clone(&self) -> Option<Self> {
        sys::clone_device(&self.device).ok().map(Self::new)
    }

    /// Whether the connection has ended.
    pub(super) fn is_disconnected(&self) -> io::Result<bool> {
        sys::is_disconnected(&self.device)
    }

    /// A buffer that any request fits into. Only the touched part of it becomes resident.
    pub(super) fn buffer() -> Vec<u8> {
        vec![0; MAX_WRITE as usize + REQUEST_OVERHEAD]
    }

    /// Sleeps until there is a request.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Received {
        match (&*self.device).read(buffer) {
            Ok(0) => Received::Ended, // no device: a test's socket
            Ok(len) => Received::Request(len),
            Err(error) => match error.raw_os_error() {
                // ENOENT: the client took the request back while we were reading it.
                Some(sys::ENOENT | sys::EINTR | sys::EAGAIN) => Received::Again,
                // Unmounted, aborted, closed in a forked child.
                Some(sys::ENODEV | sys::ECONNABORTED | sys::EBADF) => Received::Ended,
                // No memory, perhaps: the next one may find some.
                _ => match self.is_disconnected() {
                    Ok(false) => Received::Again,
                    _ => Received::Ended,
                },
            },
        }
    }

    /// Answers a request with a payload. An error means that nobody waits for the answer any more.
    pub(super) fn reply(&self, unique: u64, payload: &[u8]) -> io::Result<()> {
        let sent = self.send(0, unique, payload, &[]);
        // ENOENT: the kernel does not know the request any more. Else somebody waits, for whom there was no memory.
        let waits = |error: &io::Error| error.raw_os_error() != Some(sys::ENOENT);
        if sent.as_ref().is_err_and(waits) {
            let _ = self.reply_error(unique, sys::EIO);
        }
        sent
    }

    /// Answers a request with an error.
    pub(super) fn reply_error(&self, unique: u64, errno: i32) -> io::Result<()> {
        self.send(-clamp(errno), unique, &[], &[])
    }

    /// Tells the kernel something it did not ask for. `name` is followed by a NUL on the wire.
    pub(super) fn notify(&self, code: i32, message: &impl Field, name: &[u8]) -> io::Result<()> {
        let mut payload = Vec::with_capacity(32);
        message.put(&mut payload);
        if name.is_empty() {
            self.send(code, 0, &payload, &[])
        } else {
            payload.extend_from_slice(name);
            self.send(code, 0, &payload, b"\0")
        }
    }

    fn send(&self, error: i32, unique: u64, payload: &[u8], tail: &[u8]) -> io::Result<()> {
        let len = size_of::<OutHeader>() + payload.len() + tail.len();
        let len = u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let header = OutHeader { len, error, unique }.to_bytes();
        let parts = [&header[..], payload, tail].map(IoSlice::new);
        loop {
            match (&*self.device).write_vectored(&parts) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// An errno the kernel takes: 1..=511, everything else becomes EIO.
pub(super) fn clamp(errno: i32) -> i32 {
    if (1..=ERRNO_MAX).contains(&errno) {
        errno
    } else {
        sys::EIO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that the kernel had no memory for served nobody any more.
    #[test]
    fn an_error_of_the_device_was_taken_for_its_end() {
        let directory = std::fs::File::open("/").unwrap();
        let channel = Channel::new(directory.into());
        assert!(matches!(channel.receive(&mut [0; 64]), Received::Again));
        let nowhere = std::fs::File::options().write(true).open("/dev/null");
        let channel = Channel::new(nowhere.unwrap().into());
        assert!(
            matches!(channel.receive(&mut [0; 64]), Received::Ended),
            "EBADF"
        );
    }

    /// And the client waited for ever.
    #[test]
    fn a_reply_that_the_kernel_had_no_memory_for_was_none() {
        let (theirs, ours) = crate::sys::packet_pair().unwrap();
        let channel = Channel::new(std::fs::File::from(ours).into());
        // More than fits into a message.
        assert!(channel.reply(7, &vec![0; 4 << 20]).is_err());
        drop(channel);
        let mut bytes = [0; 64];
        let len = std::fs::File::from(theirs).read(&mut bytes).unwrap();
        let header = OutHeader::take(&mut &bytes[..len]).unwrap();
        assert_eq!((header.unique, header.error), (7, -sys::EIO));
    }

    #[test]
    fn odd_errnos_become_eio() {
        assert_eq!(clamp(sys::ENODEV), sys::ENODEV);
        assert_eq!(clamp(ERRNO_MAX), ERRNO_MAX);
        for odd in [0, -1, 512, 524, 4095, i32::MIN] {
            assert_eq!(clamp(odd), sys::EIO);
        }
    }
}
