//! The files that are always there: `config`, `stats`, and the empty `conn`.

#![forbid(unsafe_code)]

use std::sync::Arc;

use kernfs::{Dir, Errno, File, Result, ro, rw};

use super::config::Key;
use super::settings::Settings;
use super::sockets::Sockets;
use super::stats;

#[derive(Debug)]
pub(super) struct Tree {
    /// Where connections get their directories.
    pub(super) conn: Dir,
    config: Vec<File>,
}

impl Tree {
    pub(super) fn new(root: &Dir, settings: &Arc<Settings>, sockets: &Sockets) -> Result<Self> {
        let config = root.create_dir("config", 0o755)?;
        let config = Key::ALL.map(|key| setting(&config, settings, key));
        let counters = root.create_dir("stats", 0o755)?;
        for (name, counter, help) in stats::FILES {
            counters.attr(name, ro(|| counter.get()).help(help))?;
        }
        let sockets = sockets.clone();
        let count = ro(move || sockets.count()).help("Connections that are open.");
        counters.attr("connections", count)?;
        Ok(Self {
            conn: root.create_dir("conn", 0o755)?,
            config: config.into_iter().collect::<Result<_>>()?,
        })
    }

    /// Tells pollers that the file was read again.
    pub(super) fn reloaded(&self) {
        self.config.iter().for_each(File::notify);
    }
}

/// A setting as a file. What it refuses is EINVAL, and nothing has changed.
fn setting(dir: &Dir, settings: &Arc<Settings>, key: Key) -> Result<File> {
    let (shown, written) = (Arc::clone(settings), Arc::clone(settings));
    let set = move |text: String| {
        let changed = written.change(|config| config.set(key, &text));
        changed.map_err(|why| Errno::EINVAL.because(format!("{} {why}", key.name())))
    };
    let value = rw(move || shown.read(|c| c.get(key)), set);
    dir.attr(key.name(), value.help(key.help()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echod::config::Config;
    use kernfs::{OpenFlags, Root};

    #[test]
    fn a_setting_is_written_at_run_time_and_nonsense_changes_nothing() {
        let root = Root::new();
        let settings = Arc::new(Settings::new(Config::default()));
        Tree::new(&root, &settings, &Sockets::default()).unwrap();
        let write = |name: &str, text: &str| {
            let file = root.walk(format!("config/{name}")).unwrap();
            let open = file.as_file().unwrap().open(OpenFlags::WRITE).unwrap();
            open.write_at(text.as_bytes(), 0).map_err(|e| e.errno())
        };
        assert_eq!(write("max_connections", "7\n"), Ok(2));
        assert_eq!(write("greeting", "good day\n"), Ok(9));
        let before = settings.read(Clone::clone);
        assert_eq!((before.max_connections, &*before.greeting), (7, "good day"));
        for (name, text) in [
            ("max_connections", "many"),
            ("max_connections", "100001"),
            ("idle_ms", "0"),
            ("greeting", "two\nlines"),
        ] {
            assert_eq!(write(name, text), Err(Errno::EINVAL), "{name} {text}");
        }
        assert_eq!(settings.read(Clone::clone), before);
    }
}
