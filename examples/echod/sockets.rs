//! The open sockets of one server: numbered, limited, and all shut down at its end.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
struct Table {
    last: u64,
    closed: bool,
    open: HashMap<u64, Arc<TcpStream>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sockets(Arc<Mutex<Table>>);

impl Sockets {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// Takes a socket in, unless there are `limit` of them, or this is the end.
    pub(super) fn admit(&self, stream: TcpStream, limit: usize) -> Option<Held> {
        let mut table = self.lock();
        if table.closed || table.open.len() >= limit {
            return None;
        }
        table.last += 1;
        let (id, stream) = (table.last, Arc::new(stream));
        table.open.insert(id, Arc::clone(&stream));
        let all = self.clone();
        Some(Held { id, stream, all })
    }

    /// Wakes whoever reads or writes, and admits nobody any more.
    pub(super) fn close(&self) {
        let mut table = self.lock();
        table.closed = true;
        for stream in table.open.values() {
            // Fails where the other side was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A place in the table, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) id: u64,
    pub(super) stream: Arc<TcpStream>,
    all: Sockets,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.lock().open.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::TcpListener;

    #[test]
    fn a_place_is_free_again_when_its_holder_is_dropped_and_none_after_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let sockets = Sockets::default();
        let first = sockets.admit(connect(), 1).unwrap();
        assert!(sockets.admit(connect(), 1).is_none());
        drop(first);
        let second = sockets.admit(connect(), 1).unwrap();
        assert_eq!((second.id, sockets.count()), (2, 1));
        sockets.close();
        assert_eq!((&*second.stream).read(&mut [0]).unwrap(), 0);
        assert!(sockets.admit(connect(), 9).is_none());
        drop(second);
        assert_eq!(sockets.count(), 0);
    }
}
