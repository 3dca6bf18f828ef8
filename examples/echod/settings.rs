//! The configuration in force: connections read it under RCU, writes and reloads replace it as a whole.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use urcu::{Memb, RcuLocked, Writer};

use super::config::Config;

/// A larger file is none of ours.
const LARGEST_FILE: u64 = 65_536;

#[derive(Debug)]
pub(super) struct Settings {
    current: RcuLocked<Config>,
    /// Who changes one setting keeps the others: one at a time.
    writer: Mutex<Writer>,
}

impl Settings {
    pub(super) fn new(config: Config) -> Self {
        let writer = Writer::new();
        Self {
            current: RcuLocked::new(&writer, config),
            writer: Mutex::new(writer),
        }
    }

    /// Shows `look` one version. It must not block: a reload frees the old version when all have looked.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Config) -> T) -> T {
        let guard = Memb::read_lock();
        look(self.current.dereference(&guard).expect("never taken out"))
    }

    /// Publishes a copy that `edit` has changed, if it did not refuse.
    pub(super) fn change<E>(
        &self,
        edit: impl FnOnce(&mut Config) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = self.current.get(&writer).cloned().expect("never taken out");
        edit(&mut new)?;
        self.current.assign(&mut writer, new);
        Ok(())
    }

    /// Replaces everything by what the file says.
    ///
    /// # Errors
    /// As [`load`]; the old version stays.
    pub(super) fn reload(&self, path: &Path) -> Result<(), String> {
        let new = load(path)?;
        self.change(|config| {
            *config = new;
            Ok(())
        })
    }
}

/// Reads a configuration file.
///
/// # Errors
/// A line that names the file and what is wrong with it.
pub(super) fn load(path: &Path) -> Result<Config, String> {
    let name = path.display();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text))
        .map_err(|e| format!("{name}: {e}"))?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(format!("{name}: larger than {LARGEST_FILE} bytes"));
    }
    text.parse().map_err(|why| format!("{name}: {why}"))
}
