//! What each client is doing at this moment: a file that all write into, and the daemon reads.
//!
//! A client that hangs, or is killed, has said before in what.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::calls::Call;

/// Bytes of a record: how many calls were begun, which is the last one, its object.
const RECORD: usize = 128;
const WORDS: usize = RECORD - 16;

/// The file. Its first record is the daemon's, which tells when it is over.
#[derive(Debug)]
pub(crate) struct Progress(File);

/// What a client was doing when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doing {
    /// How many calls it has begun.
    pub(crate) count: u64,
    /// The last one of them.
    pub(crate) call: String,
}

impl Progress {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map(Self)
    }

    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        File::options().read(true).write(true).open(path).map(Self)
    }

    fn at(client: usize) -> u64 {
        (1 + client) as u64 * RECORD as u64
    }

    /// Client number `client` begins a call.
    pub(crate) fn begins(
        &self,
        client: usize,
        count: u64,
        call: Call,
        what: &[u8],
    ) -> io::Result<()> {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&count.to_ne_bytes());
        record[8..16].copy_from_slice(&(call.number() as u64).to_ne_bytes());
        let len = what.len().min(WORDS);
        record[16..16 + len].copy_from_slice(&what[..len]);
        self.0.write_all_at(&record, Self::at(client))
    }

    /// What a client does.
    pub(crate) fn of(&self, client: usize) -> Doing {
        let mut record = [0; RECORD];
        if self.0.read_exact_at(&mut record, Self::at(client)).is_err() {
            let call = "nothing yet".to_owned();
            return Doing { count: 0, call };
        }
        let number = |at: usize| {
            record[at..]
                .first_chunk()
                .map_or(0, |w| u64::from_ne_bytes(*w))
        };
        let call = Call::from_number(number(8) as usize).map_or("?", Call::name);
        let words = record[16..]
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        Doing {
            count: number(0),
            call: format!("{call} {}", words.escape_ascii()),
        }
    }

    /// Clients are to end.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.0.write_all_at(&[1], 0)
    }

    /// Whether they are.
    pub(crate) fn is_over(&self) -> bool {
        let mut byte = [0];
        self.0.read_at(&mut byte, 0).is_ok_and(|n| n == 1) && byte == [1]
    }
}
