//! The main job: the machine's live process table as a mounted tree, and a race of RCU against RwLock.
//! The daemon itself stands in the files beside this one, as a module of the examples' library, so that
//! its tests run with all others.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    examples::kernfsd::main(std::env::args_os().skip(1))
}
