//! What a client counts: each answer of each call, and what must not be. Sent to the daemon as lines at the end.

use std::collections::BTreeMap;

use crate::allowed;
use crate::calls::Call;
use crate::errno;

/// So many faults are told by one client; then it ends.
const FAULTS: usize = 4;

/// The counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// By call and errno, 0 for success.
    pub(crate) answers: BTreeMap<(Call, i32), u64>,
    /// How many texts were read from beginning to end, and looked at.
    pub(crate) texts: u64,
    pub(crate) faults: Vec<String>,
}

impl Tally {
    /// An answer. `superuser`: of one whom no mode stops.
    pub(crate) fn count(&mut self, call: Call, errno: i32, superuser: bool, what: &[u8]) {
        let count = self.answers.entry((call, errno)).or_default();
        *count += 1;
        if *count == 1 && !allowed::is_allowed(call, errno, superuser) {
            let (name, errno) = (call.name(), errno::name(errno));
            self.fault(format!("{name} {}: {errno}", what.escape_ascii()));
        }
    }

    /// Something that must not be.
    pub(crate) fn fault(&mut self, words: String) {
        self.faults.push(words);
    }

    pub(crate) fn has_seen_enough(&self) -> bool {
        self.faults.len() >= FAULTS
    }

    pub(crate) fn to_lines(&self) -> String {
        let mut lines = format!("texts {}\n", self.texts);
        for ((call, errno), count) in &self.answers {
            lines += &format!("answer {} {errno} {count}\n", call.number());
        }
        for fault in &self.faults {
            lines += &format!("fault {fault}\n");
        }
        lines + "end\n"
    }

    /// `None`: that is not all of what a client has to say.
    pub(crate) fn from_lines(lines: &str) -> Option<Self> {
        let mut tally = Self::default();
        for line in lines.lines() {
            let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
            match kind {
                "texts" => tally.texts = rest.parse().ok()?,
                "answer" => {
                    let numbers: Option<Vec<i64>> =
                        rest.split(' ').map(|number| number.parse().ok()).collect();
                    let [call, errno, count] = numbers?[..].try_into().ok()?;
                    let call = Call::from_number(call as usize)?;
                    tally.answers.insert((call, errno as i32), count as u64);
                }
                "fault" => tally.faults.push(rest.to_owned()),
                "end" => return Some(tally),
                _ => return None,
            }
        }
        None
    }

    /// Adds what another one has counted.
    pub(crate) fn add(&mut self, other: Self) {
        for (answer, count) in other.answers {
            *self.answers.entry(answer).or_default() += count;
        }
        self.texts += other.texts;
        self.faults.extend(other.faults);
    }

    /// How many calls of a kind there were.
    pub(crate) fn calls(&self, call: Call) -> u64 {
        let of = self.answers.iter().filter(|((kind, _), _)| *kind == call);
        of.map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_is_what_the_daemon_gets() {
        let mut tally = Tally::default();
        tally.count(Call::Read, libc::ENODEV, true, b"x");
        tally.count(Call::Watch, 0, false, b"x");
        tally.count(Call::Stat, libc::EIO, true, b"a/b");
        tally.texts = 3;
        assert_eq!(tally.faults, ["fstatat a/b: EIO"]);
        let lines = tally.to_lines();
        let again = Tally::from_lines(&lines);
        assert_eq!(again.as_ref(), Some(&tally));
        assert_eq!(Tally::from_lines(&lines[..lines.len() - 5]), None, "cut");
        let mut both = again.unwrap();
        both.add(tally);
        assert_eq!(both.calls(Call::Read), 2);
    }
}
