//! Is `rcutorture` worth anything? What must fail fails, what must pass passes, and what shows nothing says so.

use std::process::Command;

/// The exit status, and the last line printed. The others go where the test harness shows them if this fails.
fn torture(arguments: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rcutorture"));
    let output = command.args(arguments.split(' ')).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{printed}{}", String::from_utf8_lossy(&output.stderr));
    let last = printed.lines().last().unwrap_or_default().to_owned();
    (output.status.code(), last)
}

#[test]
fn a_flavor_without_grace_periods_is_found_out() {
    let (status, last) = torture("--flavor busted --seconds 60"); // it ends when it is found out
    assert_eq!(status, Some(1), "{last}");
    assert!(last.starts_with("busted: FAILURE"), "{last}");
}

#[test]
fn a_lock_passes() {
    let (status, last) = torture("--flavor trivial --seconds 1");
    assert_eq!(status, Some(0), "{last}");
    assert!(last.starts_with("trivial: SUCCESS"), "{last}");
}

#[test]
fn memb_passes_with_everything_switched_on() {
    let (status, last) = torture("--flavor memb --seconds 1 --forks on --stall 20 --stutter 1");
    assert_eq!(status, Some(0), "{last}");
    assert!(last.starts_with("memb: SUCCESS"), "{last}");
}

#[test]
fn a_list_is_as_good_as_its_worst_flavor() {
    let (status, last) = torture("--flavor trivial,busted --seconds 5");
    assert_eq!(status, Some(1), "{last}");
    assert!(last.starts_with("rcutorture: FAILURE"), "{last}");
}

#[test]
fn a_run_that_shows_nothing_says_so() {
    let (status, last) = torture("--flavor trivial --seconds 1 --readers 1");
    assert_eq!(
        status,
        Some(2),
        "one reader has nobody to exchange notes with: {last}"
    );
    assert!(last.starts_with("trivial: NO COVERAGE"), "{last}");
    assert_eq!(torture("--flavor nosuch").0, Some(2));
}
