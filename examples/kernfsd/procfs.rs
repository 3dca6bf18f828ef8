//! What the sampler reads: `/proc/PID/stat`, see proc_pid_stat(5).
//!
//! One file tells everything, so a record is one read and never half of two moments. A process that ends
//! while it is read is no error; one that `hidepid` hides is one that is not there.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};

const AT_PAGESZ: u64 = 6;
const AT_CLKTCK: u64 = 17;

/// Has no [`ErrorKind`]; the same number on every Linux.
const ESRCH: i32 = 3;

/// A process, as distinct from a later one with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// In clock ticks after boot.
    pub(super) start: u64,
}

/// One reading of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) id: Identity,
    /// Printable ASCII without "/"; see [`escape`].
    pub(super) comm: String,
    pub(super) state: u8,
    pub(super) rss_kb: u64,
    pub(super) threads: u64,
    pub(super) cpu_ms: u64,
}

/// Reads `/proc`; knows the units of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Procfs {
    page_size: u64,
    ticks_per_s: u64,
}

impl Procfs {
    /// # Errors
    /// When there is no usable `/proc`.
    pub(super) fn open() -> io::Result<Self> {
        let auxv = fs::read("/proc/self/auxv")?;
        Ok(Self {
            page_size: auxv_value(&auxv, AT_PAGESZ).unwrap_or(4096),
            ticks_per_s: auxv_value(&auxv, AT_CLKTCK).unwrap_or(100),
        })
    }

    /// The processes that can be seen, in no order.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub(super) fn pids(self) -> io::Result<impl Iterator<Item = u32>> {
        Ok(fs::read_dir("/proc")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
    }

    /// One process, or `None` if it is gone or hidden. `buffer` is scratch space.
    ///
    /// # Errors
    /// All else that may fail, as descriptors that run out: it says nothing about the process.
    pub(super) fn read(self, pid: u32, buffer: &mut Vec<u8>) -> io::Result<Option<Stat>> {
        buffer.clear();
        match File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read_to_end(buffer))
        {
            Ok(_) => Ok(self.parse(pid, buffer)),
            Err(e) if is_gone(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn parse(self, pid: u32, line: &[u8]) -> Option<Stat> {
        // The name may hold spaces and parentheses: it ends with the line's last ")".
        let open = line.iter().position(|&b| b == b'(')?;
        let close = line.iter().rposition(|&b| b == b')')?;
        let comm = line.get(open + 1..close)?;
        let rest = str::from_utf8(line.get(close + 1..)?).ok()?;
        // The manual counts fields from 1, and `rest` begins with number 3.
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(22).collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let count = |number: usize| field(number)?.parse::<u64>().ok();
        Some(Stat {
            id: Identity {
                pid,
                start: count(22)?,
            },
            comm: escape(comm),
            state: *field(3)?.as_bytes().first()?,
            rss_kb: count(24)?.saturating_mul(self.page_size) / 1024,
            threads: count(20)?,
            cpu_ms: count(14)?.saturating_add(count(15)?).saturating_mul(1000) / self.ticks_per_s,
        })
    }
}

/// No such process any more, before its file was opened or after; or `hidepid`.
fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied
    ) || error.raw_os_error() == Some(ESRCH)
}

/// A name that is fit for a file: "/" and what is not printable ASCII become `\ooo`, as in
/// `/proc/mounts`. The kernel has escaped `\` and newline already.
fn escape(comm: &[u8]) -> String {
    let mut name = String::with_capacity(comm.len());
    for &byte in comm {
        match byte {
            b'/' | 0..=0x1f | 0x7f.. => name.push_str(&format!("\\{byte:03o}")),
            _ => name.push(byte.into()),
        }
    }
    name
}

/// An entry of the auxiliary vector: pairs of words, getauxval(3).
fn auxv_value(auxv: &[u8], kind: u64) -> Option<u64> {
    let (words, _) = auxv.as_chunks::<8>();
    words
        .chunks_exact(2)
        .find(|pair| u64::from_ne_bytes(pair[0]) == kind)
        .map(|pair| u64::from_ne_bytes(pair[1]))
        .filter(|&value| value != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNITS: Procfs = Procfs {
        page_size: 4096,
        ticks_per_s: 100,
    };
    const TAIL: &str = "S 6265 6265 3739 0 -1 4194304 98 0 0 0 12 30 0 0 20 0 7 0 297726 3133440 362 \
                        18446744073709551615 94577300897792 94577300917673 140734481389952 0 0 0\n";

    fn named(comm: &[u8]) -> Option<Stat> {
        let line = [b"6315 (", comm, b") ", TAIL.as_bytes()].concat();
        UNITS.parse(6315, &line)
    }

    #[test]
    fn a_real_line() {
        let stat = named(b"cat").unwrap();
        assert_eq!(
            stat,
            Stat {
                id: Identity {
                    pid: 6315,
                    start: 297_726
                },
                comm: "cat".to_owned(),
                state: b'S',
                rss_kb: 1448,
                threads: 7,
                cpu_ms: 420,
            }
        );
    }

    #[test]
    fn names_that_fight_back() {
        for (comm, shown) in [
            (&b"kworker/0:1-events"[..], "kworker\\0570:1-events"),
            (b"Web Content", "Web Content"),
            (b") R 1 (", ") R 1 ("),
            (b"(sd-pam)", "(sd-pam)"),
            (b"a\xffb\t", "a\\377b\\011"),
            (b"back\\134slash", "back\\134slash"),
            (b"..", ".."),
            (b"", ""),
        ] {
            let stat = named(comm).unwrap();
            assert_eq!(stat.comm, shown);
            assert_eq!(stat.threads, 7, "{shown}");
        }
    }

    #[test]
    fn what_is_cut_short_is_no_process() {
        let line = format!("6315 (cat) {TAIL}");
        let enough = line.find("18446744073709551615").unwrap();
        for end in 0..enough - 4 {
            assert_eq!(UNITS.parse(6315, &line.as_bytes()[..end]), None, "{end}");
        }
        assert_eq!(UNITS.parse(1, b"1 )("), None);
        assert_eq!(UNITS.parse(1, b"1 (x) S a b c"), None);
    }

    #[test]
    fn this_very_process() {
        let procfs = Procfs::open().unwrap();
        let me = std::process::id();
        assert!(procfs.pids().unwrap().any(|pid| pid == me));
        let stat = procfs.read(me, &mut Vec::new()).unwrap().unwrap();
        assert!(stat.threads >= 1 && stat.rss_kb > 0, "{stat:?}");
        // Above any pid_max.
        assert_eq!(procfs.read(1 << 30, &mut Vec::new()).unwrap(), None);
    }

    #[test]
    fn auxv_pairs() {
        let words: Vec<u8> = [6_u64, 65_536, 17, 0, 0, 0]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        assert_eq!(auxv_value(&words, AT_PAGESZ), Some(65_536));
        assert_eq!(auxv_value(&words, AT_CLKTCK), None);
        assert_eq!(auxv_value(&words[..7], AT_PAGESZ), None);
    }
}
