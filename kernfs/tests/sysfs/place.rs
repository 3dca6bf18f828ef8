//! One of the two sides that a case is run on.

use std::path::{Path, PathBuf};

/// What a case sees of the machine's sysfs, or of our mount of the same shape.
pub(crate) struct Place<'p> {
    /// Where it is mounted.
    pub(crate) top: &'p Path,
    /// A second mount of the same tree with the same name space.
    pub(crate) again: &'p Path,
    /// A mount with the view of another name space.
    pub(crate) other: &'p Path,
    /// Small and large binary attributes, below `top`: what this machine has of them.
    pub(crate) bins: &'p Bins,
    pub(crate) owner: &'p dyn Owner,
}

/// Paths below the top, without a leading slash.
#[derive(Debug, Default)]
pub(crate) struct Bins {
    /// Not larger than a page.
    pub(crate) small: Option<PathBuf>,
    /// Of several pages.
    pub(crate) large: Option<PathBuf>,
}

impl Place<'_> {
    /// A path in the directory of a device.
    pub(crate) fn dev(&self, path: &str) -> PathBuf {
        self.top.join(DEVICES).join(path)
    }

    /// The directory of links to all devices.
    pub(crate) fn class(&self) -> PathBuf {
        self.top.join(CLASS)
    }
}

/// Where the directories of devices are.
pub(crate) const DEVICES: &str = "devices/virtual/net";
/// Where the links to them are.
pub(crate) const CLASS: &str = "class/net";

/// What the owner of a tree can do and who looks from outside can not.
pub(crate) trait Owner: Sync {
    /// Gives a device another name.
    fn rename(&self, from: &str, to: &str);
    /// Removes a device.
    fn remove(&self, name: &str);
    /// Makes a device again, of the kind that [`SPARE`] had at the beginning.
    fn make(&self, name: &str);
    /// Sets the mtu of a device, past its file.
    fn set_mtu(&self, name: &str, mtu: u32);
    /// Waits until what was done is seen by everybody.
    fn settle(&self);
    /// How often poll(2) was asked about a file, where that can be told.
    fn looks(&self) -> Option<usize>;
}

/// The device that is removed and made again.
pub(crate) const SPARE: &str = "kfb1";
