//! A tree like cgroup2's, mounted. The program itself stands in the files beside this one, as a module of the
//! examples' library, so that its tests run with all others and may mount it in their own process.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    examples::cgroupfs::main(std::env::args_os().skip(1))
}
