//! The command line, and machines where something is missing.

use std::fs;
use std::process::{Command, Output, Stdio};

use crate::daemon::{Scratch, assert_closing_table, program, run};

#[test]
fn one_second_without_a_mount_prints_the_whole_table() {
    let (code, out, err) = run(["--no-mount", "--seconds=1", "--interval-ms=20"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_closing_table(&out);
}

#[test]
fn nonsense_on_the_command_line_is_named_and_exits_with_2() {
    for (args, names) in [
        (&["--bogus"][..], "unknown option --bogus"),
        (&["here"], "unexpected argument \"here\""),
        (&["--seconds", "soon"], "--seconds wants a number"),
        (&["--interval-ms", "9"], "from 10 to 60000, not \"9\""),
        (&["--readers", "0"], "--readers wants a number"),
        (&["--mount"], "--mount"),
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(err.starts_with("kernfsd: ") && err.contains(names), "{err}");
        assert!(err.contains("--help") && err.lines().count() == 1, "{err}");
    }
    let (code, out, _) = run(["--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("--interval-ms N"), "{out}");
}

#[test]
fn a_reader_of_its_output_that_leaves_early_hurts_nobody() {
    let mut child = Command::new(program())
        .args(["--seconds=1", "--readers=1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

/// Runs a script in a mount namespace of its own, which the script breaks; then kernfsd in it. `None`, with
/// a line that says why, where that is not allowed.
fn in_broken_namespace(script: &str, options: &str) -> Option<Output> {
    let script = format!(
        "{script} || exit 77; exec {} {options}",
        program().display()
    );
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .output();
    match output {
        Ok(output) if ![Some(1), Some(77)].contains(&output.status.code()) => Some(output),
        Ok(output) if output.stderr.starts_with(b"kernfsd: ") => Some(output),
        other => {
            eprintln!("SKIP: no mount namespace: {other:?}");
            None
        }
    }
}

#[test]
fn without_proc_it_says_so_and_ends() {
    let Some(output) = in_broken_namespace("mount -t tmpfs none /proc", "--no-mount --seconds=1")
    else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("/proc cannot be read"), "{text}");
}

#[test]
fn a_shortage_of_descriptors_is_told() {
    let mut told = 0;
    // From what is enough to start with to what is enough for all.
    for limit in 5..12 {
        let script = format!(
            // Without what cargo's parent has left open: it counts.
            "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; ulimit -n {limit}; exec {} --no-mount --seconds=1 --readers=1",
            program().display()
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.success() && text.is_empty() {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                !text.contains("processes at the end: 0\n"),
                "{limit}: {text}"
            );
            break;
        }
        assert!(text.contains("Too many open files"), "{limit}: {text}");
        told += 1;
    }
    assert!((1..7).contains(&told), "{told}");
}

#[test]
fn without_fuse_it_says_so_in_one_line_and_runs() {
    let scratch = Scratch::new();
    for options in ["", &format!("--mount {}", scratch.path().display())] {
        let options = format!("--seconds=1 {options}");
        let Some(output) = in_broken_namespace("mount -t tmpfs none /dev", &options) else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            (output.status.code(), &*output.stderr),
            (Some(0), &b""[..]),
            "{text}"
        );
        let first = text.lines().next().unwrap();
        assert!(
            first.starts_with("not mounted: ") && first.contains("/dev/fuse"),
            "{first}"
        );
        assert_closing_table(&text);
    }
}

#[test]
fn a_wrong_directory_is_an_error_without_fuse_too() {
    let scratch = Scratch::new();
    fs::write(scratch.path().join("file"), "").unwrap();
    for (name, why) in [
        ("missing", "does not exist"),
        ("file", "not a directory"),
        (".", "not empty"),
    ] {
        let options = format!("--seconds=1 --mount {}/{name}", scratch.path().display());
        let Some(output) = in_broken_namespace("mount -t tmpfs none /dev", &options) else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.starts_with("kernfsd: ") && text.contains(why),
            "{text}"
        );
    }
}
