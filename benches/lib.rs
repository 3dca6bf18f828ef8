//! What `urcu` and `kernfs` cost beside their peers.
//!
//! ```text
//! cargo run --release -p benches --bin shootout          # everything, about four minutes
//! cargo run --release -p benches --bin shootout -- --only waits --svg plots --json all.json
//! cargo bench -p benches --bench read_side               # the same read loops under criterion
//! cargo bench -p benches --bench grace_period
//! cargo run --release -p benches --bin kernfs_bench      # trees: beside those written by hand, and the kernel's
//! cargo bench -p benches --bench kernfs
//! benches/plots/make                                     # the README's pictures and tables
//! ```
//!
//! # How it measures
//! * Every peer is a [`Peer`](peer::Peer) and runs the same two loops, monomorphized: 1024 reads (enter,
//!   dereference, leave, and [`consume`](placement::consume) the value) and a [`pause`](peer::Reader::pause), where a
//!   quiescent-state flavor announces; or 64 updates and a pause.
//! * Rounds are interleaved over all peers and start with another peer each time, so that a slow phase
//!   of the machine hits all of them. Threads are spawned before the clock starts.
//! * One loop at one address says little: the same instructions ran at 12.5 or 18.8 ns depending on where
//!   the linker put them. So each read loop is compiled at several [`placement`]s, and the rounds go
//!   round them.
//! * 1 thread: the ratio of minima. 2 threads: the ratio of medians, because the minimum of a contended
//!   loop is the round in which the other thread did not run.

pub mod aims;
pub mod atfork;
pub mod chart;
pub mod dice;
pub mod driver;
pub mod effort;
pub mod grace;
pub mod heap;
pub mod inline;
pub mod json;
pub mod options;
pub mod peer;
pub mod peers;
pub mod placement;
pub mod probe;
pub mod repeat;
pub mod rounds;
pub mod samples;
pub mod sections;
pub mod settings;
pub mod story;
pub mod svg;
pub mod sys;
pub mod sysfs;
pub mod table;
pub mod tree_aims;
pub mod tree_sections;
pub mod tree_story;
pub mod trees;
pub mod verdict;
pub mod work;
