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
    ///
    /// # Errors
    /// The socket, open as it was: who counts the refused does it before the client can see its end.
    pub(super) fn admit(&self, stream: TcpStream, limit: usize) -> Result<Held, TcpStream> {
        let mut table = self.lock();
        if table.closed || table.open.len() >= limit {
            return Err(stream);
        }
        table.last += 1;
        let (id, stream) = (table.last, Arc::new(stream));
        table.open.insert(id, Arc::clone(&stream));
        let all = self.clone();
        Ok(Held { id, stream, all })
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
    use std::io::{ErrorKind, Read as _};
    use std::net::TcpListener;

    #[test]
    fn a_place_is_free_again_when_its_holder_is_dropped_and_none_after_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let sockets = Sockets::default();
        let first = sockets.admit(connect(), 1).unwrap();
        assert!(sockets.admit(connect(), 1).is_err());
        drop(first);
        let second = sockets.admit(connect(), 1).unwrap();
        assert_eq!((second.id, sockets.count()), (2, 1));
        sockets.close();
        assert_eq!((&*second.stream).read(&mut [0]).unwrap(), 0);
        assert!(sockets.admit(connect(), 9).is_err());
        drop(second);
        assert_eq!(sockets.count(), 0);
    }

    #[test]
    fn a_client_saw_that_it_was_refused_before_that_was_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let refused = Sockets::default().admit(listener.accept().unwrap().0, 0);
        let seen = client.read(&mut [0]).map_err(|e| e.kind());
        assert_eq!(seen, Err(ErrorKind::WouldBlock));
        drop(refused);
        client.set_nonblocking(false).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}
