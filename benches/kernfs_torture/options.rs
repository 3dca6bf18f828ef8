//! The command line of `kernfs_torture`.

use std::ffi::OsString;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use benches::settings::Settings;

use crate::controls::Broken;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Tortures a mounted tree: hostile client processes, and an owner that changes it.

usage: cargo run --release -p benches --bin kernfs_torture [-- OPTIONS]

  --seconds N        how long (10)
  --clients N        processes that make random system calls; of more than two the
                     last is another user, where there may be one (8)
  --stuck on|off     callbacks that block, now and then in every thread there may
                     be (off)
  --victims on|off   one client more, which is killed in the middle of something,
                     again and again (on)
  --inotify on|off   inotify hears of notifications (on)
  --seed N           for all random choices (the time)
  --stat N           seconds from one report to the next (10)
  --patience N       seconds after which a call that does not return is a hang (60)
  --broken A,B,..    breaks the daemon on purpose: torn, errno, node, file,
                     descriptor, hang (nothing)
  --help             this text

Exit status: 0 success, or SKIP where nothing can be mounted; 1 failure, something
was seen that must not be; 2 nothing was shown, because too little ran or the
command line is wrong; 3 something hangs. The last line says which.
";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) seconds: u64,
    pub(crate) clients: u64,
    pub(crate) stuck: bool,
    pub(crate) victims: bool,
    pub(crate) inotify: bool,
    pub(crate) seed: u64,
    pub(crate) stat: u64,
    pub(crate) patience: u64,
    pub(crate) broken: Vec<String>,
    pub(crate) help: bool,
}

impl Default for Options {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            seconds: 10,
            clients: 8,
            stuck: false,
            victims: true,
            inotify: true,
            seed: now.map_or(0, |since| since.as_micros() as u64),
            stat: 10,
            patience: 60,
            broken: Vec::new(),
            help: false,
        }
    }
}

impl Options {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self::default();
        options.help = options.read(arguments)?;
        if options.clients == 0 || options.stat == 0 {
            return Err("--clients and --stat want at least 1".to_owned());
        }
        for name in &options.broken {
            Broken::named(name)?;
        }
        Ok(options)
    }

    /// Whether the daemon has this fault.
    pub(crate) fn is_broken(&self, fault: Broken) -> bool {
        let named = |name: &String| Broken::named(name) == Ok(fault);
        self.broken.iter().any(named)
    }

    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// One call for so long is a hang: callbacks block for less than a second.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

impl Settings for Options {
    fn numbers(&mut self) -> Vec<(&'static str, &mut u64)> {
        vec![
            ("--seconds", &mut self.seconds),
            ("--clients", &mut self.clients),
            ("--seed", &mut self.seed),
            ("--stat", &mut self.stat),
            ("--patience", &mut self.patience),
        ]
    }

    fn switches(&mut self) -> Vec<(&'static str, &mut bool)> {
        vec![
            ("--stuck", &mut self.stuck),
            ("--victims", &mut self.victims),
            ("--inotify", &mut self.inotify),
        ]
    }

    fn other(&mut self, name: &str) -> Option<&mut Vec<String>> {
        (name == "--broken").then_some(&mut self.broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_may_stand_in_any_order() {
        let options = parse("--stuck on --seconds 7 --victims off --seed 3 --clients 2").unwrap();
        assert!(options.stuck && !options.victims && options.inotify);
        assert_eq!((options.seconds, options.seed, options.clients), (7, 3, 2));
    }

    #[test]
    fn every_option_of_the_help_is_understood() {
        let mut options = Options::default();
        let names: Vec<_> = options
            .numbers()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let switches: Vec<_> = options
            .switches()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let helped = HELP.lines().filter_map(|line| line.strip_prefix("  --"));
        let helped: Vec<_> = helped
            .map(|line| format!("--{}", line.split(' ').next().unwrap()))
            .collect();
        for name in names.iter().chain(&switches) {
            assert!(helped.iter().any(|helped| helped == name), "{name}");
        }
        // --help and --broken
        assert_eq!(helped.len(), names.len() + switches.len() + 2);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(parse("--fast 1").unwrap_err().contains("--fast"));
        assert!(parse("--seconds").unwrap_err().contains("value"));
        assert!(parse("--seconds ten").unwrap_err().contains("ten"));
        assert!(parse("--stuck yes").unwrap_err().contains("yes"));
        assert!(parse("--clients 0").unwrap_err().contains("--clients"));
        assert!(parse("--broken glass").unwrap_err().contains("glass"));
    }
}
