//! One connection: the thread that echoes, and its directory `conn/ID` with `peer`, counters and `kick`.

#![forbid(unsafe_code)]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kernfs::{Cx, Dir, Errno, Has, Object, Ops, Result, ro};

use super::complain;
use super::settings::Settings;
use super::sockets::Held;
use super::stats::{BYTES, IDLE, KICKED};

/// What thread and files share. The numbers stand for themselves: Relaxed.
#[derive(Debug)]
struct Conn {
    stream: Arc<TcpStream>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// The file that closes its connection. By `remove_self` one of several writers wins; and since that gives the file's
/// protection up, whoever removes the directory next, the connection's thread, does not wait for this write.
struct Kick(Arc<Conn>);

impl Ops for Kick {
    const HAS: Has = Has::WRITE;
    type Open = ();

    fn open(&self, _: &mut Cx<'_>) -> Result<()> {
        Ok(())
    }

    fn write(&self, cx: &mut Cx<'_>, (): &(), data: &[u8], _: u64) -> Result<usize> {
        if data.trim_ascii() != b"1" {
            return Err(Errno::EINVAL.because("kick wants a 1"));
        }
        if !cx.remove_self()? {
            return Err(Errno::ENODEV.into()); // somebody else was faster
        }
        KICKED.add(1);
        // The thread wakes and ends. Fails if the client has gone already.
        let _ = self.0.stream.shutdown(Shutdown::Both);
        Ok(data.len())
    }
}

/// The directory; dropping it removes it, when nobody is in its callbacks any more.
fn publish(parent: &Dir, id: u64, conn: &Arc<Conn>) -> Result<Object> {
    let object = Object::new(parent, id.to_string())?;
    let peer = conn.stream.peer_addr();
    let peer = peer.map_or_else(|_| "gone".to_owned(), |peer| peer.to_string());
    object.attr("peer", ro(move || peer.clone()))?;
    let shown = Arc::clone(conn);
    let bytes = ro(move || shown.bytes_in.load(Relaxed));
    object.attr("bytes_in_total", bytes.help("Bytes from this client."))?;
    let shown = Arc::clone(conn);
    let bytes = ro(move || shown.bytes_out.load(Relaxed));
    object.attr("bytes_out_total", bytes.help("Bytes to this client."))?;
    object.create_file("kick", 0o200, 4096, Kick(Arc::clone(conn)))?;
    Ok(object)
}

/// A connection from its greeting to its end.
pub(super) fn serve(parent: &Dir, settings: &Settings, held: Held) {
    let conn = Arc::new(Conn {
        stream: Arc::clone(&held.stream),
        bytes_in: AtomicU64::new(0),
        bytes_out: AtomicU64::new(0),
    });
    match publish(parent, held.id, &conn) {
        Ok(object) => {
            echo(&conn, settings);
            drop(object);
        }
        Err(e) => complain(format_args!("connection {} without files: {e}", held.id)),
    }
    // Not the place in the table before the directory: the limit holds for both.
    drop(held);
}

fn echo(conn: &Conn, settings: &Settings) {
    let stream = &*conn.stream;
    // Nothing that can block inside the read section: a copy leaves it.
    let (greeting, mut idle) = settings.read(|c| (c.greeting.clone(), c.idle()));
    let limit = |time| {
        let both = stream.set_read_timeout(Some(time));
        both.and_then(|()| stream.set_write_timeout(Some(time)))
    };
    let send = |bytes: &[u8]| {
        let sent = (&*stream).write_all(bytes);
        sent.inspect(|()| {
            conn.bytes_out.fetch_add(bytes.len() as u64, Relaxed);
        })
    };
    let mut buffer = [0; 16 * 1024];
    let mut result = limit(idle);
    if result.is_ok() && !greeting.is_empty() {
        result = send(format!("{greeting}\n").as_bytes());
    }
    while result.is_ok() {
        result = match (&*stream).read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                conn.bytes_in.fetch_add(n as u64, Relaxed);
                BYTES.add(n);
                send(&buffer[..n])
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(()),
            // A longer time was set meanwhile: it begins now.
            Err(e) if is_timeout(&e) && settings.read(|c| c.idle()) > idle => Ok(()),
            Err(e) => Err(e),
        };
        let now = settings.read(|c| c.idle());
        if result.is_ok() && now != idle {
            idle = now;
            result = limit(idle);
        }
    }
    if result.is_err_and(|e| is_timeout(&e)) {
        IDLE.add(1);
    }
}

/// SO_RCVTIMEO and SO_SNDTIMEO speak like a socket that does not block.
fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::echod::config::Config;
    use crate::echod::sockets::Sockets;
    use kernfs::{OpenFlags, Root};
    use std::net::TcpListener;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn of_two_who_kick_one_is_told_that_he_did_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (root, sockets) = (Root::new(), Sockets::default());
        let (settings, both) = (Settings::new(Config::default()), Barrier::new(2));
        for id in 1..=50 {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let held = sockets.admit(listener.accept().unwrap().0, 1).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| serve(&root, &settings, held));
                client.read_exact(&mut [0; 6]).unwrap(); // the greeting: the files are there
                let kick = root.walk(format!("{id}/kick")).unwrap();
                let open = || kick.as_file().unwrap().open(OpenFlags::WRITE).unwrap();
                let (both, users) = (&both, [open(), open()]);
                let users = users.map(|user| {
                    scope.spawn(move || {
                        both.wait();
                        user.write_at(b"1\n", 0).map_err(|e| e.errno())
                    })
                });
                let mut told = users.map(|user| user.join().unwrap());
                told.sort();
                assert_eq!(told, [Ok(2), Err(Errno::ENODEV)]);
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            });
            assert!(root.find(id.to_string()).is_none());
            assert_eq!(sockets.count(), 0);
        }
    }
}
