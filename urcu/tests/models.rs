//! The formal models in `models`: every one has a stored verdict, for the very text that it has now, and
//! whoever names a model names one that exists.
//!
//! The verdicts are herd7's and spin's; `models/check` runs them and writes `models/verdicts.txt`. This test
//! needs neither: a model that was changed without a new run has another digest than the stored one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A line of `verdicts.txt`.
#[derive(Clone)]
struct Verdict {
    /// Of the LKMM, or of spin.
    verdict: String,
    tso: String,
    digest: String,
    /// What the model shows.
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files of `models` with this extension, by name.
fn files(extension: &str) -> BTreeMap<String, String> {
    let paths = fs::read_dir(root().join("models")).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|ext| ext == extension))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            (name.to_owned(), read(&path))
        })
        .collect()
}

fn verdicts() -> BTreeMap<String, Verdict> {
    let mut verdicts = BTreeMap::new();
    for line in read(&root().join("models/verdicts.txt")).lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut rest = line;
        let mut column = || {
            let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            rest = tail.trim_start();
            word.to_owned()
        };
        let name = column();
        let verdict = Verdict {
            verdict: column(),
            tso: column(),
            digest: column(),
            text: rest.to_owned(),
        };
        assert!(
            verdicts.insert(name, verdict).is_none(),
            "two verdicts: {line}"
        );
    }
    verdicts
}

/// FNV-1a, 64 bits. Not against forgery, against forgetting.
fn digest(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The verdicts that a file's header gives, by what follows the file's name in `verdicts.txt`.
fn results(text: &str) -> Vec<(String, &str)> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(" * Result"));
    lines
        .map(|line| {
            let (defines, result) = line.split_once(": ").expect("Result: ...");
            let variant = defines.strip_prefix(" with ").unwrap_or("");
            let variant = variant
                .split_whitespace()
                .map(|define| format!("+{define}"));
            (variant.collect(), result)
        })
        .collect()
}

/// What is wrong with a file and its lines in `verdicts`, which are taken out.
fn faults(file: &str, text: &str, verdicts: &mut BTreeMap<String, Verdict>) -> Vec<String> {
    let mut faults = Vec::new();
    let litmus = file.strip_suffix(".litmus");
    if let Some(name) = litmus
        && !text.starts_with(&format!("C {name}\n"))
    {
        faults.push(format!("{file} has another name inside"));
    }
    let (known, known_tso): (&[_], &[_]) = match litmus {
        Some(_) => (&["Never", "Sometimes"], &["Never", "Sometimes"]),
        None => (&["holds", "deadlock"], &["-"]),
    };
    let results = results(text);
    if results.is_empty() {
        faults.push(format!("{file} names no result"));
    }
    for (variant, result) in results {
        let name = format!("{}{variant}", litmus.unwrap_or(file));
        let Some(stored) = verdicts.remove(&name) else {
            faults.push(format!("{name} has no verdict"));
            continue;
        };
        if !known.contains(&result) || !known_tso.contains(&stored.tso.as_str()) {
            faults.push(format!("{name}: no such verdict"));
        }
        if stored.verdict != result {
            faults.push(format!(
                "{name}: {} stored, {result} inside",
                stored.verdict
            ));
        }
        if stored.digest != digest(text) {
            faults.push(format!("{name} was changed: run models/check --write"));
        }
        if !text.contains(&format!("\n * {}\n", stored.text)) {
            faults.push(format!("{name}: the text differs"));
        }
    }
    faults
}

#[test]
fn every_model_has_the_verdict_of_its_present_text() {
    let mut verdicts = verdicts();
    let mut found = Vec::new();
    let models: Vec<_> = files("litmus").into_iter().chain(files("pml")).collect();
    assert!(models.len() > 90, "the models were not found");
    for (file, text) in &models {
        found.extend(faults(file, text, &mut verdicts));
    }
    for (file, text) in files("cat") {
        let stored = verdicts.remove(&file);
        if stored.is_none_or(|stored| stored.digest != digest(&text)) {
            found.push(format!("{file} was changed: run models/check --write"));
        }
    }
    found.extend(verdicts.keys().map(|name| format!("{name} has no file")));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_changed_model_is_found() {
    let text = files("litmus").remove("seq-gp.litmus").unwrap();
    let faults_of = |text: &str, change: fn(&mut Verdict)| {
        let mut stored = verdicts()["seq-gp"].clone();
        change(&mut stored);
        let mut verdicts = BTreeMap::from([("seq-gp".to_owned(), stored)]);
        faults("seq-gp.litmus", text, &mut verdicts)
    };
    assert_eq!(faults_of(&text, |_| {}), [""; 0]);
    let changes: [fn(&mut Verdict); 4] = [
        |stored| stored.verdict = "Sometimes".to_owned(),
        |stored| stored.tso = "-".to_owned(),
        |stored| stored.digest.replace_range(..1, "x"),
        |stored| stored.text.clear(),
    ];
    for change in changes {
        assert_eq!(faults_of(&text, change).len(), 1);
    }
    let changed = text.replace("synchronize_rcu", "smp_mb");
    assert_eq!(faults_of(&changed, |_| {}).len(), 1);
    assert_eq!(
        faults("new.litmus", "C old\n", &mut BTreeMap::new()).len(),
        2
    );
}

/// The models that a text names: what follows `models/`, what follows the word in backticks, and what stands
/// in backticks or quotes and looks like one.
fn named<'t>(text: &'t str, families: &[&str]) -> Vec<&'t str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let paths = text.match_indices("models/").map(|(at, prefix)| {
        let rest = &text[at + prefix.len()..];
        &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())]
    });
    let mut listed = Vec::new();
    for start in ["model `", "models `"] {
        for (at, _) in text.match_indices(start) {
            let mut words = text[at..].split('`').skip(1);
            while let (Some(name), Some(between)) = (words.next(), words.next()) {
                listed.push(name);
                if ![", ", " and ", ", and "].contains(&between) {
                    break;
                }
            }
        }
    }
    let quoted = text.split(['`', '"']).filter(|word| {
        word.split_once('-')
            .is_some_and(|(family, rest)| families.contains(&family) && rest.chars().all(is_part))
    });
    let named = paths.chain(listed).chain(quoted);
    named.filter(|name| !name.is_empty()).collect()
}

/// All `.rs` and `.md` files below.
fn texts(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, into);
        } else if path
            .extension()
            .is_some_and(|ext| ext == "rs" || ext == "md")
        {
            into.push(path);
        }
    }
}

#[test]
fn whoever_names_a_model_names_one_that_exists() {
    let verdicts = verdicts();
    let exists = |name: &str| {
        verdicts.contains_key(name)
            || ["", ".pml", ".txt"]
                .iter()
                .any(|end| root().join(format!("models/{name}{end}")).exists())
    };
    // The first words of names: `seq`, `coop`. Elsewhere than after "model" only longer names are found.
    let families: Vec<_> = verdicts
        .keys()
        .filter_map(|name| Some(name.split_once('-')?.0))
        .collect();
    assert_eq!(
        named(
            "models/a-b, models/ `seq-gp` seq-no \"U-x\" `u64-y`; models `c`, `d`; model `e` f",
            &families
        ),
        ["a-b", "e", "c", "d", "seq-gp", "U-x"]
    );
    let mut paths = vec![];
    texts(&root().join("src"), &mut paths);
    texts(&root().join("docs"), &mut paths);
    let mut count = 0;
    for path in paths {
        let text = read(&path);
        for name in named(&text, &families) {
            assert!(exists(name), "{} names {name}", path.display());
            count += 1;
        }
    }
    assert!(count > 100, "the names were not found");
}

#[test]
fn the_argument_names_places_that_exist() {
    let argument = read(&root().join("docs/memory-model.md"));
    let mut count = 0;
    for place in argument.split('`') {
        let (file, function) = place.split_once("::").unwrap_or((place, ""));
        if !file.ends_with(".rs") || place.contains(char::is_whitespace) {
            continue;
        }
        let text = read(&root().join("src").join(file));
        let found = function.is_empty()
            || ["(", "<"]
                .iter()
                .any(|end| text.contains(&format!("fn {function}{end}")));
        assert!(found, "{place} does not exist");
        count += 1;
    }
    assert!(count > 30, "the places were not found");
}
