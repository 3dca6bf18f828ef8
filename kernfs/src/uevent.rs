//! News of objects as text, for whoever subscribes. The kernel's uevents, on a socket of this process.

use core::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Errno, Result};
use crate::sys;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "kobject_action")]
pub enum Action {
    /// It is there.
    Add,
    /// It is gone.
    Remove,
    /// It has changed.
    Change,
    /// It has another name or place.
    Move,
    /// It works.
    Online,
    /// It does not.
    Offline,
    /// A driver has it.
    Bind,
    /// No driver has it any more.
    Unbind,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Change => "change",
            Self::Move => "move",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Bind => "bind",
            Self::Unbind => "unbind",
        })
    }
}

/// Longest text of an event.
const LARGEST: usize = 2048;
/// Most variables of an event.
const VARIABLES: usize = 64;

/// A channel that sends each event to all its subscribers. Clones are the same channel.
///
/// An event is "ACTION@PATH", then NUL-terminated variables: ACTION, DEVPATH, SUBSYSTEM, the caller's, and
/// SEQNUM last, which counts the events of the channel. Sending never blocks: a subscriber who does not read
/// misses events, which he sees by a gap in SEQNUM.
///
/// ```
/// use kernfs::{Action, Uevents};
///
/// let uevents = Uevents::new();
/// let subscriber = uevents.subscribe()?;
/// uevents.send(Action::Change, b"/fan0", "cooling", &[("SPEED", "1200")])?;
/// let event = subscriber.recv()?;
/// assert_eq!(event.get("ACTION"), Some("change"));
/// assert_eq!(event.get("SPEED"), Some("1200"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "kobject_uevent")]
pub struct Uevents(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The process that it was made in.
    process: u32,
    channel: Mutex<Channel>,
}

#[derive(Debug, Default)]
struct Channel {
    last: u64,
    subscribers: Vec<OwnedFd>,
}

impl Uevents {
    /// A channel without subscribers.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            process: sys::process(),
            channel: Mutex::default(),
        }))
    }

    fn channel(&self) -> Result<MutexGuard<'_, Channel>> {
        let Shared { process, channel } = &*self.0;
        match *process == sys::process() {
            true => Ok(channel.lock().unwrap_or_else(PoisonError::into_inner)),
            // A thread of the parent may have held it.
            false => Err(Errno::ENOTCONN.because("event in a forked child")),
        }
    }

    /// One subscriber more, who gets what is sent from now on.
    ///
    /// # Errors
    /// EMFILE and the like: no sockets. ENOTCONN: in a forked child.
    pub fn subscribe(&self) -> Result<Subscriber> {
        let (ours, theirs) = sys::packet_pair()?;
        self.channel()?.subscribers.push(ours);
        Ok(Subscriber(theirs.into()))
    }

    /// Sends an event; returns its SEQNUM. Subscribers who are gone are forgotten; that nobody listens, or
    /// that somebody does not read, is no error.
    ///
    /// # Errors
    /// ENOMEM: more than 2048 bytes, or than 64 variables. EINVAL: a variable with a NUL, or without a name,
    /// or a "=" in it, or one that each event has. ENOTCONN: in a forked child. Nothing was sent.
    #[doc(alias = "kobject_uevent_env")]
    pub fn send(
        &self,
        action: Action,
        path: impl AsRef<[u8]>,
        subsystem: &str,
        variables: &[(&str, &str)],
    ) -> Result<u64> {
        let path = String::from_utf8_lossy(path.as_ref());
        let action = action.to_string();
        let given = [("SUBSYSTEM", subsystem), ("DEVPATH", &*path)];
        let own = ["ACTION", "DEVPATH", "SUBSYSTEM", "SEQNUM"];
        let is_own = variables.iter().find(|(name, _)| own.contains(name));
        if let Some((name, _)) = is_own {
            return Err(
                Errno::EINVAL.because(format!("variable {name} of an event is the channel's"))
            );
        }
        for (name, value) in variables.iter().chain(&given) {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                let what = format!("variable {name:?}={value:?} of an event");
                return Err(Errno::EINVAL.because(what));
            }
        }
        let fixed = [
            ("ACTION", &*action),
            ("DEVPATH", &*path),
            ("SUBSYSTEM", subsystem),
        ];
        let mut text = format!("{action}@{path}\0");
        for (name, value) in fixed.iter().chain(variables) {
            text.extend([name, "=", value, "\0"]);
        }
        // The number and the sending are one step: every subscriber sees the numbers grow.
        let mut channel = self.channel()?;
        let number = channel.last + 1;
        text.extend(["SEQNUM=", &number.to_string(), "\0"]);
        let count = fixed.len() + variables.len() + 1;
        if text.len() > LARGEST || count > VARIABLES {
            let what = format!("event of {} bytes and {count} variables", text.len());
            return Err(Errno::ENOMEM.because(what));
        }
        channel.last = number;
        channel.subscribers.retain(|subscriber| {
            match sys::send_packet(subscriber, text.as_bytes()) {
                Ok(()) => true,
                // Anything else is an event that he misses.
                Err(error) => !matches!(
                    error.kind(),
                    io::ErrorKind::BrokenPipe
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::NotConnected
                ),
            }
        });
        Ok(number)
    }
}

impl Default for Uevents {
    fn default() -> Self {
        Self::new()
    }
}

/// Gets the events of a channel. Its descriptor may be polled, and given to another process, which reads one
/// event a read.
#[derive(Debug)]
pub struct Subscriber(
    /// A sequenced-packet socket in truth; std has no type for those, and what is called here is the same.
    UnixDatagram,
);

impl Subscriber {
    /// The next event. Blocks until there is one, unless the socket was made non-blocking.
    ///
    /// # Errors
    /// As recv(2); `UnexpectedEof` when the channel is gone.
    pub fn recv(&self) -> io::Result<Uevent> {
        let mut buffer = vec![0; LARGEST];
        let n = self.0.recv(&mut buffer)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.truncate(n);
        let text = String::from_utf8(buffer);
        Ok(Uevent(text.map_err(|_| io::ErrorKind::InvalidData)?))
    }

    /// Whether [`recv`](Self::recv) waits.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.0.set_nonblocking(nonblocking)
    }
}

impl AsFd for Subscriber {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Subscriber> for OwnedFd {
    fn from(subscriber: Subscriber) -> Self {
        subscriber.0.into()
    }
}

/// One event as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uevent(String);

impl Uevent {
    /// "ACTION@PATH".
    pub fn head(&self) -> &str {
        self.0.split('\0').next().unwrap_or("")
    }

    /// The variables in their order.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .split('\0')
            .skip(1)
            .filter_map(|line| line.split_once('='))
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value)
    }
}
