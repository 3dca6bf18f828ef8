//! fusermount3: the program that mounts for users who may not themselves.
//!
//! It is setuid root, comes with libfuse, and is asked in words: `fusermount3 -o OPTIONS -- DIRECTORY`, with the number of a
//! socket in its environment, into which it sends the /dev/fuse that it has mounted. Left out: its automatic unmounting.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Output, Stdio};

use crate::sys::mounting as sys;

/// The program, looked for on PATH.
const PROGRAM: &str = "fusermount3";
/// Where the program looks for the number of the socket.
const SOCKET: &str = "_FUSE_COMMFD";

/// Why the program could not do it.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is not there. (Or a directory of PATH is closed to us, which gives the same error as one that may not be run.)
    Missing,
    /// It says no, in these words.
    Refused(String),
}

impl Failure {
    pub(super) fn why(&self) -> String {
        match self {
            Self::Missing => {
                format!("{PROGRAM} (package fuse3) is not on PATH, or not for this user")
            }
            Self::Refused(said) => said.clone(),
        }
    }
}

fn program(target: &CStr, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(arguments)
        .arg("--")
        .arg(OsStr::from_bytes(target.to_bytes()))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// What it said if it failed. `None` also where that is not known, because somebody else has waited for our child.
fn failure(run: io::Result<Output>) -> Option<Failure> {
    let output = run.ok().filter(|output| !output.status.success())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().replace('\n', "; ");
    Some(Failure::Refused(match said.is_empty() {
        true => format!("{PROGRAM}: {}", output.status),
        false => said,
    }))
}

fn no_child(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Failure::Missing,
        _ => Failure::Refused(format!("{PROGRAM} cannot be run: {error}")),
    }
}

/// Mounts on `target`, with the options of a FUSE file system and flags in words.
pub(super) fn mount(target: &CStr, options: &str) -> Result<sys::Device, Failure> {
    let socket = |error: io::Error| Failure::Refused(format!("no socket for {PROGRAM}: {error}"));
    let (ours, theirs) = sys::stream_pair().map_err(socket)?;
    let mut command = program(target, &["-o", options]);
    command.env(SOCKET, theirs.as_raw_fd().to_string());
    sys::keep_over_exec(&mut command, theirs);
    let child = command.spawn().map_err(|error| no_child(&error))?;
    // It sends before it ends, and what is sent stays: so there is nothing to wait for then.
    let failed = failure(child.wait_with_output());
    match sys::receive_device(&ours) {
        Ok(Some(device)) => Ok(device),
        // Mounted, and nobody has the descriptor: there may have been no room for it.
        Ok(None) if failed.is_none() && unmount(target).is_ok() => Err(Failure::Refused(format!(
            "the descriptor that {PROGRAM} sent did not arrive"
        ))),
        Ok(None) => {
            Err(failed
                .unwrap_or_else(|| Failure::Refused(format!("{PROGRAM} has sent no descriptor"))))
        }
        Err(error) => Err(socket(error)),
    }
}

/// Takes the mount's name away at once; what is open stays open.
pub(super) fn unmount(target: &CStr) -> Result<(), Failure> {
    let child = program(target, &["-u", "-z"]).spawn();
    let child = child.map_err(|error| no_child(&error))?;
    failure(child.wait_with_output()).map_or(Ok(()), Err)
}
