//! Who accepts: a loop that a closed pipe ends, and a thread for each connection.

#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread::{self, Scope};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::complain;

/// Before the next try where descriptors, or threads, are short.
const RETRY: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// A listener, with the address that it got.
///
/// # Errors
/// A line that names the address.
pub(super) fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    TcpListener::bind(address)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        })
        .map_err(|e| format!("{address} cannot be listened on: {e}"))
}

/// Hands what it accepts to `each`, until the other end of the pipe `stop` is closed. The listener is closed at the end:
/// who was not accepted yet hears of that.
pub(super) fn accept(listener: TcpListener, stop: impl AsFd, mut each: impl FnMut(TcpStream)) {
    let mut told = false;
    loop {
        match wait(Some(&listener), &stop, None) {
            Ok(true) => return,
            Ok(false) => {}
            Err(e) => return complain(format_args!("poll: {e}")), // not seen on Linux
        }
        match listener.accept() {
            Ok((stream, _)) => {
                told = false;
                each(stream);
            }
            // It has gone again.
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
            Err(e) => {
                if !told {
                    complain(format_args!("connections wait: {e}"));
                }
                told = true;
                let _ = wait(None, &stop, Some(&RETRY));
            }
        }
    }
}

/// Whether it shall stop.
fn wait(
    listener: Option<&TcpListener>,
    stop: &impl AsFd,
    time: Option<&Timespec>,
) -> io::Result<bool> {
    // A closed pipe is told without being asked for.
    let mut fds = vec![PollFd::new(stop, PollFlags::empty())];
    fds.extend(listener.map(|listener| PollFd::new(listener, PollFlags::IN)));
    match poll(&mut fds, time) {
        Ok(_) => Ok(!fds[0].revents().is_empty()),
        Err(Errno::INTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Starts a thread; `false`, and a line, if that is impossible.
pub(super) fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() + Send + 'scope,
) -> bool {
    let thread = thread::Builder::new().name(format!("echod-{name}"));
    thread
        .spawn_scoped(scope, work)
        .inspect_err(|e| complain(format_args!("no thread for {name}: {e}; raise ulimit -u")))
        .is_ok()
}
