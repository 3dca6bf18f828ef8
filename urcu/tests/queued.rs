//! What a queue allocates: blocks for what is small, nodes for what is large; and it gives both back.
//!
//! One test in a process of its own: the allocator counts.

mod counting;

use counting::settled;
use urcu::wfcq::Queue;

struct Panics(bool);

impl Drop for Panics {
    fn drop(&mut self) {
        assert!(!self.0, "as it should");
    }
}

/// Bytes that are in use for what `f` returns.
fn bytes_of<R>(f: impl FnOnce() -> R) -> usize {
    let before = settled();
    let made = f();
    let bytes = settled() - before;
    drop(made);
    assert_eq!(settled(), before, "all is given back");
    bytes
}

/// A queue is dropped with an element whose drop panics, and with a block that waits for its next use.
fn die_beside_a_spare_block() {
    let queue: Queue<_> = (0..100).map(|_| Panics(false)).collect();
    while let Some(element) = queue.consumer().and_then(|mut all| all.pop()) {
        drop(element);
    }
    queue.push(Panics(true));
    let dying = std::panic::AssertUnwindSafe(|| drop(queue));
    // What the harness keeps of a message would count.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let died = std::panic::catch_unwind(dying);
    std::panic::set_hook(hook);
    assert!(died.is_err());
}

#[test]
fn a_queue_takes_what_its_elements_need_and_gives_it_back() {
    // So that what the first of all allocates for ever is no leak.
    die_beside_a_spare_block();
    bytes_of(|| Queue::from_iter([0_u64]));
    let small = bytes_of(|| (0..310_u64).collect::<Queue<_>>());
    assert!(small <= 310 * 24, "{small} bytes for 310 values of 8");
    let large = bytes_of(|| Queue::from_iter([[0_u8; 65536]]));
    assert!(large < 2 * 65536, "{large} bytes for one value of 65536");

    let before = settled();
    die_beside_a_spare_block();
    assert_eq!(settled(), before, "also when a drop panics");
}
