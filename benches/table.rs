//! The report as text: ratios first.

use core::fmt::{self, Display, Formatter};

use crate::aims::{Aim, Bound, ratio};
use crate::chart::{Chart, Group, Report, Unit};
use crate::samples::Samples;

/// Displays a [`Group`].
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// What was measured.
    pub group: &'a Group,
    /// Whose figures are 1 in the columns of ratios.
    pub reference: &'a str,
}

/// Displays what comes after the tables: who was skipped, and the aims.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'a> {
    /// What was measured.
    pub report: &'a Report,
    /// What was aimed at.
    pub aims: &'a [Aim],
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        print(self, f)
    }
}

impl Display for Verdict<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.report.skipped.is_empty() {
            writeln!(f)?;
        }
        for why in &self.report.skipped {
            writeln!(f, "{why}")?;
        }
        print_aims(self.aims, f)
    }
}

fn print(table: &Table<'_>, f: &mut Formatter<'_>) -> fmt::Result {
    let Table { group, reference } = *table;
    writeln!(f, "\n{}", group.title)?;
    // Two lines of headings: one for the kind of column, of which the last line tells unit and reference.
    let ratios = |chart: &&Chart| chart.unit != Unit::YesNo && chart.typical(reference).is_some();
    for line in 0..2 {
        write!(f, "    {:32}", "")?;
        for chart in group.charts.iter().filter(ratios) {
            let word = match chart.head[line] {
                "" if line == 1 => "ratio",
                word => word,
            };
            write!(f, " {word:>8}")?;
        }
        for chart in &group.charts {
            let word = match chart.head[line] {
                "" if line == 1 => "min / median",
                word => word,
            };
            write!(f, " {word:>17}")?;
        }
        let tail = match (line, group.charts.first()) {
            (0, Some(chart)) => format!("   {}", chart.unit.name()),
            _ => String::new(),
        };
        writeln!(f, "{tail}")?;
    }
    for name in group.names() {
        write!(f, "    {name:32}")?;
        for chart in group.charts.iter().filter(ratios) {
            let times = ratio(chart.typical(name), chart.typical(reference));
            write!(f, " {:>8}", Figure(times))?;
        }
        for chart in &group.charts {
            write!(f, " {:>17}", pair(chart.of(name), chart.unit))?;
        }
        writeln!(f)?;
    }
    Ok(())
}

fn print_aims(aims: &[Aim], f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n{:62} {:>12} {:>12}", "aim", "target", "measured")?;
    for aim in aims {
        let (sign, bound) = match aim.target {
            Bound::AtMost(bound) => ("<=", bound),
            Bound::AtLeast(bound) => (">=", bound),
        };
        let verdict = match aim.met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "not measured",
        };
        let unit = aim.unit;
        let target = format!("{sign} {bound} {unit}");
        let measured = format!("{} {unit}", Figure(aim.measured));
        writeln!(f, "{:62} {target:>12} {measured:>12}  {verdict}", aim.what)?;
    }
    Ok(())
}

/// The figure of the best round and the median, as they stand in a cell.
pub fn pair(samples: Option<&Samples>, unit: Unit) -> String {
    let best = |samples: &Samples| {
        if unit.greater_is_better() {
            samples.max()
        } else {
            samples.min()
        }
    };
    match samples.and_then(|samples| Some((best(samples)?, samples.median()?))) {
        None => "-".to_owned(),
        Some((_, median)) if unit == Unit::YesNo => {
            if median == 1.0 { "yes" } else { "no" }.to_owned()
        }
        Some((best, median)) => format!("{} / {}", Figure(Some(best)), Figure(Some(median))),
    }
}

/// Three digits, or a dash.
#[derive(Clone, Copy, Debug)]
pub struct Figure(pub Option<f64>);

impl Display for Figure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            None => "-".to_owned(),
            Some(value) if !value.is_finite() => "-".to_owned(), // nothing of nothing
            Some(value) if value < 9.995 => format!("{value:.2}"),
            Some(value) if value < 99.95 => format!("{value:.1}"),
            Some(value) if value < 99_999.5 => format!("{value:.0}"),
            Some(value) => format!("{:.1}M", value / 1e6),
        };
        f.pad(&text)
    }
}

/// A figure with the unit in which it is short.
#[derive(Clone, Copy, Debug)]
pub struct Humane(pub f64, pub Unit);

impl Display for Humane {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        let steps = match unit {
            Unit::Ns | Unit::Us | Unit::Ms => &["ns", "µs", "ms", "s"][..],
            Unit::Bytes => &["B", "kB", "MB", "GB"],
            Unit::MillionsPerSecond => &["M/s"],
            Unit::Count | Unit::YesNo => &[""],
        };
        let mut step = match unit {
            Unit::Us => 1,
            Unit::Ms => 2,
            _ => 0,
        };
        let mut value = value;
        while value >= 999.5 && step + 1 < steps.len() {
            (value, step) = (value / 1000.0, step + 1);
        }
        while value < 0.0995 && value > 0.0 && step > 0 {
            (value, step) = (value * 1000.0, step - 1);
        }
        let figure = Figure(Some(value));
        match steps[step] {
            "" => write!(f, "{figure}"),
            unit => write!(f, "{figure} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_takes_the_unit_in_which_it_is_short() {
        let text = |value, unit| Humane(value, unit).to_string();
        assert_eq!(text(4.3, Unit::Ns), "4.30 ns");
        assert_eq!(text(10_121.0, Unit::Us), "10.1 ms");
        assert_eq!(text(0.03, Unit::Us), "30.0 ns");
        assert_eq!(text(999.6, Unit::Ns), "1.00 µs");
        assert_eq!(text(88.7e6, Unit::Bytes), "88.7 MB");
        assert_eq!(text(0.0, Unit::Us), "0.00 µs");
        assert_eq!(text(39.0, Unit::MillionsPerSecond), "39.0 M/s");
        assert_eq!(text(3.0, Unit::Count), "3.00");
    }

    #[test]
    fn figures_have_three_digits_and_keep_their_column() {
        let text = |value| Figure(value).to_string();
        assert_eq!(text(Some(0.527)), "0.53");
        assert_eq!(text(Some(9.999)), "10.0");
        assert_eq!(text(Some(99.99)), "100");
        assert_eq!(text(Some(2_140_000.0)), "2.1M");
        assert_eq!(text(None), "-");
        assert_eq!(text(Some(f64::NAN)), "-");
        assert_eq!(format!("{:>6}", Figure(Some(1.0))), "  1.00");
    }

    #[test]
    fn a_cell_begins_with_the_best_round_or_is_a_dash() {
        let samples: Samples = [2.0, 1.0, 3.0].into_iter().collect();
        assert_eq!(pair(None, Unit::Ns), "-");
        assert_eq!(pair(Some(&Samples::default()), Unit::Ns), "-");
        assert_eq!(pair(Some(&samples), Unit::Ns), "1.00 / 2.00");
        assert_eq!(pair(Some(&samples), Unit::MillionsPerSecond), "3.00 / 2.00");
        assert_eq!(pair(Some(&[1.0].into_iter().collect()), Unit::YesNo), "yes");
    }
}
