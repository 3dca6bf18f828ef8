//! The survey as text: ratios first.

use core::fmt::{self, Display, Formatter};

use crate::grace::Wait;
use crate::measures::{self, Bound, ratio};
use crate::peers::names::MEMB;
use crate::rounds::Work;
use crate::samples::Samples;
use crate::survey::{Row, Survey};

/// Displays a [`Survey`].
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a Survey);

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        loops(self.0, f)?;
        for why in &self.0.skipped {
            writeln!(f, "{why}")?;
        }
        waits(self.0, f)?;
        aims(self.0, f)
    }
}

/// The one number of a loop that ratios are made of: see the crate's front page.
fn typical(work: Work, samples: &Samples) -> Option<f64> {
    match work {
        Work::Read | Work::Update => samples.min(),
        Work::ReadByTwo | Work::UpdateBesideReader => samples.median(),
    }
}

fn loops(survey: &Survey, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "\n{:27} times {MEMB:20}   ns, min / median of {} rounds\n{:27} {:>5} {:>5} {:>6} {:>6}   {:>13} {:>13} {:>13} {:>13} {:>15}",
        "",
        survey.effort.rounds,
        "",
        "read",
        "read",
        "update",
        "update",
        "read",
        "read",
        "update",
        "update",
        "update",
    )?;
    writeln!(
        f,
        "{:27} {:>5} {:>5} {:>6} {:>6}   {:>13} {:>13} {:>13} {:>13} {:>15}",
        "",
        "1 thr",
        "2 thr",
        "",
        "+rd",
        "1 thread",
        "2 threads",
        "alone",
        "to last free",
        "beside a reader",
    )?;
    let reference = survey.row(MEMB);
    for row in &survey.rows {
        let times = |pick: fn(&Row, Work) -> &Samples, work| {
            let of = |row| typical(work, pick(row, work));
            Figure(ratio(of(row), reference.and_then(of)))
        };
        writeln!(
            f,
            "{:27} {:>5} {:>5} {:>6} {:>6}   {:>13} {:>13} {:>13} {:>13} {:>15}",
            row.name,
            times(reads, Work::Read),
            times(reads, Work::ReadByTwo),
            times(updates, Work::Update),
            times(updates, Work::UpdateBesideReader),
            pair(reads(row, Work::Read), 1.0),
            pair(reads(row, Work::ReadByTwo), 1.0),
            pair(updates(row, Work::Update), 1.0),
            pair(&row.of(Work::Update).freed, 1.0),
            pair(updates(row, Work::UpdateBesideReader), 1.0),
        )?;
    }
    Ok(())
}

fn reads(row: &Row, work: Work) -> &Samples {
    &row.of(work).read
}

fn updates(row: &Row, work: Work) -> &Samples {
    &row.of(work).update
}

fn waits(survey: &Survey, f: &mut Formatter<'_>) -> fmt::Result {
    for wait in Wait::ALL {
        let reference = survey.waits(MEMB).and_then(|waits| waits.of(wait).median());
        writeln!(f, "\n{:42} times {MEMB}   us, min / median", wait.title())?;
        for waits in &survey.latencies {
            let samples = waits.of(wait);
            if samples.as_slice().is_empty() {
                continue;
            }
            let times = Figure(ratio(samples.median(), reference));
            writeln!(
                f,
                "    {:38} {times:>15}   {:>17}",
                waits.name,
                pair(samples, 1e3)
            )?;
        }
    }
    Ok(())
}

fn aims(survey: &Survey, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\n{:44} {:>12} {:>12}", "aim", "target", "measured")?;
    for aim in measures::all(survey) {
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
        writeln!(f, "{:44} {target:>12} {measured:>12}  {verdict}", aim.what)?;
    }
    Ok(())
}

fn pair(samples: &Samples, unit: f64) -> String {
    match (samples.min(), samples.median()) {
        (Some(min), Some(median)) => {
            format!(
                "{} / {}",
                Figure(Some(min / unit)),
                Figure(Some(median / unit))
            )
        }
        _ => "-".to_owned(),
    }
}

/// Three digits, or a dash.
struct Figure(Option<f64>);

impl Display for Figure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            None => "-".to_owned(),
            Some(value) if value < 9.995 => format!("{value:.2}"),
            Some(value) if value < 99.95 => format!("{value:.1}"),
            Some(value) => format!("{value:.0}"),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_keep_their_column() {
        let text = |value| Figure(value).to_string();
        assert_eq!(text(Some(0.527)), "0.53");
        assert_eq!(text(Some(9.999)), "10.0");
        assert_eq!(text(Some(99.99)), "100");
        assert_eq!(text(None), "-");
        assert_eq!(format!("{:>6}", Figure(Some(1.0))), "  1.00");
    }

    #[test]
    fn nothing_measured_is_a_dash() {
        assert_eq!(pair(&Samples::default(), 1.0), "-");
        assert_eq!(
            pair(&[2.0, 1.0, 3.0].into_iter().collect(), 1.0),
            "1.00 / 2.00"
        );
    }
}
