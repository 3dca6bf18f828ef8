//! A TCP server with all that a daemon needs round it. It stands in the files beside this one, as a module of the
//! examples' library, so that its tests run with all others.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    examples::echod::main(std::env::args_os().skip(1))
}
