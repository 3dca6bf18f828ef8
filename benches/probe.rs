//! Measurements in a process of their own: this program again, with `--probe SECTION PEER`. For what leaves
//! something behind (threads, memory, a hang) or must not meet what others left.
//!
//! The child prints a line "key figure" for each figure.

use core::time::Duration;
use std::env;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use crate::effort::Effort;

/// The figures of one run, each with the key of its chart; or why there are none.
pub type Figures = Result<Vec<(&'static str, f64)>, String>;

/// How long a child may take. The longest of them retires for one second and floods for two.
const PATIENCE: Duration = Duration::from_secs(20);

/// Prints figures as [`ask`] reads them.
pub fn print(figures: &[(&'static str, f64)]) {
    for (key, figure) in figures {
        println!("{key} {figure}");
    }
}

/// Runs one probe and reads its figures.
///
/// # Errors
/// A message if it could not be run, failed, or did not end.
pub fn ask(section: &str, peer: &str, effort: Effort) -> Result<Vec<(String, f64)>, String> {
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.args(["--probe", section, peer]);
    if effort.quick {
        command.arg("--quick");
    }
    let child = command.stdout(Stdio::piped()).spawn();
    let child = child.map_err(|error| error.to_string())?;
    let text = read_in_time(child, PATIENCE)?;
    Ok(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<(String, f64)> {
    let (key, figure) = line.split_once(' ')?;
    Some((key.to_owned(), figure.parse().ok()?))
}

fn read_in_time(mut child: Child, patience: Duration) -> Result<String, String> {
    let Some(mut stdout) = child.stdout.take() else {
        return Err("no pipe".to_owned());
    };
    let (sender, receiver) = channel();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        _ = sender.send(read.map(|_| text));
    });
    let text = receiver.recv_timeout(patience);
    if text.is_err() {
        _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    _ = reader.join();
    match text {
        Err(_) => Err(format!("did not end in {patience:?}")),
        Ok(Ok(text)) if status.success() => Ok(text),
        Ok(_) => Err(format!("failed, {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdout(Stdio::piped());
        shell.spawn().expect("a shell")
    }

    #[test]
    fn a_line_is_a_key_and_a_figure() {
        assert_eq!(parse("key 1.5"), Some(("key".to_owned(), 1.5)));
        assert_eq!(parse("key"), None);
        assert_eq!(parse("key word"), None);
    }

    #[test]
    fn a_child_that_fails_or_hangs_gives_no_figures() {
        let long = Duration::from_secs(60);
        assert_eq!(
            read_in_time(shell("echo k 1"), long),
            Ok("k 1\n".to_owned())
        );
        assert!(
            read_in_time(shell("exit 3"), long)
                .unwrap_err()
                .contains('3')
        );
        let hung = read_in_time(shell("exec sleep 1000"), Duration::from_millis(1));
        assert!(hung.unwrap_err().contains("did not end"));
    }
}
