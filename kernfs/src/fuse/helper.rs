//! fusermount3: the program that mounts for users who may not themselves.
//!
//! It is setuid root, comes with libfuse, and is asked in words: `fusermount3 -o OPTIONS -- DIRECTORY`, with the number of a
//! socket in its environment, into which it sends the /dev/fuse that it has mounted. Left out: its automatic unmounting.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};

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
        .stdout(Stdio::null());
    command
}

/// Runs it to its end. What it said if it failed; `None` also where that is not known, because somebody else has waited for
/// our child.
///
/// # Errors
/// It cannot be started.
fn run(command: &mut Command) -> Result<Option<Failure>, Failure> {
    // Not a pipe: that would end when the last one closes it, who may be a child that was forked meanwhile.
    let words = sys::memfd(c"kernfs-helper").ok();
    let stderr = words.as_ref().and_then(|words| words.try_clone().ok());
    command.stderr(stderr.map_or_else(Stdio::null, |file| Stdio::from(OwnedFd::from(file))));
    let mut child = command.spawn().map_err(|error| no_child(&error))?;
    let Some(status) = child.wait().ok().filter(|status| !status.success()) else {
        return Ok(None);
    };
    let mut said = [0; 1024];
    let len = words.and_then(|words| words.read_at(&mut said, 0).ok());
    let said = String::from_utf8_lossy(said.get(..len.unwrap_or(0)).unwrap_or_default());
    let said = said.trim().replace('\n', "; ");
    Ok(Some(Failure::Refused(match said.is_empty() {
        true => format!("{PROGRAM}: {status}"),
        false => said,
    })))
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
    // It sends before it ends, and what is sent stays: so there is nothing to wait for then.
    let failed = run(&mut command)?;
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
    run(&mut program(target, &["-u", "-z"]))?.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    // Mounting waited until whoever had got the program's stderr closed it.
    #[test]
    fn what_the_program_says_is_read_while_somebody_else_has_its_stderr() {
        let (held, end) = io::pipe().unwrap();
        let mut command = Command::new("sh");
        let script = "exec 3<&0; cat <&3 >/dev/null & echo no >&2; echo way >&2; exit 1";
        command.args(["-c", script]).stdin(held);
        let (said, heard) = mpsc::channel();
        let run = thread::spawn(move || said.send(run(&mut command)));
        let result = heard.recv_timeout(Duration::from_secs(120));
        drop(end); // ends the cat
        assert!(
            matches!(&result, Ok(Ok(Some(Failure::Refused(said)))) if said == "no; way"),
            "{result:?}"
        );
        run.join().unwrap().unwrap();
    }

    #[test]
    fn success_says_nothing_and_silence_is_told_by_its_status() {
        let run = |script| run(Command::new("sh").args(["-c", script])).unwrap();
        assert!(run("echo fine >&2").is_none());
        match run("exit 3") {
            Some(Failure::Refused(said)) => assert_eq!(said, format!("{PROGRAM}: exit status: 3")),
            other => panic!("{other:?}"),
        }
    }
}
