//! Tests in a process of their own: those that leave a domain broken, count reports, or fork.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use crate::libc_calls;

const MARK: &str = "URCU_TEST_CHILD";

/// Seconds until a hanging child is killed. Not a measurement: a child that works never sees it.
const WATCHDOG: u32 = 300;

/// The status of a child whose body returned. Not 0: that is also what a harness gives that found no test.
pub(crate) const DONE: i32 = 42;

/// Runs `body` in a fresh process, by running the test `name` once more. The child ends with [`DONE`]
/// when `body` returns, whatever its threads hang in; everything else fails the test.
pub(crate) fn in_child(name: &str, body: fn()) {
    if std::env::var_os(MARK).is_some() {
        libc_calls::kill_me_after(WATCHDOG);
        body();
        std::process::exit(DONE);
    }
    let output = run(name, None);
    assert!(
        output.status.code() == Some(DONE),
        "child of {name}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The same with `before` run between fork and exec, and the outcome given back.
pub(crate) fn outcome_of_child(
    name: &str,
    before: Option<fn() -> std::io::Result<()>>,
    body: fn(),
) -> Output {
    if std::env::var_os(MARK).is_some() {
        libc_calls::kill_me_after(WATCHDOG);
        body();
        std::process::exit(DONE);
    }
    run(name, before)
}

fn run(name: &str, before: Option<fn() -> std::io::Result<()>>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .env("RUST_BACKTRACE", "0");
    if let Some(before) = before {
        // SAFETY: `before` only makes system calls, which is all that is allowed between fork and exec.
        unsafe { command.pre_exec(before) };
    }
    command.output().unwrap()
}
