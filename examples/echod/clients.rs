//! Clients of its own, so that a run with an end shows something: two that talk, one that kicks, one that collects.

#![forbid(unsafe_code)]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Scope};
use std::time::Duration;

use kernfs::{Dir, OpenFlags};

use super::server;
use super::stats::WRONG;

/// Lines in one connection.
const LINES: usize = 50;
/// Between two connections of a client: each leaves a port behind that is not free for a minute.
const PAUSE: Duration = Duration::from_millis(5);
const KICK_EVERY: Duration = Duration::from_millis(50);
const COLLECT_EVERY: Duration = Duration::from_millis(100);

/// Where they find the server.
#[derive(Clone, Debug)]
pub(super) struct Clients<'a> {
    pub(super) echo: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) conn: &'a Dir,
    pub(super) over: &'a AtomicBool,
}

impl<'scope> Clients<'scope> {
    /// A thread for each. One that cannot be started is missing, and told.
    pub(super) fn start(&self, scope: &'scope Scope<'scope, '_>) {
        for n in 0..2 {
            self.repeat(scope, PAUSE, move |clients| drop(talk(clients.echo, n)));
        }
        self.repeat(scope, KICK_EVERY, |clients| drop(kick(clients.conn)));
        self.repeat(scope, COLLECT_EVERY, |clients| {
            drop(collect(clients.metrics));
        });
    }

    /// Until the end. That a connection breaks is no fault: it may have been kicked, or refused.
    fn repeat(
        &self,
        scope: &'scope Scope<'scope, '_>,
        pause: Duration,
        work: impl Fn(&Self) + Send + 'scope,
    ) {
        let clients = self.clone();
        server::spawn(scope, "client", move || {
            while !clients.over.load(Relaxed) {
                work(&clients);
                thread::sleep(pause);
            }
        });
    }
}

/// Lines that differ, each of which must come back; before the first of them there may be a greeting.
fn talk(address: SocketAddr, client: usize) -> io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    stream.get_ref().set_nodelay(true)?;
    for n in 0..LINES {
        let line = format!("client {client} line {n} {}\n", "x".repeat(n * 37 % 1000));
        stream.get_mut().write_all(line.as_bytes())?;
        let mut back = read_line(&mut stream)?;
        if n == 0 && back != line {
            back = read_line(&mut stream)?;
        }
        if back != line {
            WRONG.add(1);
        }
    }
    Ok(())
}

fn read_line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    match line.ends_with('\n') {
        true => Ok(line),
        false => Err(io::ErrorKind::UnexpectedEof.into()), // kicked, maybe within a line
    }
}

/// Closes the connection whose directory stands first.
fn kick(conn: &Dir) -> kernfs::Result<()> {
    let Some(first) = conn.entries().next() else {
        return Ok(());
    };
    let path = [&first.name, &b"/kick"[..]].concat();
    if let Some(file) = conn.walk(path).and_then(|node| node.as_file()) {
        file.open(OpenFlags::WRITE)?.write_at(b"1\n", 0)?;
    }
    Ok(())
}

fn collect(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: echod\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    // Half an answer: the end has come.
    let cut = io::ErrorKind::UnexpectedEof;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(cut)?;
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("Content-Length: "));
    if length.and_then(|length| length.parse().ok()) != Some(body.len()) {
        return Err(cut.into());
    }
    if !head.starts_with("HTTP/1.1 200 OK\r\n") || !body.ends_with("# EOF\n") {
        WRONG.add(1);
    }
    Ok(())
}
