//! What a measurement gives: a chart is one figure of many peers, a group is charts of the same peers.

use crate::samples::Samples;

/// The unit of a chart's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Microseconds.
    Us,
    /// Milliseconds.
    Ms,
    /// Bytes.
    Bytes,
    /// Millions a second.
    MillionsPerSecond,
    /// A number of things.
    Count,
    /// 1 or 0.
    YesNo,
}

impl Unit {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ns => "ns",
            Self::Us => "us",
            Self::Ms => "ms",
            Self::Bytes => "bytes",
            Self::MillionsPerSecond => "M/s",
            Self::Count => "",
            Self::YesNo => "yes or no",
        }
    }

    /// Whether the greatest round is the one that nothing disturbed.
    pub fn greater_is_better(self) -> bool {
        matches!(self, Self::MillionsPerSecond | Self::YesNo)
    }
}

/// The figures of one peer.
#[derive(Clone, Debug)]
pub struct Line {
    /// Whose.
    pub name: String,
    /// One a round.
    pub samples: Samples,
}

/// One kind of figure.
#[derive(Clone, Debug)]
pub struct Chart {
    /// A word for files and look-ups.
    pub key: &'static str,
    /// What was measured.
    pub title: &'static str,
    /// The heading of its column, in two lines.
    pub head: [&'static str; 2],
    /// The unit of all figures.
    pub unit: Unit,
    /// Which of the samples ratios are made of.
    pub typical: Typical,
    /// In the order of the table.
    pub lines: Vec<Line>,
}

/// The one number of a line that ratios are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typical {
    /// The least: the round that nothing disturbed.
    Min,
    /// The middle one: where the least is the round in which the other thread did not run.
    Median,
}

impl Typical {
    /// That number.
    pub fn of(self, samples: &Samples) -> Option<f64> {
        match self {
            Self::Min => samples.min(),
            Self::Median => samples.median(),
        }
    }
}

impl Chart {
    /// A chart without lines.
    pub fn new(key: &'static str, title: &'static str, unit: Unit, typical: Typical) -> Self {
        Self {
            key,
            title,
            head: [""; 2],
            unit,
            typical,
            lines: Vec::new(),
        }
    }

    /// The same with a heading for its column.
    pub fn headed(self, upper: &'static str, lower: &'static str) -> Self {
        let head = [upper, lower];
        Self { head, ..self }
    }

    /// Adds what a round gave, if it gave a figure; `name` gets a line with its first.
    pub fn add(&mut self, name: &str, figure: Option<f64>) {
        let Some(figure) = figure else {
            return;
        };
        let at = self.lines.iter().position(|line| line.name == name);
        let at = at.unwrap_or_else(|| {
            self.lines.push(Line {
                name: name.to_owned(),
                samples: Samples::default(),
            });
            self.lines.len() - 1
        });
        self.lines[at].samples.extend(Some(figure));
    }

    /// The samples of a peer.
    pub fn of(&self, name: &str) -> Option<&Samples> {
        let line = self.lines.iter().find(|line| line.name == name)?;
        Some(&line.samples)
    }

    /// The typical figure of a peer.
    pub fn typical(&self, name: &str) -> Option<f64> {
        self.typical.of(self.of(name)?)
    }
}

/// Charts that are printed side by side.
#[derive(Clone, Debug)]
pub struct Group {
    /// Above the table.
    pub title: &'static str,
    /// The columns.
    pub charts: Vec<Chart>,
}

impl Group {
    /// A chart alone.
    pub fn single(chart: Chart) -> Self {
        Self {
            title: chart.title,
            charts: vec![chart],
        }
    }

    /// All names, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for line in self.charts.iter().flat_map(|chart| &chart.lines) {
            if !names.contains(&&*line.name) {
                names.push(&line.name);
            }
        }
        names
    }
}

/// Everything that was measured, and who could not run here and why.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of the run.
    pub groups: Vec<Group>,
    /// What was skipped, a sentence each.
    pub skipped: Vec<String>,
}

impl Report {
    /// All charts.
    pub fn charts(&self) -> impl Iterator<Item = &Chart> {
        self.groups.iter().flat_map(|group| &group.charts)
    }

    /// The chart of that key.
    pub fn chart(&self, key: &str) -> Option<&Chart> {
        self.charts().find(|chart| chart.key == key)
    }

    /// Notes a reason, once.
    pub fn skip(&mut self, why: String) {
        if !self.skipped.contains(&why) {
            self.skipped.push(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        let mut chart = Chart::new("k", "t", Unit::Ns, Typical::Median);
        chart.add("a", Some(3.0));
        chart.add("b", None);
        chart.add("c", Some(1.0));
        chart.add("a", Some(5.0));
        chart
    }

    #[test]
    fn a_name_has_one_line_and_none_without_a_figure() {
        let chart = chart();
        let names: Vec<&str> = chart.lines.iter().map(|line| &*line.name).collect();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(chart.typical("a"), Some(4.0));
        assert_eq!(chart.typical("b"), None);
    }

    #[test]
    fn a_group_names_everybody_once() {
        let mut other = chart();
        other.add("d", Some(1.0));
        let group = Group {
            title: "g",
            charts: vec![chart(), other],
        };
        assert_eq!(group.names(), ["a", "c", "d"]);
    }

    #[test]
    fn a_reason_is_told_once() {
        let mut report = Report::default();
        report.skip("no".to_owned());
        report.skip("no".to_owned());
        assert_eq!(report.skipped, ["no"]);
    }
}
