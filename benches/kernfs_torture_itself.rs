//! Is `kernfs_torture` worth anything? What is broken on purpose is noticed, and told; what is not passes.

use std::process::Command;

/// The exit status, all that was printed, and the last line of it; `None` where nothing can be mounted.
fn torture(arguments: &str) -> Option<(Option<i32>, String, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kernfs_torture"));
    let output = command.args(arguments.split(' ')).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{printed}{}", String::from_utf8_lossy(&output.stderr));
    let last = printed.lines().last().unwrap_or_default().to_owned();
    (!last.starts_with("SKIP")).then(|| (output.status.code(), printed, last))
}

/// It fails, and says this.
fn notices(fault: &str, told: &str, seconds: u64) {
    let arguments = format!("--seconds {seconds} --clients 3 --broken {fault}");
    let Some((status, printed, last)) = torture(&arguments) else {
        return;
    };
    assert_eq!(status, Some(1), "{last}");
    assert!(last.starts_with("kernfs_torture: FAILURE"), "{last}");
    let faults: Vec<_> = printed.lines().filter(|l| l.contains("!!!")).collect();
    assert!(
        faults.iter().any(|fault| fault.contains(told)),
        "{faults:?}"
    );
}

/// So long it may take until a client meets the fault: then the run is over.
const AT_ONCE: u64 = 60;
/// For what is seen at the end. The run goes on until there is something to be seen.
const AT_THE_END: u64 = 2;

#[test]
fn a_text_that_is_not_whole_is_noticed() {
    notices("torn", "torn: ", AT_ONCE);
}

#[test]
fn an_errno_that_is_not_allowed_is_noticed() {
    notices("errno", "EDEADLK", AT_ONCE);
}

#[test]
fn a_node_that_is_kept_is_noticed() {
    notices("node", "nodes and", AT_THE_END);
}

#[test]
fn an_open_file_that_is_kept_is_noticed() {
    notices("file", "files are open", AT_THE_END);
}

#[test]
fn a_descriptor_that_is_kept_is_noticed() {
    notices("descriptor", "descriptors of", AT_THE_END);
}

#[test]
fn a_call_that_does_not_return_is_noticed() {
    let Some((status, _, last)) = torture("--seconds 60 --clients 3 --broken hang --patience 1")
    else {
        return;
    };
    assert_eq!(status, Some(3), "{last}");
    assert!(last.starts_with("kernfs_torture: HANG"), "{last}");
}

#[test]
fn a_run_that_shows_nothing_says_so() {
    assert_eq!(torture("--broken glass").unwrap().0, Some(2));
    let Some((status, _, last)) = torture("--seconds 0 --clients 1") else {
        return;
    };
    assert_eq!(status, Some(2), "{last}");
    assert!(last.contains("NO COVERAGE"), "{last}");
}
