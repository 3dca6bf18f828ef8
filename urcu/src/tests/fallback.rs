//! Litmus and torture once more where membarrier(2) is refused from the start: readers have fences then.

use std::os::unix::process::CommandExt;
use std::process::Command;

use super::libc_calls;
use super::subject::whole_machine;
use crate::barrier::membarrier_works;
use crate::flavor::MembBarriers;
use crate::gp::{Barriers, WakeProof};
use crate::word::Word;

const MARK: &str = "URCU_TEST_FALLBACK";

fn refuse_membarrier() -> std::io::Result<()> {
    libc_calls::refuse(&[libc::SYS_membarrier], libc::ENOSYS)
}

#[test]
fn memb_is_sound_without_membarrier() {
    if std::env::var_os(MARK).is_some() {
        // In the child: it really is without, and nothing counts on a barrier that it has not.
        assert!(!membarrier_works());
        assert_eq!(MembBarriers::wake_proof(), WakeProof::None);
        assert_eq!(MembBarriers::idle(), Word::IDLE_FALLBACK);
        return;
    }
    let _machine = whole_machine();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(MARK, "1").arg("--exact").args([
        "tests::fallback::memb_is_sound_without_membarrier",
        "tests::litmus::litmus::memb",
        "tests::litmus::litmus::memb_by_hand",
        "tests::litmus::litmus::srcu",
        "tests::registration::a09_registration_storm_against_synchronize",
        "tests::torture::tortured::memb",
        "tests::torture::tortured::srcu",
    ]);
    // SAFETY: only system calls are made between fork and exec.
    unsafe { command.pre_exec(refuse_membarrier) };
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("7 passed"),
        "{told}"
    );
}
