//! What can be broken on purpose: whether the torture notices.

/// A fault of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Texts are published in two halves, of which the second never comes.
    Torn,
    /// A callback fails with what none of ours fails with.
    Errno,
    /// A removed node is kept for ever.
    Node,
    /// An open file is kept for ever.
    File,
    /// A descriptor is.
    Descriptor,
    /// A callback never returns, and the file is removed meanwhile.
    Hang,
}

const ALL: [(&str, Broken); 6] = [
    ("torn", Broken::Torn),
    ("errno", Broken::Errno),
    ("node", Broken::Node),
    ("file", Broken::File),
    ("descriptor", Broken::Descriptor),
    ("hang", Broken::Hang),
];

impl Broken {
    /// By its name.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|(known, _)| *known == name);
        let names = ALL.map(|(name, _)| name).join(", ");
        found
            .map(|(_, broken)| *broken)
            .ok_or_else(|| format!("--broken wants one of {names}, not {name}"))
    }
}
