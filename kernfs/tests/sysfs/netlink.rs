//! Network devices by rtnetlink: made, renamed, put together, removed. As much of it as the tests need.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::FromRawFd as _;

const HEADER: usize = 16;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VETH_PEER: u16 = 1;

/// A connection to the network namespace of the thread that made it.
#[derive(Debug)]
pub(crate) struct Netlink(File);

fn attribute(kind: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len() + 4).expect("short");
    let mut out = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

/// `struct ifinfomsg` of a device that has this index, or none yet.
fn device(index: u32) -> Vec<u8> {
    [0, index, 0, 0].map(u32::to_ne_bytes).concat()
}

fn named(name: &str) -> Vec<u8> {
    attribute(libc::IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat())
}

/// The number of a device in the calling thread's network namespace.
fn index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: a NUL-terminated string that lives over the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

impl Netlink {
    pub(crate) fn new() -> io::Result<Self> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: touches no memory.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, nobody else has it.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    /// Sends a request and waits for its acknowledgement.
    fn request(&self, kind: u16, flags: libc::c_int, body: &[u8]) -> io::Result<()> {
        let flags = u16::try_from(flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK).expect("16 bits");
        let len = u32::try_from(HEADER + body.len()).expect("short");
        let mut message = len.to_ne_bytes().to_vec();
        message.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        message.extend([0; 8]); // sequence number, port
        message.extend_from_slice(body);
        (&self.0).write_all(&message)?;
        let mut answer = [0; 8192];
        let len = (&self.0).read(&mut answer)?;
        // Behind the header of an NLMSG_ERROR is its number, negative, or 0.
        match answer[..len].get(HEADER..HEADER + 4) {
            Some(&[a, b, c, d]) => match i32::from_ne_bytes([a, b, c, d]) {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(-error)),
            },
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn add(&self, kind: &str, name: &str, data: &[u8]) -> io::Result<()> {
        let mut info = attribute(INFO_KIND, kind.as_bytes());
        info.extend_from_slice(data);
        let info = attribute(libc::IFLA_LINKINFO, &info);
        let body = [device(0), named(name), info].concat();
        self.request(
            libc::RTM_NEWLINK,
            libc::NLM_F_CREATE | libc::NLM_F_EXCL,
            &body,
        )
    }

    /// A device of a kind that needs no more than a name: bridge, dummy.
    pub(crate) fn add_link(&self, kind: &str, name: &str) -> io::Result<()> {
        self.add(kind, name, &[])
    }

    /// Two devices, joined.
    pub(crate) fn add_veth(&self, name: &str, peer: &str) -> io::Result<()> {
        let peer = attribute(VETH_PEER, &[device(0), named(peer)].concat());
        self.add("veth", name, &attribute(INFO_DATA, &peer))
    }

    /// Makes a device a port of a bridge.
    pub(crate) fn enslave(&self, name: &str, bridge: &str) -> io::Result<()> {
        let master = attribute(libc::IFLA_MASTER, &index(bridge)?.to_ne_bytes());
        self.request(
            libc::RTM_NEWLINK,
            0,
            &[device(index(name)?), master].concat(),
        )
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.request(
            libc::RTM_NEWLINK,
            0,
            &[device(index(from)?), named(to)].concat(),
        )
    }

    pub(crate) fn set_mtu(&self, name: &str, mtu: u32) -> io::Result<()> {
        let mtu = attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
        self.request(libc::RTM_NEWLINK, 0, &[device(index(name)?), mtu].concat())
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        self.request(libc::RTM_DELLINK, 0, &device(index(name)?))
    }
}
