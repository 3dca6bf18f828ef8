//! Readiness as systemd hears it (`Type=notify`): a datagram to the socket that `NOTIFY_SOCKET` names.

#![forbid(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::complain;

/// For a manager whose queue is full.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends `READY=1` or the like, if somebody wants to hear it. That he cannot is told, and no reason to end.
pub(super) fn tell(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(e) = address(&name).and_then(|address| send(&address, state)) {
        complain(format_args!(
            "NOTIFY_SOCKET {name:?} did not get {state}: {e}"
        ));
    }
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::other("neither a path nor an abstract name")),
    }
}

fn send(address: &SocketAddr, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_addr(state.as_bytes(), address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_abstract_names_and_nothing_else() {
        let of = |name: &str| address(OsStr::new(name));
        assert!(of("/run/x").unwrap().as_pathname().is_some());
        assert_eq!(of("@x").unwrap().as_abstract_name(), Some(&b"x"[..]));
        assert!(of("x").is_err() && of("").is_err());
        assert!(of(&format!("/{}", "x".repeat(200))).is_err());
    }
}
