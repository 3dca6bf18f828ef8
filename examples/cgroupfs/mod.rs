//! `cgroupfs`: a tree like cgroup2's on kernfs, mounted. What it teaches is how an owner with a lock of his own serves
//! users who make and remove directories: `model`.
//!
//! It is a picture: processes are listed, not controlled. Nobody is stopped or killed, nothing is limited but mkdir. A
//! group with processes in it is never frozen; a write to `cgroup.kill` takes processes off the list; a write to
//! `cgroup.threads` moves the whole process. There are no controllers, so `cgroup.subtree_control` is left out.
//!
//! | file | what |
//! |---|---|
//! | `options` | the command line |
//! | `groups`, `tasks` | the picture: groups with limits, and processes in them |
//! | `model` | the lock, and how it is taken |
//! | `limiter`, `timer` | at most one notification in 10 ms, and the last one never lost |
//! | `syscalls` | mkdir and rmdir |
//! | `control`, `lists`, `pressure` | the files |
//! | `number`, `limit` | what is written to them |
//! | `tour` | what the program shows by itself |

mod control;
mod groups;
mod limit;
mod limiter;
mod lists;
mod model;
mod number;
mod options;
mod pressure;
mod syscalls;
mod tasks;
mod timer;
mod tour;

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};

use kernfs::fuse::{self, Termination};
use kernfs::{Creation, Error, Root, RootFlags};

use crate::cli::{self, say};
use crate::mount::Mounted;
use model::Model;
use options::Options;
use syscalls::Groups;
use timer::Wish;

/// In complaints, and in the names of directories.
const NAME: &str = "cgroupfs";

/// As cgroup2's: files of a new directory appear together, file handles, user.* attributes, no renames.
const FLAGS: RootFlags = RootFlags::CREATE_DEACTIVATED
    .with(RootFlags::SUPPORT_EXPORTOP)
    .with(RootFlags::SUPPORT_USER_XATTR)
    .with(RootFlags::INVARIANT_PARENT);

/// The root directory has it in every tree.
const ROOT_ID: u64 = 1;

/// A tree of groups. Dropping it removes it.
#[derive(Debug)]
pub struct Cgroups {
    root: Root,
    model: Arc<Model>,
    timer: Sender<Wish>,
    thread: Option<JoinHandle<()>>,
}

impl Cgroups {
    /// An empty one: the root with its files.
    ///
    /// # Errors
    /// EAGAIN: no thread can be started.
    pub fn new() -> Result<Self, Error> {
        let (timer, wishes) = mpsc::channel();
        let model = Model::new(ROOT_ID, timer.clone());
        let ops = Groups {
            model: Arc::clone(&model),
            root: ROOT_ID,
        };
        let root = Root::with_ops(FLAGS, ops);
        let files = syscalls::fill(&model, &root, ROOT_ID, Creation::new())?;
        model.adopt(ROOT_ID, files);
        root.activate();
        let watched = Arc::downgrade(&model);
        let thread = thread::Builder::new()
            .name("cgroupfs-timer".to_owned())
            .spawn(move || timer::run(&wishes, &watched))?;
        Ok(Self {
            root,
            model,
            timer,
            thread: Some(thread),
        })
    }

    /// To be mounted.
    pub fn root(&self) -> &Root {
        &self.root
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let _ = self.timer.send(Wish::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // Whoever has a handle finds it dead. With the files goes what they hold, the model with its handles of files: no
        // circle is left. Fails in a callback of the tree, which owns no `Cgroups`.
        let _ = self.root.remove();
    }
}

/// Runs the program with these arguments (without its name). The exit code is 2 for arguments that make no sense and 1
/// for what cannot work.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match options::parse(args) {
        Ok(Some(options)) => options,
        Ok(None) => {
            say(format_args!("{}", options::HELP));
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            complain(format_args!("{message}; --help lists the options"));
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            complain(format_args!("{message}"));
            ExitCode::FAILURE
        }
    }
}

/// A line on stderr for the user.
fn complain(line: fmt::Arguments<'_>) {
    cli::complain(NAME, line);
}

fn run(options: &Options) -> Result<(), String> {
    // Before any thread is started, which would die of the signal.
    let termination = Termination::block();
    let (tell, told) = mpsc::channel();
    thread::Builder::new()
        .name("cgroupfs-signals".to_owned())
        .spawn(move || {
            let _ = termination.wait();
            let _ = tell.send(());
        })
        .map_err(|e| format!("a thread cannot be started: {e}; raise ulimit -u"))?;

    let cgroups = Cgroups::new().map_err(|e| format!("the tree cannot be built: {e}"))?;
    // Programs wait for cgroup.events also by inotify.
    let with = fuse::Options::new().inotify(true);
    let mounted = Mounted::new(cgroups.root(), &options.mount, &with, NAME)?;
    let mount_line = mounted
        .line("mkdir DIR/x; ls -l DIR/x; echo $$ > DIR/x/cgroup.procs; cat DIR/x/cgroup.events");
    say(format_args!("{mount_line}"));
    tour::show(cgroups.root()).map_err(|e| format!("the tour ends: {e}"))?;
    match options.time {
        Some(time) => {
            say(format_args!(
                "\nends after {} s, or by Ctrl-C",
                time.as_secs()
            ));
            let _ = told.recv_timeout(time);
        }
        None => {
            say(format_args!("\nends by SIGTERM or Ctrl-C"));
            let _ = told.recv();
        }
    }
    let counts = cgroups.model.counts();
    mounted.end()?;
    say(format_args!(
        "{} directories made, {} removed; cgroup.events changed {} times, which took {} notifications",
        counts.made, counts.removed, counts.changes, counts.notifications
    ));
    Ok(())
}
