//! What the README shows of a run of `kernfs_bench`, as [`crate::story`].

use crate::story::{Comparison, Plot, Story};
use crate::tree_sections::{CGROUP, CGROUP2, MOUNT, MOUNT_OTHER, POLL, SYSFS};
use crate::trees::names::{KERNFS, PARKING_LOT, PARKING_LOT_ONE, STD, STD_ONE};

/// Those of `kernfs_bench`.
pub const KERNFS_BENCH: Story = Story {
    plots: &[
        Plot {
            file: "trees",
            title: "kernfs beside a tree of maps and locks, written by hand; 2 threads",
            columns: 3,
            names: &[KERNFS, STD, PARKING_LOT, STD_ONE, PARKING_LOT_ONE],
            under: &[],
            panels: &[
                ("find a name", &["find_2"]),
                ("the same beside a writer", &["find_2_beside"]),
                ("walk 7 components", &["walk_2"]),
                ("open, close", &["open_2"]),
                ("read an open file", &["read_2"]),
                ("make, remove 20 nodes", &["churn_2"]),
            ],
        },
        Plot {
            file: "kernel",
            title: "kernfs beside the kernel's own, by system call; 1 thread",
            columns: 3,
            names: &[
                KERNFS,
                MOUNT,
                MOUNT_OTHER,
                SYSFS,
                CGROUP2,
                CGROUP,
                "getppid(2)",
                POLL,
                "thread::unpark",
            ],
            under: &[
                (SYSFS, "sysfs"),
                (CGROUP2, "cgroup2"),
                (CGROUP, "cgroup2"),
                (POLL, "cgroup2"),
            ],
            panels: &[
                ("walk and stat", &["kernel_walk", "mount_stat"]),
                ("open, read, close", &["kernel_open", "mount_open"]),
                ("read an open file", &["kernel_read", "mount_pread"]),
                ("list, an entry", &["kernel_readdir", "mount_readdir"]),
                ("notify to wake-up", &["wake", "mount_wake"]),
                ("20 nodes, CPU of all threads", &["churned_cpu"]),
            ],
        },
    ],
    tables: &[
        Comparison {
            what: "a tree by hand, 2 threads",
            columns: &[
                ("kernfs", &[KERNFS]),
                ("`RwLock` a directory", &[STD]),
                ("parking_lot a directory", &[PARKING_LOT]),
                ("one `RwLock`", &[STD_ONE]),
                ("one parking_lot", &[PARKING_LOT_ONE]),
            ],
            rows: &[
                ("find a name", "find_2"),
                ("find a name, 1 thread", "find_1"),
                ("find a name beside a writer", "find_2_beside"),
                ("walk 7 components", "walk_2"),
                ("list, an entry", "readdir_2"),
                ("open, close", "open_2"),
                ("find, open, read, close", "open_read_2"),
                ("read an open file", "read_2"),
                ("make and remove 20 nodes", "churn_2"),
                (
                    "find while a writer holds the lock 10 ms, p99",
                    "held_find_p99",
                ),
            ],
        },
        Comparison {
            what: "the kernel's, by system call",
            columns: &[
                ("kernfs, in process", &[KERNFS]),
                ("sysfs", &[SYSFS]),
                ("cgroup2", &[CGROUP2, CGROUP, POLL]),
            ],
            rows: &[
                ("walk and attributes, stat(2)", "kernel_walk"),
                ("open, read, close", "kernel_open"),
                ("read an open file", "kernel_read"),
                ("poll", "kernel_poll"),
                ("list, an entry", "kernel_readdir"),
                ("notify to wake-up", "wake"),
                ("20 nodes made and removed, CPU", "churned_cpu"),
            ],
        },
        Comparison {
            what: "through a mount, by system call",
            columns: &[
                ("kernfs mount, same CPU", &[MOUNT]),
                ("other CPU", &[MOUNT_OTHER]),
                ("sysfs", &[SYSFS]),
                ("cgroup2", &[CGROUP2]),
            ],
            rows: &[
                ("open, read, close", "mount_open"),
                ("read an open file", "mount_pread"),
                ("write an open file", "mount_pwrite"),
                ("stat", "mount_stat"),
                ("list, an entry", "mount_readdir"),
                ("notify to wake-up of poll(2)", "mount_wake"),
            ],
        },
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::SHOOTOUT;
    use std::fs;
    use std::path::Path;

    #[test]
    fn the_readme_has_the_tables_and_pictures_of_the_last_run() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let read = |file: &Path| {
            fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        };
        let readme = read(&here.join("../README.md"));
        for (program, story) in [("shootout", SHOOTOUT), ("kernfs_bench", KERNFS_BENCH)] {
            let tables = read(&here.join("plots").join(program).with_extension("md"));
            let marked = format!("<!-- {program} -->\n{tables}<!-- end -->\n");
            assert!(
                readme.contains(&marked),
                "{program}: run benches/plots/make"
            );
            for plot in story.plots {
                assert!(readme.contains(&format!("(benches/plots/{}.svg)", plot.file)));
                let picture = here.join("plots").join(plot.file).with_extension("svg");
                assert!(read(&picture).ends_with("</svg>\n"));
            }
        }
    }

    #[test]
    fn every_name_of_a_plot_is_told_once_and_its_titles_fit() {
        for story in [SHOOTOUT, KERNFS_BENCH] {
            for plot in story.plots {
                let mut names = plot.names.to_vec();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), plot.names.len(), "{}", plot.file);
                for (title, _) in plot.panels {
                    assert!(title.chars().count() <= 30, "{title}");
                }
            }
        }
    }
}
