//! What the program shows by itself, without a shell: some calls and their answers, and a race.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use kernfs::{Dir, Errno, Error, File, OpenFile, OpenFlags, PollFlags, Result, Root};

use crate::cli::say;
use crate::latencies::Latencies;

/// Directories that are removed under somebody who writes to a file in them.
const ROUNDS: usize = 300;

pub(super) fn show(root: &Root) -> Result<()> {
    let group = "tour"; // a user of the mount may have one of this name: then EEXIST
    say(format_args!("\n$ mkdir {group}; cd {group}; ls"));
    root.user_mkdir(group, 0o755)?;
    let dir = dir(root, group)?;
    let mut names: Vec<_> = dir
        .entries()
        .map(|entry| entry.name.escape_ascii().to_string())
        .collect();
    names.sort();
    say(format_args!("{}", names.join("  ")));

    let waiting = file(&dir, "cgroup.events")?.open(OpenFlags::READ)?;
    say(format_args!("$ cat cgroup.events\n{}", text(&waiting)?));
    write(&dir, "cgroup.freeze", "1")?;
    let heard = match waiting.poll().contains(PollFlags::PRI) {
        true => "told that it changed",
        false => "told nothing",
    };
    say(format_args!(
        "$ echo 1 > cgroup.freeze     # who polls cgroup.events is {heard}\n$ cat cgroup.events\n{}",
        text(&waiting)?
    ));
    for (name, value) in [("cgroup.freeze", "2"), ("cgroup.procs", "2147483647")] {
        answer(&format!("echo {value} > {name}"), write(&dir, name, value));
    }
    dir.user_mkdir("a", 0o755)?;
    write(&dir, "cgroup.max.descendants", "1")?;
    say(format_args!("$ mkdir a; echo 1 > cgroup.max.descendants"));
    answer("mkdir b", dir.user_mkdir("b", 0o755));
    answer(&format!("cd ..; rmdir {group}"), dir.user_rmdir());
    answer(
        &format!("rmdir {group}/a"),
        self::dir(&dir, "a")?.user_rmdir(),
    );
    answer(&format!("rmdir {group}"), dir.user_rmdir());
    race(root)
}

/// mkdir and rmdir, while another thread writes to a file in the directory as fast as it can. Whoever waits for the lock
/// under protection would hang here.
fn race(root: &Root) -> Result<()> {
    let group = "race";
    let ended = AtomicBool::new(false);
    let mut latencies = Latencies::default();
    let (result, (wrote, late)) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let (mut wrote, mut late) = (0_u64, 0_u64);
            while !ended.load(Relaxed) {
                let control = root.walk(format!("{group}/cgroup.freeze"));
                let open = control.and_then(|node| node.as_file()?.open(OpenFlags::WRITE).ok());
                let Some(open) = open else {
                    thread::yield_now();
                    continue;
                };
                for value in ["1", "0"].into_iter().cycle() {
                    if open.write_at(value.as_bytes(), 0).is_err() {
                        late += 1; // ENODEV
                        break;
                    }
                    wrote += 1;
                }
            }
            (wrote, late)
        });
        let rounds = (0..ROUNDS).try_for_each(|_| {
            root.user_mkdir(group, 0o755)?;
            let dir = dir(root, group)?;
            thread::yield_now();
            latencies.time(|| dir.user_rmdir())
        });
        ended.store(true, Relaxed);
        (rounds, writer.join().unwrap_or_default())
    });
    result?;
    say(format_args!(
        "\n{ROUNDS} directories removed while a thread wrote to cgroup.freeze in each of them: {wrote} writes, and {late} \
         times it found the file gone. rmdir: {latencies}"
    ));
    Ok(())
}

fn answer(call: &str, result: Result<()>) {
    match result {
        Ok(()) => say(format_args!("$ {call}")),
        Err(error) => say(format_args!("$ {call}\n{}", error.errno())),
    }
}

fn missing(name: &str) -> Error {
    Errno::ENOENT.because(name.to_owned())
}

fn dir(parent: &Dir, name: &str) -> Result<Dir> {
    let node = parent.find(name).and_then(|node| node.as_dir());
    node.ok_or_else(|| missing(name))
}

fn file(dir: &Dir, name: &str) -> Result<File> {
    let node = dir.find(name).and_then(|node| node.as_file());
    node.ok_or_else(|| missing(name))
}

fn write(dir: &Dir, name: &str, value: &str) -> Result<()> {
    let open = file(dir, name)?.open(OpenFlags::WRITE)?;
    open.write_at(value.as_bytes(), 0).map(drop)
}

fn text(file: &OpenFile) -> Result<String> {
    let mut bytes = [0; 256];
    let len = file.read_at(&mut bytes, 0)?;
    let text = bytes.get(..len).unwrap_or_default();
    Ok(String::from_utf8_lossy(text).trim_end().to_owned())
}
