//! What the README shows of a run: some pictures and tables, chosen from all charts, those included in which we lose.

use core::fmt::{self, Display, Formatter};
use std::fs;
use std::io;
use std::path::Path;

use crate::aims::ratio;
use crate::chart::{Chart, Report};
use crate::inline;
use crate::peers::names::{
    CROSSBEAM, DASHMAP, FLURRY, LFHT, MB, MB_SO, MEMB, MEMB_SO, PAPAYA, PLAIN, QSBR, QSBR_SO,
    SCC_INDEX, SEIZE, STD_MAP, STD_RWLOCK,
};
use crate::sections::MEMBARRIER;
use crate::svg::{Panel, Svg};
use crate::table::{Figure, Humane};

/// What is shown of a program's run.
#[derive(Clone, Copy, Debug)]
pub struct Story {
    /// The pictures.
    pub plots: &'static [Plot],
    /// The tables, one below the other.
    pub tables: &'static [Comparison],
}

/// A picture of several panels.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    /// The name of its file.
    pub file: &'static str,
    /// Above all.
    pub title: &'static str,
    /// Panels in a row.
    pub columns: usize,
    /// The peers, in their order.
    pub names: &'static [&'static str],
    /// Who stands under another name, and under which: one of several that do the same in different charts.
    pub under: &'static [(&'static str, &'static str)],
    /// The title of each panel, and the charts whose lines it has.
    pub panels: &'static [(&'static str, &'static [&'static str])],
}

/// A table of figures with ratios to the first column.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// What the rows are.
    pub what: &'static str,
    /// The heading of each column, and who may stand in it: the first that was measured.
    pub columns: &'static [(&'static str, &'static [&'static str])],
    /// What was measured, and its chart.
    pub rows: &'static [(&'static str, &'static str)],
}

/// Those of `shootout`.
pub const SHOOTOUT: Story = Story {
    plots: &[
        Plot {
            file: "read",
            title: "A read section: enter, dereference, leave",
            columns: 3,
            names: &[
                PLAIN,
                QSBR,
                MEMB,
                MB,
                inline::QSBR,
                inline::MEMB,
                MEMB_SO,
                MB_SO,
                CROSSBEAM,
                SEIZE,
                "arc-swap",
                STD_RWLOCK,
                "parking_lot RwLock",
            ],
            under: &[],
            panels: &[
                ("1 thread", &["read"]),
                ("2 threads", &["read_by_two"]),
                ("beside an updater of it", &["read_beside_updater"]),
            ],
        },
        Plot {
            file: "grace",
            title: "Grace periods and callbacks",
            columns: 3,
            names: &[MEMBARRIER, QSBR, MEMB, MB, QSBR_SO, MEMB_SO, MB_SO],
            under: &[],
            panels: &[
                ("synchronize, nobody reads", &["synchronize"]),
                ("synchronize, a hot reader", &["synchronize_reader"]),
                ("the same, 10 000 idle threads", &["scan"]),
                ("16 callers, sections of 1 ms", &["callers"]),
                ("call to callback, idle", &["call"]),
                ("barrier after a call, idle", &["call_and_barrier"]),
            ],
        },
        Plot {
            file: "maps",
            title: "Hash maps: operations a second, 2 threads",
            columns: 3,
            names: MAPS,
            under: &[(MEMB, "urcu RcuHashMap"), (LFHT, "liburcu cds_lfht")],
            panels: &[
                ("1000 keys, read only", &["maps_small_100_2"]),
                ("1000 keys, 95 % reads", &["maps_small_95_2"]),
                ("100 000, read only, 1 thread", &["maps_100_1"]),
                ("100 000 keys, read only", &["maps_100_2"]),
                ("100 000 keys, 95 % reads", &["maps_95_2"]),
                ("100 000 keys, 50 % reads", &["maps_50_2"]),
            ],
        },
        Plot {
            file: "growth",
            title: "A map grows from 64 to 10 000 000 entries beside a reader",
            columns: 3,
            names: MAPS,
            under: &[(MEMB, "urcu RcuHashMap"), (LFHT, "liburcu cds_lfht")],
            panels: &[
                ("8 look-ups, p99.99", &["maps_growth_p9999"]),
                ("8 look-ups, longest", &["maps_growth_max"]),
                ("control: 8 loads, longest", &["maps_growth_const_max"]),
                ("insertions", &["maps_growth_rate"]),
                ("memory, an entry of 16 bytes", &["maps_bytes"]),
            ],
        },
    ],
    tables: &[
        Comparison {
            what: "RCU, locks and swaps",
            columns: &[
                ("urcu `Memb`", &[MEMB]),
                ("liburcu memb", &[inline::MEMB, MEMB_SO]),
                ("crossbeam-epoch", &[CROSSBEAM]),
                ("seize", &[SEIZE]),
                ("arc-swap", &["arc-swap"]),
                ("std `RwLock`", &[STD_RWLOCK]),
            ],
            rows: &[
                ("read section", "read"),
                ("the same, 2 threads", "read_by_two"),
                ("the same, another thread updates", "read_beside_updater"),
                ("1000 sections, p99.9, an updater elsewhere", "latency_p999"),
                ("update: allocate, publish, retire", "update"),
                ("the same, 2 threads", "update_by_two"),
                ("the same, until all is freed", "freed"),
                ("synchronize, nobody reads", "synchronize"),
                ("synchronize, a hot reader", "synchronize_reader"),
                ("synchronize, 10 000 idle threads", "scan"),
                ("call to callback, idle", "call"),
                ("flood of callbacks", "flood_rate"),
                ("fork handlers in the parent", "fork_parent"),
                ("a stalled reader: kept for 64 bytes", "stall_kept"),
            ],
        },
        Comparison {
            what: "hash maps",
            columns: &[
                ("`RcuHashMap`", &[MEMB]),
                ("`RwLock<HashMap>`", &[STD_MAP]),
                ("dashmap", &[DASHMAP]),
                ("scc `HashIndex`", &[SCC_INDEX]),
                ("papaya", &[PAPAYA]),
                ("flurry", &[FLURRY]),
                ("liburcu lfht", &[LFHT]),
            ],
            rows: &[
                ("1000 keys, read only, 2 threads", "maps_small_100_2"),
                ("1000 keys, 95 % reads, 2 threads", "maps_small_95_2"),
                ("100 000 keys, read only, 2 threads", "maps_100_2"),
                ("100 000 keys, 95 % reads, 2 threads", "maps_95_2"),
                ("100 000 keys, 50 % reads, 2 threads", "maps_50_2"),
                ("grows to 10⁷: insertions", "maps_growth_rate"),
                ("grows to 10⁷: 8 look-ups, p99.99", "maps_growth_p9999"),
                ("grows to 10⁷: 8 look-ups, longest", "maps_growth_max"),
                ("memory, an entry of 16 bytes", "maps_bytes"),
            ],
        },
        Comparison {
            what: "ordered maps, 1000 entries",
            columns: &[
                ("`OrdMap`", &[MEMB]),
                ("`RwLock<BTreeMap>`", &["std RwLock<BTreeMap>"]),
                ("crossbeam `SkipMap`", &["crossbeam SkipMap"]),
            ],
            rows: &[
                ("look-up", "ordered_get"),
                ("look-up, 2 threads", "ordered_get_by_two"),
                ("look-up beside an updater", "ordered_get_beside_updater"),
                ("insertion + removal", "ordered_update"),
            ],
        },
        Comparison {
            what: "queues, an element",
            columns: &[
                ("`wfcq`", &[MEMB]),
                ("std mpsc", &["std mpsc"]),
                ("crossbeam `SegQueue`", &["crossbeam SegQueue"]),
                ("`Mutex<VecDeque>`", &["std Mutex<VecDeque>"]),
            ],
            rows: &[
                ("push and pop in turn, 1 thread", "queue"),
                ("1 producer, 1 consumer", "queue_across"),
            ],
        },
    ],
};

const MAPS: &[&str] = &[MEMB, STD_MAP, DASHMAP, SCC_INDEX, PAPAYA, FLURRY, LFHT];

impl Story {
    /// Writes the pictures, each under its name, and the tables as `PROGRAM.md`.
    ///
    /// # Errors
    /// Those of the files.
    pub fn write(
        &self,
        program: &str,
        (report, reference, machine): (&Report, &str, &str),
        folder: &Path,
    ) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for plot in self.plots {
            let svg = plot.svg(report, reference, machine);
            if svg.panels.is_empty() {
                continue; // its section was not run
            }
            fs::write(
                folder.join(plot.file).with_extension("svg"),
                svg.to_string(),
            )?;
        }
        let text = Tables {
            tables: self.tables,
            report,
            machine,
        };
        fs::write(folder.join(program).with_extension("md"), text.to_string())
    }
}

impl Plot {
    fn label(&self, name: &'static str) -> &'static str {
        let under = self.under.iter().find(|(who, _)| *who == name);
        under.map_or(name, |(_, label)| label)
    }

    fn labels(&self) -> Vec<&'static str> {
        let mut labels: Vec<&str> = Vec::new();
        for label in self.names.iter().map(|name| self.label(name)) {
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels
    }

    fn svg<'a>(&'a self, report: &'a Report, reference: &'a str, machine: &'a str) -> Svg<'a> {
        let panel = |(title, keys): &(&'static str, &[&str])| {
            let charts: Vec<&Chart> = keys.iter().filter_map(|key| report.chart(key)).collect();
            let first = *charts.first()?;
            let find = |name: &&'static str| {
                let samples = charts.iter().find_map(|chart| chart.of(name));
                Some((self.label(name), samples?))
            };
            Some(Panel {
                title,
                lines: self.names.iter().filter_map(find).collect(),
                ..Panel::of(first)
            })
        };
        Svg {
            title: self.title,
            machine,
            reference: self
                .under
                .iter()
                .find(|(who, _)| *who == reference)
                .map_or(reference, |(_, label)| label),
            columns: self.columns,
            names: self.labels(),
            panels: self.panels.iter().filter_map(panel).collect(),
        }
    }
}

/// Displays tables as Markdown.
struct Tables<'a> {
    tables: &'a [Comparison],
    report: &'a Report,
    machine: &'a str,
}

impl Display for Tables<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}. In brackets: how many times our figure. The best of a row is bold.",
            self.machine
        )?;
        for table in self.tables {
            table.write(self.report, f)?;
        }
        Ok(())
    }
}

impl Comparison {
    fn write(&self, report: &Report, f: &mut Formatter<'_>) -> fmt::Result {
        let rows = self
            .rows
            .iter()
            .map(|(what, key)| (what, report.chart(key)));
        let rows: Vec<_> = rows
            .filter_map(|(what, chart)| Some((what, chart?)))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        write!(f, "\n| {} |", self.what)?;
        for (head, _) in self.columns {
            write!(f, " {head} |")?;
        }
        writeln!(f, "\n|---{}|", "|---:".repeat(self.columns.len()))?;
        for (what, chart) in rows {
            let figure = |names: &[&str]| names.iter().find_map(|name| chart.typical(name));
            let figures = self.columns.iter().map(|(_, names)| figure(names));
            let figures: Vec<Option<f64>> = figures.collect();
            let present = figures.iter().copied().flatten();
            let best = if chart.unit.greater_is_better() {
                present.max_by(f64::total_cmp)
            } else {
                present.min_by(f64::total_cmp)
            };
            write!(f, "| {what} |")?;
            for (i, figure) in figures.iter().enumerate() {
                let Some(value) = *figure else {
                    f.write_str(" – |")?;
                    continue;
                };
                let bold = if *figure == best { "**" } else { "" };
                write!(f, " {bold}{}{bold}", Humane(value, chart.unit))?;
                if let Some(times) = ratio(*figure, figures[0]).filter(|_| i > 0) {
                    write!(f, " ({}×)", Figure(Some(times)))?;
                }
                f.write_str(" |")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Group, Typical, Unit};

    const TABLE: Comparison = Comparison {
        what: "w",
        columns: &[("a", &["A"]), ("b", &["none", "B"]), ("c", &["C"])],
        rows: &[("x", "one"), ("y", "two"), ("z", "not run")],
    };

    fn report() -> Report {
        let mut one = Chart::new("one", "", Unit::Ns, Typical::Min);
        one.add("A", Some(2.0));
        one.add("B", Some(1.0));
        let mut two = Chart::new("two", "", Unit::MillionsPerSecond, Typical::Median);
        two.add("A", Some(2.0));
        two.add("B", Some(1.0));
        let groups = vec![Group::single(one), Group::single(two)];
        Report {
            groups,
            ..Report::default()
        }
    }

    #[test]
    fn a_row_that_we_lose_is_there_and_shows_it() {
        let text = Tables {
            tables: &[TABLE],
            report: &report(),
            machine: "M",
        };
        let text = text.to_string();
        let rows: Vec<&str> = text.lines().skip(2).collect();
        let expected = [
            "| w | a | b | c |",
            "|---|---:|---:|---:|",
            "| x | 2.00 ns | **1.00 ns** (0.50×) | – |",
            "| y | **2.00 M/s** | 1.00 M/s (0.50×) | – |",
        ];
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_panel_has_the_peers_in_the_plots_order_from_all_its_charts() {
        let plot = Plot {
            file: "f",
            title: "t",
            columns: 1,
            names: &["B", "A", "C"],
            under: &[("B", "D"), ("C", "D")],
            panels: &[("p", &["not run", "one"]), ("q", &["not run"])],
        };
        let report = report();
        let svg = plot.svg(&report, "A", "M");
        assert_eq!(svg.panels.len(), 1);
        let names: Vec<&str> = svg.panels[0].lines.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["D", "A"]);
        assert_eq!(svg.names, ["D", "A"]);
    }
}
