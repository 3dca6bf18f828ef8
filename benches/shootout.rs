//! `shootout`: urcu beside its peers.

use std::process::ExitCode;

use benches::driver::Program;
use benches::peers::{self, names::MEMB};
use benches::{aims, sections, story};

const SHOOTOUT: Program = Program {
    name: "shootout",
    about: "What urcu costs beside its peers: tables with ratios first, then the aims.",
    sections: &sections::ALL,
    reference: MEMB,
    aims: aims::all,
    story: story::SHOOTOUT,
    beside: ("liburcu", peers::liburcu_version),
};

fn main() -> ExitCode {
    SHOOTOUT.main()
}
