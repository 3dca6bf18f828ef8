//! `kernfs_bench`: kernfs beside what an author would write without it, and beside the kernel's own.

use std::fs;
use std::process::ExitCode;

use benches::driver::Program;
use benches::heap::Counting;
use benches::trees::names::KERNFS;
use benches::{tree_aims, tree_sections, tree_story};

#[global_allocator]
static HEAP: Counting = Counting;

const BENCH: Program = Program {
    name: "kernfs_bench",
    about: "What kernfs costs beside a tree that is written by hand, and beside the kernel's kernfs.",
    sections: &tree_sections::ALL,
    reference: KERNFS,
    aims: tree_aims::all,
    story: tree_story::KERNFS_BENCH,
    beside: ("kernel", kernel),
};

fn kernel() -> String {
    let version = fs::read_to_string("/proc/version").unwrap_or_default();
    version.trim().to_owned()
}

fn main() -> ExitCode {
    BENCH.main()
}
