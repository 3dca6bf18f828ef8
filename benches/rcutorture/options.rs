//! The command line of `rcutorture`.

use std::ffi::OsString;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use benches::settings::Settings;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Tortures each flavor of urcu as the kernel's rcutorture does the kernel's.

usage: cargo run --release -p benches --bin rcutorture [-- OPTIONS]

  --seconds N            how long each flavor is tortured (10); a minute more where
                         too little has run by then
  --flavor LIST          names with commas between them, or all (all):
                         FLAVORS
                         and the two that test the test: busted, which must
                         fail, and trivial, which must pass; all runs them too
  --readers N            (2 for each CPU)
  --writers N            update, and look what readers hold (2)
  --fake N               only wait for grace periods (4)
  --read-exit N          threads at a time that read once and end (16; 0: none)
  --barrier-callbacks N  threads that queue for the barrier test (4; 0: none)
  --progress N           seconds from one test of forward progress to the next:
                         a callback that queues itself, a flood (4; 0: none)
  --stutter N            seconds from one pause to the next, in which all that
                         was removed must come home (5; 0: none)
  --signals on|off       readers in SIGALRM handlers (on)
  --forks on|off         children that must be able to go on (off)
  --stall N              milliseconds that a section is held now and then, until
                         the stall report comes (0: none)
  --hooks on|off         time lost at random inside urcu (off); on needs
                         --features torture before the --
  --seed N               for all random choices (the time)
  --stat N               seconds from one report to the next (10)
  --help                 this text

Exit status: 0 success; 1 failure, something was seen that must not be; 2 nothing
was shown, because too little ran or the command line is wrong; 3 grace periods
stopped. The last line says which.
";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) seconds: u64,
    /// Empty: all.
    pub(crate) flavors: Vec<String>,
    pub(crate) readers: u64,
    pub(crate) writers: u64,
    pub(crate) fake: u64,
    pub(crate) read_exit: u64,
    pub(crate) barrier_callbacks: u64,
    pub(crate) progress: u64,
    pub(crate) stutter: u64,
    pub(crate) signals: bool,
    pub(crate) forks: bool,
    pub(crate) stall_ms: u64,
    pub(crate) hooks: bool,
    pub(crate) seed: u64,
    pub(crate) stat: u64,
    pub(crate) help: bool,
}

impl Default for Options {
    fn default() -> Self {
        let cpus = thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            seconds: 10,
            flavors: Vec::new(),
            readers: 2 * cpus,
            writers: 2,
            fake: 4,
            read_exit: 16,
            barrier_callbacks: 4,
            progress: 4,
            stutter: 5,
            signals: true,
            forks: false,
            stall_ms: 0,
            hooks: false,
            seed: now.map_or(0, |since| since.as_micros() as u64),
            stat: 10,
            help: false,
        }
    }
}

impl Options {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut options = Self::default();
        options.help = options.read(arguments)?;
        options.flavors.retain(|name| name != "all");
        if options.readers == 0 || options.writers == 0 || options.stat == 0 {
            return Err("--readers, --writers and --stat want at least 1".to_owned());
        }
        Ok(options)
    }

    /// The command line that means the same, but for one flavor.
    pub(crate) fn arguments_for(&self, flavor: &str) -> Vec<String> {
        let mut copy = self.clone();
        let mut arguments = vec!["--flavor".to_owned(), flavor.to_owned()];
        for (name, value) in copy.numbers() {
            arguments.extend([name.to_owned(), value.to_string()]);
        }
        for (name, value) in copy.switches() {
            arguments.extend([
                name.to_owned(),
                if *value { "on" } else { "off" }.to_owned(),
            ]);
        }
        arguments
    }

    /// How long each flavor is tortured at least.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// How long a section is held until the report comes.
    pub(crate) fn stall(&self) -> Duration {
        Duration::from_millis(self.stall_ms)
    }
}

impl Settings for Options {
    fn numbers(&mut self) -> Vec<(&'static str, &mut u64)> {
        vec![
            ("--seconds", &mut self.seconds),
            ("--readers", &mut self.readers),
            ("--writers", &mut self.writers),
            ("--fake", &mut self.fake),
            ("--read-exit", &mut self.read_exit),
            ("--barrier-callbacks", &mut self.barrier_callbacks),
            ("--progress", &mut self.progress),
            ("--stutter", &mut self.stutter),
            ("--stall", &mut self.stall_ms),
            ("--seed", &mut self.seed),
            ("--stat", &mut self.stat),
        ]
    }

    fn switches(&mut self) -> Vec<(&'static str, &mut bool)> {
        vec![
            ("--signals", &mut self.signals),
            ("--forks", &mut self.forks),
            ("--hooks", &mut self.hooks),
        ]
    }

    fn other(&mut self, name: &str) -> Option<&mut Vec<String>> {
        (name == "--flavor").then_some(&mut self.flavors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_for_one_flavor_mean_the_same() {
        let options =
            parse("--seconds 7 --flavor mb,qsbr --forks on --signals off --stall 300").unwrap();
        assert_eq!(options.flavors, ["mb", "qsbr"]);
        assert!(options.forks && !options.signals && !options.hooks);
        let again = parse(&options.arguments_for("mb").join(" ")).unwrap();
        let one = Options {
            flavors: vec!["mb".to_owned()],
            ..options
        };
        assert_eq!(again, one);
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
        let helped: Vec<_> = HELP
            .lines()
            .filter_map(|line| line.strip_prefix("  --"))
            .collect();
        for name in names.iter().chain(&switches) {
            assert!(
                helped
                    .iter()
                    .any(|line| name[2..] == *line.split(' ').next().unwrap()),
                "{name}"
            );
        }
        assert_eq!(
            helped.len(),
            names.len() + switches.len() + 2,
            "--flavor and --help"
        );
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(parse("--fast 1").unwrap_err().contains("--fast"));
        assert!(parse("--seconds").unwrap_err().contains("value"));
        assert!(parse("--seconds ten").unwrap_err().contains("ten"));
        assert!(parse("--forks yes").unwrap_err().contains("yes"));
        assert!(parse("--readers 0").unwrap_err().contains("--readers"));
    }
}
