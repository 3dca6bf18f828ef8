//! The settings: their names, what they may be, and the file of `KEY=VALUE` lines.

#![forbid(unsafe_code)]

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

const CONNECTIONS: RangeInclusive<u32> = 0..=100_000;
const IDLE_MS: RangeInclusive<u32> = 1..=86_400_000;
const LONGEST_GREETING: usize = 200;

/// One setting: a file in `config`, and the left side of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    MaxConnections,
    IdleMs,
    Greeting,
}

impl Key {
    pub(super) const ALL: [Self; 3] = [Self::MaxConnections, Self::IdleMs, Self::Greeting];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::MaxConnections => "max_connections",
            Self::IdleMs => "idle_ms",
            Self::Greeting => "greeting",
        }
    }

    /// What it sets, for who reads the metrics.
    pub(super) const fn help(self) -> &'static str {
        match self {
            Self::MaxConnections => "Most connections at a time.",
            Self::IdleMs => "Milliseconds after which a silent connection is closed.",
            Self::Greeting => "What clients are greeted with.",
        }
    }
}

/// One version of all settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    pub(super) max_connections: u32,
    idle_ms: u32,
    /// The first line that a client gets; empty: none.
    pub(super) greeting: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 100,
            idle_ms: 30_000,
            greeting: "hello".to_owned(),
        }
    }
}

impl Config {
    /// How long a client may say nothing.
    pub(super) fn idle(&self) -> Duration {
        Duration::from_millis(self.idle_ms.into())
    }

    pub(super) fn get(&self, key: Key) -> String {
        match key {
            Key::MaxConnections => self.max_connections.to_string(),
            Key::IdleMs => self.idle_ms.to_string(),
            Key::Greeting => self.greeting.clone(),
        }
    }

    /// The same check for whoever sets it, by a file or by a write.
    ///
    /// # Errors
    /// What would be right; nothing was changed.
    pub(super) fn set(&mut self, key: Key, text: &str) -> Result<(), String> {
        match key {
            Key::MaxConnections => self.max_connections = number(text, &CONNECTIONS)?,
            Key::IdleMs => self.idle_ms = number(text, &IDLE_MS)?,
            Key::Greeting if text.len() > LONGEST_GREETING || text.contains(char::is_control) => {
                return Err(format!(
                    "wants one line of at most {LONGEST_GREETING} bytes"
                ));
            }
            Key::Greeting => text.clone_into(&mut self.greeting),
        }
        Ok(())
    }
}

fn number(text: &str, range: &RangeInclusive<u32>) -> Result<u32, String> {
    let number = text.parse().ok().filter(|n| range.contains(n));
    number.ok_or_else(|| {
        let (low, high) = (range.start(), range.end());
        format!("wants a number from {low} to {high}, not {text:?}")
    })
}

impl FromStr for Config {
    type Err = String;

    /// A whole file: what it does not name has its default. Empty lines and those that begin with `#` say nothing.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut config = Self::default();
        let mut seen = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why: &str| format!("line {}: {why}", n + 1);
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| wrong(&format!("wants KEY=VALUE, not {line:?}")))?;
            let (name, value) = (name.trim_end(), value.trim_start());
            let key = Key::ALL.into_iter().find(|key| key.name() == name);
            let key = key.ok_or_else(|| wrong(&format!("no setting is called {name:?}")))?;
            if seen.contains(&key) {
                return Err(wrong(&format!("{name} comes twice")));
            }
            seen.push(key);
            config
                .set(key, value)
                .map_err(|why| wrong(&format!("{name} {why}")))?;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_whole_configuration() {
        assert_eq!("".parse(), Ok(Config::default()));
        let text = "# limits\n max_connections = 7\n\nidle_ms=5\r\ngreeting=a=b # c";
        let config: Config = text.parse().unwrap();
        let shown = Key::ALL.map(|key| config.get(key));
        assert_eq!(shown, ["7", "5", "a=b # c"]);
        assert_eq!("greeting=".parse::<Config>().unwrap().greeting, "");
    }

    #[test]
    fn nonsense_is_named_with_its_line() {
        for (text, names) in [
            ("\nfast", "line 2: wants KEY=VALUE, not \"fast\""),
            ("speed=9", "line 1: no setting is called \"speed\""),
            ("idle_ms=0", "line 1: idle_ms wants a number from 1 to"),
            ("max_connections=-1", "max_connections wants a number"),
            ("idle_ms=1\nidle_ms=1", "line 2: idle_ms comes twice"),
            ("greeting=\u{7}", "greeting wants one line"),
            (
                &format!("greeting={}", "x".repeat(201)),
                "at most 200 bytes",
            ),
        ] {
            let message = text.parse::<Config>().expect_err(text);
            assert!(message.contains(names), "{text}: {message}");
        }
    }
}
