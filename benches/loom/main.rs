//! loom runs the grace-period engine, and the protocols of kernfs: every interleaving of two or three threads, up to a bound of
//! preemptions, in C11's memory model.
//!
//! The sources of urcu and kernfs are compiled into this program as they are; only what they stand on is replaced:
//! atomics (`atomic.rs`), futexes (`sys.rs`), thread-locals (`tls.rs`), the asymmetric barrier (`barrier.rs`),
//! the count of CPUs (`cpus.rs`), waiting (`backoff.rs`) and the flavors (`flavor.rs`). Most models have
//! controls, the same model with a fault, which has to be found; most others have rows in `urcu/mutations/table.txt`.
//!
//! `RUSTFLAGS="--cfg loom" cargo run --release -p benches --bin loom`: with `--quick` fewer preemptions, with
//! `--no-controls` only the models, with other words those whose names contain one of them.

#[cfg(not(loom))]
fn main() {
    println!("SKIP loom: build it with RUSTFLAGS=\"--cfg loom\"");
}

#[cfg(loom)]
#[macro_use]
mod parts {
    /// The files of urcu and kernfs, as they are.
    macro_rules! sources {
        ($($path:literal $name:ident,)*) => {
            $(
                #[path = $path]
                #[allow(dead_code, unused_imports, unreachable_pub, reason = "what no model uses")]
                mod $name;
            )*
        };
    }
}

#[cfg(loom)]
sources! {
    "../../urcu/src/word.rs" word,
    "../../urcu/src/pad.rs" pad,
    "../../urcu/src/provenance.rs" provenance,
    "../../urcu/src/prefetch.rs" prefetch,
    "../../urcu/src/stats.rs" stats,
    "../../urcu/src/llist.rs" llist,
    "../../urcu/src/task.rs" task,
    "../../urcu/src/park.rs" park,
    "../../urcu/src/identity.rs" identity,
    "../../urcu/src/arena/mod.rs" arena,
    "../../urcu/src/activity.rs" activity,
    "../../urcu/src/stall.rs" stall,
    "../../urcu/src/trace.rs" trace,
    "../../urcu/src/head.rs" head,
    "../../urcu/src/queue.rs" queue,
    "../../urcu/src/shard.rs" shard,
    "../../urcu/src/backlog.rs" backlog,
    "../../urcu/src/gp/mod.rs" gp,
    "../../urcu/src/home.rs" home,
    "../../urcu/src/leave.rs" leave,
    "../../urcu/src/worker.rs" worker,
    "../../urcu/src/register.rs" register,
    "../../urcu/src/guard.rs" guard,
    "../../urcu/src/ring.rs" ring,
    "../../urcu/src/thread.rs" thread,
    "../../urcu/src/wfcq/mod.rs" wfcq,
    "../../urcu/src/lfs/raw.rs" lfs_raw,
    "../../urcu/src/idr/slot.rs" slot,
    "../../urcu/src/list/links.rs" links,
    "../../kernfs/src/active.rs" active,
    "../../kernfs/src/bell.rs" bell,
    "../../kernfs/src/life.rs" life,
    "../../kernfs/src/pending.rs" pending,
    "../../kernfs/src/state.rs" state,
    "atomic.rs" atomic,
    "backoff.rs" backoff,
    "barrier.rs" barrier,
    "cpus.rs" cpus,
    "flavor.rs" flavor,
    "sys.rs" sys,
    "tls.rs" tls,
    "lists.rs" lists,
    "retire.rs" retire,
    "maps/ordered.rs" ordered,
    "maps/hash.rs" hash,
    "world.rs" world,
    "callbacks.rs" callbacks,
    "periods.rs" periods,
    "stubs.rs" stubs,
    "trees.rs" trees,
    "models.rs" models,
}

// `links.rs` has it from its parent.
#[cfg(loom)]
use lists::Ends;

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    models::run_as_asked()
}
