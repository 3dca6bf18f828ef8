//! The report as JSON, all samples, for plots. Written by hand: numbers, and names that we chose.

use core::fmt::{self, Display, Formatter};

use crate::aims::{Aim, Bound};
use crate::chart::{Chart, Line, Report};
use crate::samples::Samples;

/// Displays a [`Report`] as one JSON object.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a> {
    /// What was measured.
    pub report: &'a Report,
    /// What was aimed at.
    pub aims: &'a [Aim],
    /// Where, one line of text.
    pub machine: &'a str,
    /// Whom it was measured beside, and its version.
    pub beside: (&'a str, &'a str),
}

impl Display for Json<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{{\n  \"machine\": {},", Text(self.machine))?;
        writeln!(f, "  {}: {},", Text(self.beside.0), Text(self.beside.1))?;
        let charts: Vec<String> = self.report.charts().map(chart).collect();
        writeln!(f, "  \"charts\": [\n{}\n  ],", charts.join(",\n"))?;
        let aims: Vec<String> = self.aims.iter().map(aim).collect();
        writeln!(f, "  \"aims\": [\n    {}\n  ],", aims.join(",\n    "))?;
        let skipped = &self.report.skipped;
        let skipped: Vec<String> = skipped.iter().map(|why| Text(why).to_string()).collect();
        write!(f, "  \"skipped\": [{}]\n}}\n", skipped.join(", "))
    }
}

fn chart(chart: &Chart) -> String {
    let lines: Vec<String> = chart.lines.iter().map(line).collect();
    format!(
        "    {{\"key\": {}, \"title\": {}, \"unit\": {}, \"lines\": [\n      {}\n    ]}}",
        Text(chart.key),
        Text(chart.title),
        Text(chart.unit.name()),
        lines.join(",\n      ")
    )
}

fn line(line: &Line) -> String {
    let samples = line.samples.as_slice().iter();
    let samples: Vec<String> = samples
        .map(|figure| Number(Some(*figure)).to_string())
        .collect();
    let number = |figure: fn(&Samples) -> Option<f64>| Number(figure(&line.samples));
    format!(
        "{{\"name\": {}, \"min\": {}, \"median\": {}, \"max\": {}, \"samples\": [{}]}}",
        Text(&line.name),
        number(Samples::min),
        number(Samples::median),
        number(Samples::max),
        samples.join(", ")
    )
}

fn aim(aim: &Aim) -> String {
    let (kind, bound) = match aim.target {
        Bound::AtMost(bound) => ("at_most", bound),
        Bound::AtLeast(bound) => ("at_least", bound),
    };
    let met = aim
        .met()
        .map_or("null", |met| if met { "true" } else { "false" });
    format!(
        "{{\"what\": {}, \"unit\": {}, \"{kind}\": {bound}, \"measured\": {}, \"met\": {met}}}",
        Text(aim.what),
        Text(aim.unit),
        Number(aim.measured)
    )
}

/// A string with the escapes that JSON requires.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}

/// A number; JSON has no infinities, they and what was not measured are `null`.
struct Number(Option<f64>);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.filter(|value| value.is_finite()) {
            Some(value) => write!(f, "{value:.4}"),
            None => f.write_str("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Typical, Unit};

    #[test]
    fn text_is_escaped_and_no_number_is_null() {
        assert_eq!(Text("a\"b\\c\n").to_string(), r#""a\"b\\c\u000a""#);
        assert_eq!(Number(Some(0.25)).to_string(), "0.2500");
        assert_eq!(Number(Some(f64::INFINITY)).to_string(), "null");
        assert_eq!(Number(None).to_string(), "null");
    }

    #[test]
    fn a_chart_holds_every_sample() {
        let mut one = Chart::new("key", "Title", Unit::Ns, Typical::Min);
        one.add("name", Some(1.5));
        one.add("name", Some(2.5));
        assert_eq!(
            chart(&one),
            r#"    {"key": "key", "title": "Title", "unit": "ns", "lines": [
      {"name": "name", "min": 1.5000, "median": 2.0000, "max": 2.5000, "samples": [1.5000, 2.5000]}
    ]}"#
        );
    }
}
