//! The machine's processes, as `/proc` shows them. They are looked at only: a group is a list of them here.

use std::fs;

/// A process. Its number alone could be another one's tomorrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub(super) pid: u32,
    start: u64,
}

impl Task {
    /// The process of this number, or that has a thread of this number.
    pub(super) fn find(id: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let leader = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
        let pid = leader.trim().parse().ok()?;
        let start = running_since(pid)?;
        Some(Self { pid, start })
    }

    /// Whether it has not ended yet.
    pub(super) fn is_alive(&self) -> bool {
        running_since(self.pid) == Some(self.start)
    }

    /// The numbers of its threads.
    pub(super) fn threads(&self) -> Vec<u32> {
        numbers(&format!("/proc/{}/task", self.pid))
    }
}

/// All processes.
pub(super) fn all() -> Vec<u32> {
    numbers("/proc")
}

fn numbers(dir: &str) -> Vec<u32> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut numbers: Vec<_> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

/// When a process started. `None`: there is none, or nothing of it but its exit code.
fn running_since(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name, in parentheses, and may have any characters.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_each_of_its_threads() {
        let own = Task::find(std::process::id()).unwrap();
        assert!(own.is_alive() && own.pid == std::process::id());
        let threads = own.threads();
        assert!(threads.contains(&own.pid));
        let me = fs::read_link("/proc/thread-self").unwrap();
        let me = me.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert!(threads.contains(&me) && Task::find(me) == Some(own));
        // Those of other tests may have ended meanwhile.
        let found = |id: &u32| Task::find(*id).is_none_or(|task| task == own);
        assert!(threads.iter().all(found));
        assert!(all().contains(&own.pid));
        assert!(!Task { start: 1, ..own }.is_alive());
        assert_eq!(Task::find(u32::MAX), None);
    }
}
