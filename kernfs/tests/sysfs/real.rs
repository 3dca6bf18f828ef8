//! The machine's sysfs, in a network namespace of the calling thread: a bridge, a port of it, a spare bridge.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use crate::netlink::Netlink;
use crate::place::{Bins, Owner, SPARE};
use crate::support::c_string;

/// The devices of the calling thread's network namespace, which is its own.
pub(crate) struct Devices(Netlink);

fn check(ret: libc::c_int) -> io::Result<()> {
    if ret == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A network namespace for the calling thread.
pub(crate) fn enter_network_namespace() -> io::Result<()> {
    // SAFETY: concerns the calling thread only, touches no memory.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
}

/// Mounts sysfs with the view of the calling thread's network namespace.
pub(crate) fn mount(path: &Path) -> io::Result<()> {
    let target = c_string(path);
    let kind = c"sysfs".as_ptr();
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: NUL-terminated strings that live over the call, no data.
    check(unsafe { libc::mount(kind, target.as_ptr(), kind, flags, std::ptr::null()) })
}

/// Mounts sysfs with the view of a network namespace that has nothing but what each has from the start, in the
/// mount namespace of the calling thread. It lives as long as what is returned.
pub(crate) fn mount_other(path: &Path) -> io::Result<File> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter_network_namespace()?;
            mount(path)?;
            File::open("/proc/thread-self/ns/net")
        });
        thread.join().expect("no panic")
    })
}

impl Devices {
    /// Makes them. An error says what is missing.
    pub(crate) fn new() -> Result<Self, String> {
        let net = Netlink::new().map_err(|error| format!("rtnetlink: {error}"))?;
        for bridge in ["kfb0", SPARE] {
            net.add_link("bridge", bridge)
                .map_err(|error| format!("the kernel makes no bridge: {error}"))?;
        }
        if let Err(veth) = net.add_veth("kfv0", "kfv1") {
            for name in ["kfv0", "kfv1"] {
                net.add_link("dummy", name).map_err(|dummy| {
                    format!("the kernel makes no veth ({veth}) and no dummy ({dummy})")
                })?;
            }
        }
        net.enslave("kfv0", "kfb0")
            .map_err(|error| format!("the bridge takes no port: {error}"))?;
        Ok(Self(net))
    }
}

impl Owner for Devices {
    fn rename(&self, from: &str, to: &str) {
        self.0.rename(from, to).expect("a device that is down");
    }

    fn remove(&self, name: &str) {
        self.0.remove(name).expect("a device");
    }

    fn make(&self, name: &str) {
        self.0.add_link("bridge", name).expect("as before");
    }

    fn set_mtu(&self, name: &str, mtu: u32) {
        self.0.set_mtu(name, mtu).expect("a usual one");
    }

    fn settle(&self) {}

    fn looks(&self) -> Option<usize> {
        None
    }
}

/// Which binary attributes there are to read. None of them is ever changed.
pub(crate) fn bins(top: &Path) -> Bins {
    let candidates = [
        "kernel/notes",
        "firmware/dmi/tables/smbios_entry_point",
        "firmware/dmi/tables/DMI",
        "firmware/acpi/tables/FACP",
        "firmware/acpi/tables/DSDT",
        "firmware/fdt",
        "kernel/btf/vmlinux",
    ];
    let of_size = |fits: fn(u64) -> bool| {
        candidates.iter().map(PathBuf::from).find(|path| {
            let stat = fs::metadata(top.join(path));
            stat.is_ok_and(|stat| fits(stat.len())) && File::open(top.join(path)).is_ok()
        })
    };
    Bins {
        small: of_size(|size| (8..=4096).contains(&size)),
        large: of_size(|size| size > 3 * 4096),
    }
}
