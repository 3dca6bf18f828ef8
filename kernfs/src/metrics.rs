//! A subtree as OpenMetrics text, for Prometheus and whatever else collects numbers from a fleet of daemons.

use core::fmt::Write as _;
use std::collections::BTreeMap;

use crate::flags::{Has, OpenFlags};
use crate::node::{Dir, File};

/// A text that is longer is no number.
const LONGEST: usize = 64;

/// What a directory on the way contributes: a part of the name, or a label.
#[derive(Clone, Debug, Default)]
struct Place {
    name: String,
    /// As they stand between the braces.
    labels: String,
    /// Their names.
    keys: Vec<String>,
}

/// The samples of one metric, by their labels.
#[derive(Debug, Default)]
struct Family {
    is_counter: bool,
    help: Option<&'static str>,
    samples: BTreeMap<String, String>,
}

/// A name may have letters, digits and underscores.
fn push_name(out: &mut String, name: &[u8]) {
    if !out.is_empty() {
        out.push('_');
    }
    let clean = name.iter().map(|byte| match byte {
        byte if byte.is_ascii_alphanumeric() => char::from(*byte),
        _ => '_',
    });
    out.extend(clean);
}

impl Place {
    /// The place of directory `name` in this one, whose own name is `above`.
    fn below(&self, above: &[u8], name: &[u8]) -> Self {
        let mut place = self.clone();
        if !name.first().is_some_and(u8::is_ascii_digit) {
            push_name(&mut place.name, name);
            return place;
        }
        let mut key = String::new();
        push_name(&mut key, if above.is_empty() { b"id" } else { above });
        // Names that begin so are the collectors' own.
        if key.starts_with(|first: char| first.is_ascii_digit()) || key.starts_with("__") {
            key.insert_str(0, "dir_");
        }
        let plain = key.clone();
        let mut n = 2;
        while place.keys.contains(&key) {
            key = format!("{plain}_{n}");
            n += 1;
        }
        let separator = if place.labels.is_empty() { "" } else { "," };
        let value = escaped(&String::from_utf8_lossy(name));
        let _ = write!(place.labels, "{separator}{key}=\"{value}\""); // a String takes all
        place.keys.push(key);
        place
    }
}

/// As it stands between quotes, and behind a HELP.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The number that a file shows, as its text, if it is one that everybody may read.
fn number(file: &File) -> Option<String> {
    let has = file.has();
    if !has.contains(Has::SHOW) || has.contains(Has::MAY_BLOCK) || file.mode() & 0o004 == 0 {
        return None;
    }
    let mut bytes = [0; LONGEST];
    let open = file.open(OpenFlags::READ).ok()?;
    // A full buffer may hold a part only.
    let len = open
        .read_at(&mut bytes, 0)
        .ok()
        .filter(|len| *len < LONGEST)?;
    let text = str::from_utf8(&bytes[..len]).ok()?.trim_end();
    // Not "inf" and "nan", which Rust takes for numbers too.
    let is_number = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    (is_number && text.parse::<f64>().is_ok()).then(|| text.to_owned())
}

impl Dir {
    /// The numbers in this directory and below as OpenMetrics text, to be served at `/metrics` as
    /// `application/openmetrics-text; version=1.0.0; charset=utf-8`.
    ///
    /// Each file that shows one number and that everybody may read, as far as modes say it, is a sample. Its metric is
    /// `prefix`, the directories on the way and its own name, with underscores; what a name may not have becomes an
    /// underscore. A directory whose name begins with a digit is no part of the name but a label, called after the
    /// directory above: `conn/7/bytes` is `conn_bytes{conn="7"}`. A name that ends in `_total` makes a counter, if it is not
    /// negative; others are gauges. Of two files that would be the same sample one is shown. What
    /// [`Attr::help`](crate::Attr::help) says of one of a metric's files is its `# HELP`. Left out: files that
    /// [may block](Has::MAY_BLOCK), and those in name spaces.
    ///
    /// Runs the callbacks `open`, `show` and `release` of each file, one after the other; a file whose callback fails, or
    /// that goes meanwhile, is left out. Not inside a callback of the tree. Takes no lock but each file's own.
    ///
    /// ```
    /// use kernfs::{Root, ro};
    ///
    /// let root = Root::new();
    /// root.attr("uptime_seconds", ro(|| 12.5).help("Since the daemon began."))?;
    /// let conn = root.create_dir("conn", 0o755)?;
    /// for id in [7, 8] {
    ///     let dir = conn.create_dir(id.to_string(), 0o755)?;
    ///     dir.attr("bytes_total", ro(move || id * 100))?;
    ///     dir.attr("peer", ro(|| "no number"))?;
    /// }
    /// let text = [
    ///     "# TYPE echod_conn_bytes counter",
    ///     "echod_conn_bytes_total{conn=\"7\"} 700",
    ///     "echod_conn_bytes_total{conn=\"8\"} 800",
    ///     "# TYPE echod_uptime_seconds gauge",
    ///     "# HELP echod_uptime_seconds Since the daemon began.",
    ///     "echod_uptime_seconds 12.5",
    ///     "# EOF",
    /// ];
    /// assert!(root.open_metrics("echod").lines().eq(text));
    /// # Ok::<(), kernfs::Error>(())
    /// ```
    pub fn open_metrics(&self, prefix: &str) -> String {
        let mut families = BTreeMap::<String, Family>::new();
        let mut top = Place::default();
        push_name(&mut top.name, prefix.as_bytes());
        // No recursion: trees may be deeper than stacks.
        let mut dirs = vec![(self.clone(), top)];
        while let Some((dir, place)) = dirs.pop() {
            let above = dir.name();
            for entry in dir.entries() {
                let Some(node) = dir.find(&entry.name).filter(|node| node.is_active()) else {
                    continue;
                };
                if let Some(below) = node.as_dir() {
                    if below.mode() & 0o001 == 0 {
                        continue; // not everybody may go there
                    }
                    dirs.push((below, place.below(&above, &entry.name)));
                } else if let Some(file) = node.as_file()
                    && let Some(number) = number(&file)
                {
                    let mut name = place.name.clone();
                    push_name(&mut name, &entry.name);
                    add(&mut families, &name, &place.labels, number, file.help());
                }
            }
        }
        text(&families)
    }
}

/// Adds a sample, unless there is one of that name and labels, or a metric of that name and another type.
fn add(
    families: &mut BTreeMap<String, Family>,
    name: &str,
    labels: &str,
    number: String,
    help: Option<&'static str>,
) {
    let digit = name.starts_with(|first: char| first.is_ascii_digit());
    let name = format!("{}{name}", if digit { "_" } else { "" });
    let stem = name.strip_suffix("_total");
    let is_counter = stem.is_some();
    // Counters do not go below 0, and have a name.
    if is_counter && (number.starts_with('-') || stem == Some("")) {
        return;
    }
    let family = families.entry(stem.unwrap_or(&name).to_owned());
    let family = family.or_insert_with(|| Family {
        is_counter,
        ..Family::default()
    });
    if family.is_counter == is_counter {
        family.help = family.help.or(help);
        family.samples.entry(labels.to_owned()).or_insert(number);
    }
}

fn text(families: &BTreeMap<String, Family>) -> String {
    let mut out = String::new();
    for (name, family) in families {
        let (kind, suffix) = match family.is_counter {
            true => ("counter", "_total"),
            false => ("gauge", ""),
        };
        let _ = writeln!(out, "# TYPE {name} {kind}");
        if let Some(help) = family.help {
            let _ = writeln!(out, "# HELP {name} {}", escaped(help));
        }
        for (labels, number) in &family.samples {
            let _ = match labels.is_empty() {
                true => writeln!(out, "{name}{suffix} {number}"),
                false => writeln!(out, "{name}{suffix}{{{labels}}} {number}"),
            };
        }
    }
    out.push_str("# EOF\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::ro;
    use crate::root::Root;

    #[test]
    fn what_is_no_number_or_not_for_everybody_is_left_out() {
        let root = Root::new();
        for (name, text) in [
            ("a", "1"),
            ("b", "-2.5e3"),
            ("c", "inf"),
            ("d", "NaN"),
            ("e", "1 2"),
            ("f", ""),
            ("g", "0x10"),
        ] {
            root.attr(name, ro(move || text)).unwrap();
        }
        root.attr("secret", ro(|| 1).mode(0o440)).unwrap();
        let long = "1".repeat(LONGEST + 1);
        root.attr("long", ro(move || long.clone())).unwrap();
        let failing = root.attr("gone", ro(|| 1)).unwrap();
        failing.hide().unwrap();
        let expected = "# TYPE x_a gauge\nx_a 1\n# TYPE x_b gauge\nx_b -2.5e3\n# EOF\n";
        assert_eq!(root.open_metrics("x"), expected);
    }

    #[test]
    fn a_metric_had_no_help_though_one_of_its_files_has() {
        let root = Root::new();
        for (id, help) in [("1", None), ("2", Some("what\n\"it\" is")), ("3", None)] {
            let dir = root.create_dir(id, 0o755).unwrap();
            let attr = ro(|| 1);
            let attr = match help {
                Some(help) => attr.help(help),
                None => attr,
            };
            dir.attr("x", attr).unwrap();
        }
        let text = root.open_metrics("");
        let expected = "# TYPE x gauge\n# HELP x what\\n\\\"it\\\" is\nx{id=\"1\"} 1\n";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn a_file_below_a_closed_directory_was_told_to_everybody() {
        let root = Root::new();
        let closed = root.create_dir("closed", 0o750).unwrap();
        closed.attr("a", ro(|| 1)).unwrap();
        assert_eq!(root.open_metrics("x"), "# EOF\n");
    }

    #[test]
    fn one_label_came_twice() {
        let root = Root::new();
        let mut dir = root.dir();
        for name in ["conn", "7", "conn", "8"] {
            dir = dir.create_dir(name, 0o755).unwrap();
        }
        dir.attr("x", ro(|| 1)).unwrap();
        root.attr("_total", ro(|| 1)).unwrap();
        root.attr("1min", ro(|| 1)).unwrap();
        let expected = "# TYPE _1min gauge\n_1min 1\n\
                        # TYPE conn_conn_x gauge\nconn_conn_x{conn=\"7\",conn_2=\"8\"} 1\n# EOF\n";
        assert_eq!(root.open_metrics(""), expected);
    }

    #[test]
    fn odd_names_are_names_and_no_sample_comes_twice() {
        let root = Root::new();
        let dir = root.create_dir("7\"\\\n", 0o755).unwrap();
        dir.attr("rx-bytes", ro(|| 1)).unwrap();
        dir.attr("rx bytes", ro(|| 1)).unwrap();
        let inner = dir.create_dir("10.0.0.1:80", 0o755).unwrap();
        inner.attr("up", ro(|| 1)).unwrap();
        // A gauge and a counter would be one metric.
        root.attr("hits_total", ro(|| 3)).unwrap();
        root.attr("below_total", ro(|| -3)).unwrap();
        let expected = "# TYPE _9_hits counter\n_9_hits_total 3\n\
                        # TYPE _9_rx_bytes gauge\n_9_rx_bytes{id=\"7\\\"\\\\\\n\"} 1\n\
                        # TYPE _9_up gauge\n\
                        _9_up{id=\"7\\\"\\\\\\n\",dir_7___=\"10.0.0.1:80\"} 1\n# EOF\n";
        assert_eq!(root.open_metrics("9"), expected);
    }
}
