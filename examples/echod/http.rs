//! As much HTTP/1.1 as a collector of metrics needs: `GET /metrics`, one request for each connection.

#![forbid(unsafe_code)]

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use kernfs::Dir;

use super::stats::SCRAPES;

/// Connections at a time.
pub(super) const LIMIT: usize = 16;
const LARGEST_HEAD: usize = 8192;
/// For the whole request, however slowly its bytes come; and for each write of the answer.
const PATIENCE: Duration = Duration::from_secs(30);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Reads until a moment comes.
struct Until<'a>(&'a TcpStream, Instant);

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.1.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.0.set_read_timeout(Some(left))?;
        self.0.read(buffer)
    }
}

/// Answers one request. Errors are the other side's: it has gone, or says nothing.
pub(super) fn answer(mut stream: &TcpStream, root: &Dir) -> io::Result<()> {
    let mut reader = Until(stream, Instant::now() + PATIENCE);
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = head(&mut reader)?;
    let (status, more) = match head.as_deref().map(request) {
        None => ("431 Request Header Fields Too Large", ""),
        Some(None) => ("400 Bad Request", ""),
        Some(Some(("GET" | "HEAD", "/metrics"))) => ("200 OK", ""),
        Some(Some(("GET" | "HEAD", _))) => ("404 Not Found", ""),
        Some(Some(_)) => ("405 Method Not Allowed", "Allow: GET, HEAD\r\n"),
    };
    let (kind, body) = match status {
        "200 OK" => {
            SCRAPES.add(1);
            (OPEN_METRICS, root.open_metrics("echod"))
        }
        _ => ("text/plain; charset=utf-8", format!("{status}\n")),
    };
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n",
        body.len()
    );
    if !head.is_some_and(|head| head.starts_with(b"HEAD ")) {
        text += &body;
    }
    stream.write_all(text.as_bytes())?;
    // What was not read would make the kernel reset the connection, and take the answer back.
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut reader.take(LARGEST_HEAD as u64 * 8), &mut io::sink())?;
    Ok(())
}

/// All up to the empty line; `None` if that does not come in time.
fn head(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while head.len() < LARGEST_HEAD {
        match reader.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => head.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// Method and path of a request, without what follows a question mark.
fn request(head: &[u8]) -> Option<(&str, &str)> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_http = version.starts_with("HTTP/1.") && words.next().is_none();
    let path = target.split('?').next().filter(|path| !path.is_empty())?;
    (is_http && !method.is_empty()).then_some((method, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_has_three_words() {
        let of = |line: &str| request(line.as_bytes()).map(|(m, p)| format!("{m} {p}"));
        assert_eq!(
            of("GET /metrics?x=1 HTTP/1.1\r\nHost: a"),
            Some("GET /metrics".to_owned())
        );
        for nonsense in [
            "",
            "GET",
            "GET /",
            "GET  HTTP/1.1",
            "GET / FTP/1.1",
            "GET / HTTP/1.1 x",
        ] {
            assert_eq!(of(nonsense), None, "{nonsense}");
        }
        assert_eq!(request(b"GET /\xff HTTP/1.1\r\n"), None);
    }

    #[test]
    fn a_head_ends_with_an_empty_line_or_is_too_large() {
        let read = |bytes: &[u8]| head(&mut &*bytes.to_vec());
        assert!(read(b"GET / HTTP/1.1\r\n\r\n").unwrap().is_some());
        assert!(read(b"GET / HTTP/1.1\r\n").is_err());
        assert!(read(&[b'x'; LARGEST_HEAD]).unwrap().is_none());
    }
}
