//! The command line.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser};

use crate::cli;
use crate::mount::MountOn;

/// What `--help` prints.
pub(super) const HELP: &str = "\
echod: a TCP echo server whose connections are directories

usage: echod [options]
  --listen ADDR:PORT    echo there (default 127.0.0.1:0, a free port)
  --metrics ADDR:PORT   GET /metrics there (default 127.0.0.1:0)
  --mount DIR           mount the tree on DIR, an empty directory (default: a fresh temporary one)
  --no-mount            do not mount; everything else runs
  --config FILE         KEY=VALUE lines, read at the start and at SIGHUP; what it does not name
                        gets its default
  --daemon              go to the background; returns when the daemon is ready
  --pidfile FILE        write the process id there, and remove it at the end
  --seconds N           end after N seconds, and talk to itself meanwhile (default 3);
                        0 = serve until SIGTERM or SIGINT
  --help                this text

the tree:
  config/{max_connections,idle_ms,greeting}    write them; FILE has the same names
  stats/{accepted_total,bytes_total,...}       also at /metrics
  conn/ID/{peer,bytes_in_total,bytes_out_total,kick}    write 1 to kick to close it
";

/// What the user wants. All paths are absolute: a daemon works in `/`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) listen: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) mount: MountOn,
    pub(super) config: Option<PathBuf>,
    pub(super) daemon: bool,
    pub(super) pidfile: Option<PathBuf>,
    /// `None`: until a signal comes.
    pub(super) time: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen: free,
            metrics: free,
            mount: MountOn::Fresh,
            config: None,
            daemon: false,
            pidfile: None,
            time: Some(Duration::from_secs(3)),
        }
    }
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Run(Options),
    Help,
}

/// Reads the arguments (without the program's name).
///
/// # Errors
/// One line that names the argument and what would be right.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut options = Options::default();
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Long("listen") => options.listen = address(&mut parser, "--listen")?,
            Arg::Long("metrics") => options.metrics = address(&mut parser, "--metrics")?,
            Arg::Long("mount") => options.mount.dir(&mut parser)?,
            Arg::Long("no-mount") => options.mount.nowhere()?,
            Arg::Long("config") => options.config = Some(path(&mut parser, "--config")?),
            Arg::Long("pidfile") => options.pidfile = Some(path(&mut parser, "--pidfile")?),
            Arg::Long("daemon") => options.daemon = true,
            Arg::Long("seconds") => options.time = cli::time(&mut parser)?,
            Arg::Long(name) => return Err(format!("unknown option --{name}")),
            Arg::Short(name) => return Err(format!("unknown option -{name}")),
            Arg::Value(value) => return Err(format!("unexpected argument {value:?}")),
        }
    }
    Ok(Command::Run(options))
}

fn value(parser: &mut Parser) -> Result<OsString, String> {
    parser.value().map_err(|e| e.to_string())
}

fn address(parser: &mut Parser, option: &str) -> Result<SocketAddr, String> {
    let text = value(parser)?;
    let address = text.to_str().and_then(|text| text.parse().ok());
    address.ok_or_else(|| {
        format!("{option} wants ADDRESS:PORT, as 127.0.0.1:7000 or [::1]:7000, not {text:?}")
    })
}

fn path(parser: &mut Parser, option: &str) -> Result<PathBuf, String> {
    let text = value(parser)?;
    std::path::absolute(&text).map_err(|e| format!("{option} {text:?}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn defaults_and_both_spellings() {
        assert_eq!(of(""), Ok(Command::Run(Options::default())));
        let all = Options {
            listen: SocketAddr::from(([0, 0, 0, 0], 7)),
            metrics: SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 9)),
            mount: MountOn::Nowhere,
            config: Some("/c".into()),
            daemon: true,
            pidfile: Some(std::env::current_dir().unwrap().join("p")),
            time: None,
        };
        let line = "--listen 0.0.0.0:7 --metrics=[::1]:9 --no-mount --config /c --daemon \
                    --pidfile p --seconds 0";
        assert_eq!(of(line), Ok(Command::Run(all)));
        assert_eq!(of("--no-mount --help"), Ok(Command::Help));
    }

    #[test]
    fn nonsense_is_named() {
        for (line, names) in [
            ("--bogus", "unknown option --bogus"),
            ("-x", "unknown option -x"),
            ("dir", "unexpected argument \"dir\""),
            ("--seconds", "--seconds"),
            ("--seconds -1", "--seconds wants a number from 0"),
            ("--listen 7000", "--listen wants ADDRESS:PORT"),
            ("--metrics localhost:1", "--metrics wants ADDRESS:PORT"),
            ("--no-mount --mount /x", "exclude each other"),
            ("--pidfile=", "--pidfile \"\""),
            ("--config", "--config"),
        ] {
            let message = of(line).expect_err(line);
            assert!(message.contains(names), "{line}: {message}");
        }
    }
}
