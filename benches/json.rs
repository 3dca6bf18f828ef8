//! The survey as JSON, all samples, for plots. Written by hand: numbers, and names that we chose.

use core::fmt::{self, Display, Formatter};

use crate::grace::Wait;
use crate::measures::{self, Bound};
use crate::rounds::Work;
use crate::samples::Samples;
use crate::survey::Survey;

/// Displays a [`Survey`] as one JSON object; every figure in nanoseconds, but for the aims' own units.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a> {
    /// What was measured.
    pub survey: &'a Survey,
    /// Where, one line of text.
    pub machine: &'a str,
}

impl Display for Json<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let survey = self.survey;
        writeln!(f, "{{\n  \"machine\": {},", Text(self.machine))?;
        writeln!(f, "  \"rounds\": {},", survey.effort.rounds)?;
        let mut loops = Vec::new();
        for row in &survey.rows {
            for work in Work::ALL {
                let figures = row.of(work);
                for (operation, samples) in [
                    ("read", &figures.read),
                    ("update", &figures.update),
                    ("update_freed", &figures.freed),
                ] {
                    loops.extend(object(row.name, work_name(work), operation, samples));
                }
            }
        }
        list(f, "loops", &loops)?;
        let mut waits = Vec::new();
        for latencies in &survey.latencies {
            for wait in Wait::ALL {
                let (name, what) = (latencies.name, wait.title());
                waits.extend(object(name, what, "wait", latencies.of(wait)));
            }
        }
        list(f, "waits", &waits)?;
        let aims: Vec<String> = measures::all(survey)
            .iter()
            .map(|aim| {
                let (kind, bound) = match aim.target {
                    Bound::AtMost(bound) => ("at_most", bound),
                    Bound::AtLeast(bound) => ("at_least", bound),
                };
                format!(
                    "{{\"what\": {}, \"unit\": {}, \"{kind}\": {bound}, \"measured\": {}}}",
                    Text(aim.what),
                    Text(aim.unit),
                    Number(aim.measured)
                )
            })
            .collect();
        list(f, "aims", &aims)?;
        let skipped: Vec<String> = survey.skipped.iter().map(|s| Text(s).to_string()).collect();
        write!(f, "  \"skipped\": [{}]\n}}\n", skipped.join(", "))
    }
}

fn work_name(work: Work) -> &'static str {
    match work {
        Work::Read => "1 thread reads",
        Work::ReadByTwo => "2 threads read",
        Work::Update => "1 thread updates",
        Work::UpdateBesideReader => "1 thread updates beside 1 reader",
    }
}

fn object(name: &str, work: &str, operation: &str, samples: &Samples) -> Option<String> {
    let numbers: Vec<String> = samples
        .as_slice()
        .iter()
        .map(|figure| Number(Some(*figure)).to_string())
        .collect();
    (!numbers.is_empty()).then(|| {
        format!(
            "{{\"name\": {}, \"work\": {}, \"operation\": {}, \"min\": {}, \"median\": {}, \"samples\": [{}]}}",
            Text(name),
            Text(work),
            Text(operation),
            Number(samples.min()),
            Number(samples.median()),
            numbers.join(", ")
        )
    })
}

fn list(f: &mut Formatter<'_>, key: &str, objects: &[String]) -> fmt::Result {
    writeln!(f, "  \"{key}\": [\n    {}\n  ],", objects.join(",\n    "))
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

    #[test]
    fn text_is_escaped_and_no_number_is_null() {
        assert_eq!(Text("a\"b\\c\n").to_string(), r#""a\"b\\c\u000a""#);
        assert_eq!(Number(Some(0.25)).to_string(), "0.2500");
        assert_eq!(Number(Some(f64::INFINITY)).to_string(), "null");
        assert_eq!(Number(None).to_string(), "null");
    }

    #[test]
    fn an_object_needs_a_sample() {
        assert_eq!(object("n", "w", "read", &Samples::default()), None);
        let one: Samples = [1.5].into_iter().collect();
        assert_eq!(
            object("n", "w", "read", &one).unwrap(),
            r#"{"name": "n", "work": "w", "operation": "read", "min": 1.5000, "median": 1.5000, "samples": [1.5000]}"#
        );
    }
}
