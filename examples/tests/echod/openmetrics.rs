//! A reader of OpenMetrics text that forgives nothing. Only counters and gauges, each with a help, without timestamps.

use std::collections::{BTreeMap, BTreeSet};

/// The samples, by name and labels as they stand in the text.
pub(crate) type Samples = BTreeMap<String, f64>;

pub(crate) fn parse(text: &str) -> Result<Samples, String> {
    let lines = text.strip_suffix("# EOF\n").ok_or("no EOF at the end")?;
    let mut families = BTreeSet::new();
    let mut family: Option<(&str, bool)> = None;
    let mut helped = false;
    let (mut samples, mut identities) = (Samples::new(), BTreeSet::new());
    for line in lines.split_inclusive('\n') {
        let wrong = |why: &str| format!("{why}: {line:?}");
        let line = line.strip_suffix('\n').ok_or_else(|| wrong("cut"))?;
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no kind"))?;
            let is_counter = match kind {
                "counter" => true,
                "gauge" => false,
                _ => return Err(wrong("unknown kind")),
            };
            if !is_name(name) || (is_counter && name.ends_with("_total")) {
                return Err(wrong("no name of a family"));
            }
            if !families.insert(name) {
                return Err(wrong("a family comes twice"));
            }
            family = Some((name, is_counter));
            helped = false;
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            if family.is_none_or(|(of, _)| of != name) || helped || !is_escaped(help) {
                return Err(wrong("no help of this family"));
            }
            helped = true;
            continue;
        }
        if !helped {
            return Err(wrong("a family without help"));
        }
        let (series, value) = line.rsplit_once(' ').ok_or_else(|| wrong("no value"))?;
        let (name, labels) = match series.strip_suffix('}') {
            Some(open) => open.split_once('{').ok_or_else(|| wrong("no brace"))?,
            None => (series, ""),
        };
        let (of, is_counter) = family.ok_or_else(|| wrong("no family"))?;
        let expected = format!("{of}{}", if is_counter { "_total" } else { "" });
        if !is_name(name) || name != expected {
            return Err(wrong("not of this family"));
        }
        let labels = parse_labels(labels).ok_or_else(|| wrong("labels"))?;
        if (series.ends_with('}') && labels.is_empty()) || !identities.insert((name, labels)) {
            return Err(wrong("a sample comes twice, or has an empty list"));
        }
        let value: f64 = value.parse().map_err(|_| wrong("no number"))?;
        if is_counter && (value.is_nan() || value < 0.0) {
            return Err(wrong("no counter's value"));
        }
        samples.insert(series.to_owned(), value);
    }
    Ok(samples)
}

fn is_name(name: &str) -> bool {
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    name.bytes().all(letters) && name.starts_with(|first: char| !first.is_ascii_digit())
}

/// Not empty, and no quote or backslash that is not escaped.
fn is_escaped(text: &str) -> bool {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let fine = match c {
            '"' => false,
            '\\' => matches!(rest.next(), Some('n' | '"' | '\\')),
            _ => true,
        };
        if !fine {
            return false;
        }
    }
    !text.is_empty()
}

/// Names and values with their escapes resolved, in the order of names.
fn parse_labels(mut rest: &str) -> Option<BTreeMap<&str, String>> {
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"")?;
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next()? {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    escaped @ ('"' | '\\') => escaped,
                    _ => return None,
                }),
                (_, '\n') => return None,
                (_, plain) => value.push(plain),
            }
        };
        if !is_name(name) || name.starts_with("__") || labels.insert(name, value).is_some() {
            return None;
        }
        rest = &after[end..];
        if !rest.is_empty() {
            rest = rest.strip_prefix(',').filter(|rest| !rest.is_empty())?;
        }
    }
    Some(labels)
}

#[test]
fn it_reads_what_is_right_and_refuses_what_is_not() {
    let right = "# TYPE a counter\n# HELP a h\na_total 1\na_total{x=\"1\\n\",y=\"}\"} 2\n# TYPE b gauge\n# HELP b h\nb -2.5\n# EOF\n";
    let samples = parse(right).unwrap();
    assert_eq!(samples.len(), 3);
    assert_eq!(samples["a_total"], 1.0);
    for wrong in [
        "",
        "# TYPE a gauge\na 1\n# EOF\n",
        "# TYPE a gauge\n# HELP b h\na 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a \na 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\n# HELP a h\na 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a \"h\"\na 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na 1\n",
        "# TYPE a gauge\n# HELP a h\na 1\n# EOF\nb",
        "a 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na 1\na 2\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na 1\n# TYPE b gauge\n# HELP b h\nb 1\n# TYPE a gauge\n# HELP a h\na{x=\"1\"} 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\nb 1\n# EOF\n",
        "# TYPE a counter\n# HELP a h\na 1\n# EOF\n",
        "# TYPE a counter\n# HELP a h\na_total -1\n# EOF\n",
        "# TYPE 1 gauge\n# HELP 1 h\n1 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\n\na 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na one\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na{x=\"1} 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na{x=\"1\",x=\"2\"} 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na{} 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na{x=\"1\",} 1\n# EOF\n",
        "# TYPE a gauge\n# HELP a h\na 1 # EOF\n",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
