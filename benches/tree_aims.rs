//! What kernfs sets out to reach, beside what was measured. Printed, not asserted, as [`crate::aims`].

use crate::aims::{Aim, Bound, ratio};
use crate::chart::Report;
use crate::tree_sections::{BIG, CGROUP, CGROUP2, CHURN, CONTROL, MOUNT, POLL, SMALL, SYSFS};
use crate::trees::{
    GLOBAL,
    names::{BY_HAND, KERNFS},
};

/// cgroup's mkdir + rmdir of 20 nodes on the machine on which the aims were set.
const KNOWN_CHURN: f64 = 58.0;
/// An entry of sysfs's readdir there.
const KNOWN_ENTRY: f64 = 160.0;

/// All aims.
pub fn all(report: &Report) -> Vec<Aim> {
    let figure = |chart: &str, name: &str| report.chart(chart)?.typical(name);
    let ours = |chart: &str| figure(chart, KERNFS);
    let best = |chart: &str| {
        let all = BY_HAND.iter().filter_map(|name| figure(chart, name));
        all.min_by(f64::total_cmp)
    };
    let better = |chart: &str| ratio(best(chart), ours(chart));
    let at_most = |most, what, measured| Aim {
        what,
        target: Bound::AtMost(most),
        measured,
        unit: "x",
    };
    let at_least = |least, what, measured| Aim {
        target: Bound::AtLeast(least),
        ..at_most(0.0, what, measured)
    };
    let kernel = |chart: &str, name| ratio(figure(chart, name), ours(chart));
    let over_sysfs = |chart: &str| ratio(figure(chart, MOUNT), figure(chart, SYSFS));
    let big = |chart: &str, of| ratio(figure(chart, BIG), figure(chart, of));
    vec![
        at_least(
            8.0,
            "best by hand / find a counted node, 2 threads",
            better("find_2"),
        ),
        at_least(
            8.0,
            "best by hand / walk to a counted node, 2 threads",
            better("walk_2"),
        ),
        at_least(
            8.0,
            "best by hand / attributes by name, nothing kept, 2 threads",
            better("look_2"),
        ),
        at_least(
            8.0,
            "best by hand / attributes by path, nothing kept, 2 threads",
            better("along_2"),
        ),
        at_least(
            4.0,
            "best by hand / readdir, 2 threads",
            better("readdir_2"),
        ),
        at_least(
            2.0,
            "best by hand / open + close, 2 threads",
            better("open_2"),
        ),
        at_least(
            10.0,
            "sysfs stat / walk + attributes",
            kernel("kernel_walk", SYSFS),
        ),
        at_least(
            10.0,
            "cgroup2 stat / walk + attributes",
            kernel("kernel_walk", CGROUP2),
        ),
        at_least(
            5.0,
            "sysfs openat, read, close / ours",
            kernel("kernel_open", SYSFS),
        ),
        at_least(
            5.0,
            "cgroup2 openat, read, close / ours",
            kernel("kernel_open", CGROUP2),
        ),
        at_least(3.0, "sysfs pread / read", kernel("kernel_read", SYSFS)),
        at_least(3.0, "cgroup2 pread / read", kernel("kernel_read", CGROUP2)),
        at_least(5.0, "sysfs poll(2) / poll", kernel("kernel_poll", SYSFS)),
        at_least(
            5.0,
            "cgroup2 poll(2) / poll",
            kernel("kernel_poll", CGROUP2),
        ),
        Aim {
            unit: "ns",
            ..at_most(60.0, "notify, nobody listens", ours("notify"))
        },
        at_least(
            1.0,
            "cgroup2's change to wake-up / ours (medians)",
            kernel("wake", POLL),
        ),
        Aim {
            unit: "us",
            ..at_most(
                KNOWN_CHURN / 5.0,
                "20 nodes made, removed, freed: CPU of all threads",
                figure("churned_cpu", CHURN),
            )
        },
        at_least(
            5.0,
            "cgroup2 mkdir + rmdir / the same, CPU of all threads",
            kernel("churned_cpu", CGROUP),
        ),
        Aim {
            unit: "",
            ..at_most(
                0.0,
                "nodes not freed after 10^5 times",
                figure("churned_left", CHURN),
            )
        },
        Aim {
            unit: "ns",
            ..at_most(
                KNOWN_ENTRY,
                "readdir, 3 entries",
                ours("kernel_readdir").map(|ns| 3.0 * ns),
            )
        },
        at_least(
            3.0,
            "sysfs getdents / readdir",
            kernel("kernel_readdir", SYSFS),
        ),
        at_least(
            1.8,
            "opens by 2 threads / by 1, different files",
            figure("opening_scaling", KERNFS),
        ),
        at_least(
            1.0,
            "the same / with one mutex and one spinlock",
            ratio(
                figure("opening_scaling", KERNFS),
                figure("opening_scaling", GLOBAL),
            ),
        ),
        Aim {
            unit: "bytes",
            ..at_most(
                256.0,
                "1 000 000 nodes: bytes a node",
                figure("big_bytes", BIG),
            )
        },
        Aim {
            unit: "",
            ..at_most(
                4.0,
                "1 000 000 nodes: allocations a node",
                figure("big_allocations", BIG),
            )
        },
        at_most(
            1.2,
            "1 000 000 nodes: hot walk / in a small tree",
            big("big_walk_hot", SMALL),
        ),
        at_most(
            1.2,
            "1 000 000 nodes: hot find / in a small tree",
            big("big_find_hot", SMALL),
        ),
        at_most(
            1.5,
            "1 000 000 nodes: random walk / dependent loads",
            big("big_walk_random", CONTROL),
        ),
        at_most(
            1.5,
            "1 000 000 nodes: random find / dependent loads",
            big("big_find_random", CONTROL),
        ),
        at_most(
            4.2,
            "open, read, close through a mount / sysfs, one CPU",
            over_sysfs("mount_open"),
        ),
        at_most(
            1.0,
            "readdir through a mount / sysfs, one CPU",
            over_sysfs("mount_readdir"),
        ),
        Aim {
            unit: "ms",
            ..at_most(
                60.0,
                "100 000 entries listed through a mount",
                figure("mount_many", MOUNT),
            )
        },
        Aim {
            unit: "us",
            ..at_most(
                60.0,
                "notify to wake-up through a mount (median; hops alone: above)",
                figure("mount_wake", MOUNT),
            )
        },
        Aim {
            unit: "us",
            ..at_most(
                10.0,
                "find while the tree lock is held: p99",
                figure("held_find_p99", KERNFS),
            )
        },
        Aim {
            unit: "us",
            ..at_most(
                10.0,
                "read while the tree lock is held: p99",
                figure("held_read_p99", KERNFS),
            )
        },
        Aim {
            unit: "us",
            ..at_most(
                10.0,
                "notify while the tree lock is held: p99",
                figure("held_notify_p99", KERNFS),
            )
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_report_meets_nothing() {
        assert!(
            all(&Report::default())
                .iter()
                .all(|aim| aim.met().is_none())
        );
    }
}
