//! The question that users ask: is this faster than what I would write with a lock and a map?

use crate::chart::{Chart, Group, Report, Typical, Unit};
use crate::effort::Effort;
use crate::repeat::{Contender, Make, Who, interleaved};
use crate::trees::{self, ENTRIES, Loops};

/// An operation and its charts: by one thread, by two, beside a writer, by two beside a writer.
struct Operation {
    title: &'static str,
    keys: [&'static str; 4],
    titles: [&'static str; 4],
    of: fn(&Loops) -> &Make,
    /// Of one loop in so many.
    parts: usize,
}

const OPERATIONS: [Operation; 9] = [
    Operation {
        title: "find an entry of a directory of 19 by name",
        keys: ["find_1", "find_2", "find_beside", "find_2_beside"],
        titles: [
            "Find by name, 1 thread",
            "Find by name, 2 threads",
            "Find by name beside a writer",
            "Find by name, 2 threads beside a writer",
        ],
        of: |loops| &loops.find,
        parts: 1,
    },
    Operation {
        title: "walk a path of 7 components to a counted node, and its attributes",
        keys: ["walk_1", "walk_2", "walk_beside", "walk_2_beside"],
        titles: [
            "Walk of 7 components, 1 thread",
            "Walk of 7 components, 2 threads",
            "Walk of 7 components beside a writer",
            "Walk of 7 components, 2 threads beside a writer",
        ],
        of: |loops| &loops.walk,
        parts: 1,
    },
    Operation {
        title: "look a name up in a directory of 19 and read the attributes; nothing is kept, so nothing is counted",
        keys: ["look_1", "look_2", "look_beside", "look_2_beside"],
        titles: [
            "Attributes by name, nothing kept, 1 thread",
            "Attributes by name, nothing kept, 2 threads",
            "Attributes by name, nothing kept, beside a writer",
            "Attributes by name, nothing kept, 2 threads beside a writer",
        ],
        of: |loops| &loops.look,
        parts: 1,
    },
    Operation {
        title: "look along a path of 7 components and read the attributes; nothing is kept, so nothing is counted",
        keys: ["along_1", "along_2", "along_beside", "along_2_beside"],
        titles: [
            "Attributes by path, nothing kept, 1 thread",
            "Attributes by path, nothing kept, 2 threads",
            "Attributes by path, nothing kept, beside a writer",
            "Attributes by path, nothing kept, 2 threads beside a writer",
        ],
        of: |loops| &loops.look_along,
        parts: 1,
    },
    Operation {
        title: "list a directory of 429 entries, with names: an entry",
        keys: [
            "readdir_1",
            "readdir_2",
            "readdir_beside",
            "readdir_2_beside",
        ],
        titles: [
            "Readdir, an entry, 1 thread",
            "Readdir, an entry, 2 threads",
            "Readdir, an entry, beside a writer",
            "Readdir, an entry, 2 threads beside a writer",
        ],
        of: |loops| &loops.readdir,
        parts: ENTRIES,
    },
    Operation {
        title: "open a file and close it, each thread its own",
        keys: ["open_1", "open_2", "open_beside", "open_2_beside"],
        titles: [
            "Open and close, 1 thread",
            "Open and close, 2 threads",
            "Open and close beside a writer",
            "Open and close, 2 threads beside a writer",
        ],
        of: |loops| &loops.open,
        parts: 1,
    },
    Operation {
        title: "find a file, open, read, close, each thread its own",
        keys: [
            "open_read_1",
            "open_read_2",
            "open_read_beside",
            "open_read_2_beside",
        ],
        titles: [
            "Find, open, read, close, 1 thread",
            "Find, open, read, close, 2 threads",
            "Find, open, read, close beside a writer",
            "Find, open, read, close, 2 threads beside a writer",
        ],
        of: |loops| &loops.open_read_close,
        parts: 1,
    },
    Operation {
        title: "read a number as text from an open file, each thread its own",
        keys: ["read_1", "read_2", "read_beside", "read_2_beside"],
        titles: [
            "Read from an open file, 1 thread",
            "Read from an open file, 2 threads",
            "Read from an open file beside a writer",
            "Read from an open file, 2 threads beside a writer",
        ],
        of: |loops| &loops.read,
        parts: 1,
    },
    Operation {
        title: "make and remove a directory with 19 files",
        keys: ["churn_1", "churn_2", "churn_beside", "churn_2_beside"],
        titles: [
            "Make and remove 20 nodes, 1 thread",
            "Make and remove 20 nodes, 2 threads",
            "Make and remove 20 nodes beside a writer",
            "Make and remove 20 nodes, 2 threads beside a writer",
        ],
        of: |loops| &loops.churn,
        parts: 1,
    },
];

const WAYS: [(Who, [&str; 2], Typical); 4] = [
    (Who::ONE, ["1", "thread"], Typical::Min),
    (Who::TWO, ["2", "threads"], Typical::Median),
    (Who::BESIDE, ["beside", "writer"], Typical::Median),
    (Who::TWO_BESIDE, ["2 beside", "writer"], Typical::Median),
];

pub(super) fn run(effort: Effort, report: &mut Report) {
    // There is much to measure, and 6 ms are a hundred thousand finds.
    let loop_time = effort.loop_time / 2;
    let effort = Effort {
        loop_time,
        ..effort
    };
    let all = trees::all();
    for operation in &OPERATIONS {
        let of: Vec<Contender<'_>> = all
            .iter()
            .map(|loops| Contender {
                writer: Some(&loops.churn),
                parts: operation.parts,
                ..Contender::new(loops.name, (operation.of)(loops))
            })
            .collect();
        let mut charts: Vec<Chart> = WAYS
            .iter()
            .zip(operation.keys.into_iter().zip(operation.titles))
            .map(|((_, head, typical), (key, title))| {
                Chart::new(key, title, Unit::Ns, *typical).headed(head[0], head[1])
            })
            .collect();
        let ways = WAYS.iter().map(|(who, ..)| *who);
        let mut ways: Vec<_> = ways.zip(&mut charts).collect();
        interleaved(&of, &mut ways, effort);
        report.groups.push(Group {
            title: operation.title,
            charts,
        });
    }
}
