//! What a queue allocates: blocks for what is small, nodes for what is large; and it gives both back.
//!
//! One test in a process of its own: the allocator counts.

mod counting;

use counting::settled;
use urcu::wfcq::Queue;

/// Bytes that are in use for what `f` returns.
fn bytes_of<R>(f: impl FnOnce() -> R) -> usize {
    let before = settled();
    let made = f();
    let bytes = settled() - before;
    drop(made);
    assert_eq!(settled(), before, "all is given back");
    bytes
}

#[test]
fn a_queue_takes_what_its_elements_need_and_gives_it_back() {
    // So that what the first of all allocates for ever is no leak.
    bytes_of(|| Queue::from_iter([0_u64]));
    let small = bytes_of(|| (0..310_u64).collect::<Queue<_>>());
    assert!(small <= 310 * 24, "{small} bytes for 310 values of 8");
    let large = bytes_of(|| Queue::from_iter([[0_u8; 65536]]));
    assert!(large < 2 * 65536, "{large} bytes for one value of 65536");
}
