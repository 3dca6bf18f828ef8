//! Going to the background: the parent waits at a pipe until the daemon is ready, or says why it is not.

#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{self, ExitCode};

use rustix::process::{Pid, WaitOptions, setsid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::complain;
use super::fork::{Side, fork};
use crate::cli::say;

/// The first byte through the pipe: what follows is for stdout, or for stderr.
const READY: u8 = b'+';
const FAILED: u8 = b'-';

/// Who waits to hear that the server is ready.
#[derive(Debug)]
pub(super) enum Launch {
    /// Nobody but the user. Also a daemon whose parent knows.
    Foreground,
    /// The parent, at the other end.
    Daemon(PipeWriter),
}

/// Where [`detach`] returns.
#[derive(Debug)]
pub(super) enum Role {
    /// In the process that was started; all is said and it has to end with this.
    Parent(ExitCode),
    Daemon(Launch),
}

/// Forks twice, between them a session of its own: the daemon has no terminal and, as it does not lead its session,
/// never gets one. Its directory is `/`, its standard streams are `/dev/null`.
///
/// # Errors
/// A line that says what was not possible.
pub(super) fn detach() -> Result<Role, String> {
    let failed = |e| format!("no daemon can be started: {e}");
    let (reader, writer) = io::pipe().map_err(failed)?;
    if let Side::Parent(child) = fork().map_err(failed)? {
        drop(writer);
        let code = wait(reader);
        // It has only forked, and is to be gone when this returns.
        let _ = waitpid(Pid::from_raw(child), WaitOptions::empty());
        return Ok(Role::Parent(code));
    }
    drop(reader);
    let mut launch = Launch::Daemon(writer);
    match second() {
        Ok(Side::Child) => {}
        Ok(Side::Parent(_)) => process::exit(0),
        Err(e) => {
            launch.failed(&failed(e));
            process::exit(1);
        }
    }
    Ok(Role::Daemon(launch))
}

fn second() -> io::Result<Side> {
    setsid()?;
    std::env::set_current_dir("/")?;
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|e| io::Error::new(e.kind(), format!("/dev/null: {e}")))?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    fork()
}

/// The pipe ends when the daemon has told how it is, or has ended.
fn wait(mut reader: PipeReader) -> ExitCode {
    let mut told = Vec::new();
    let result = reader.read_to_end(&mut told);
    let text = String::from_utf8_lossy(told.get(1..).unwrap_or_default());
    match (told.first(), result) {
        (Some(&READY), Ok(_)) => {
            say(format_args!("{text}"));
            return ExitCode::SUCCESS;
        }
        (Some(&FAILED), Ok(_)) => complain(format_args!("{text}")),
        (_, Err(e)) => complain(format_args!("nothing is heard of the daemon: {e}")),
        _ => complain(format_args!("the daemon ended before it was ready")),
    }
    ExitCode::FAILURE
}

impl Launch {
    /// The server is ready, and that is what the user shall know.
    pub(super) fn ready(&mut self, text: &str) {
        match self {
            Self::Foreground => say(format_args!("{text}")),
            Self::Daemon(_) => self.tell(READY, text),
        }
    }

    /// It cannot go on.
    pub(super) fn failed(&mut self, text: &str) {
        match self {
            Self::Foreground => complain(format_args!("{text}")),
            Self::Daemon(_) => self.tell(FAILED, text),
        }
    }

    fn tell(&mut self, how: u8, text: &str) {
        if let Self::Daemon(mut pipe) = std::mem::replace(self, Self::Foreground) {
            // Fails if the parent was killed; nobody wants to know then.
            let _ = pipe.write_all(&[&[how], text.as_bytes()].concat());
        }
    }
}

/// A file with the process id, taken away at the end.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// # Errors
    /// A line that names the file.
    pub(super) fn new(path: PathBuf) -> Result<Self, String> {
        match fs::write(&path, format!("{}\n", process::id())) {
            Ok(()) => Ok(Self(path)),
            Err(e) => Err(format!("{} cannot be written: {e}", path.display())),
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
