//! Sets of flags: how a file is opened, what poll says, what an `Ops` has, what a root does.

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident: $int:ty { $($(#[$flag_doc:meta])* $flag:ident = $value:expr;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name($int);

        impl $name {
            $($(#[$flag_doc])* pub const $flag: Self = Self($value);)*

            /// The empty set.
            pub const NONE: Self = Self(0);

            /// The bits.
            pub const fn bits(self) -> $int {
                self.0
            }

            /// Whether all of `other` is in the set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether some of `other` is in the set.
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Both sets together; `|` in constants.
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl core::ops::BitOr for $name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self {
                self.with(other)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let mut set = f.debug_set();
                $(if self.contains(Self::$flag) {
                    set.entry(&format_args!("{}", stringify!($flag)));
                })*
                set.finish()
            }
        }
    };
}

flags! {
    /// What a file is opened for.
    ///
    /// ```
    /// use kernfs::OpenFlags;
    /// assert!(OpenFlags::RDWR.contains(OpenFlags::READ));
    /// assert_eq!(OpenFlags::READ | OpenFlags::WRITE, OpenFlags::RDWR);
    /// ```
    OpenFlags: u32 {
        /// For reading.
        READ = 1;
        /// For writing.
        WRITE = 2;
        /// For both.
        RDWR = 3;
    }
}

flags! {
    /// What poll(2) answers, with the numbers of `poll.h` on all architectures but sparc and mips.
    PollFlags: u32 {
        /// There is something to read. Always set.
        IN = 0x001;
        /// The file changed since this open file read it last.
        PRI = 0x002;
        /// It may be written. Always set.
        OUT = 0x004;
        /// Together with `PRI`: it changed, or the node is gone.
        ERR = 0x008;
        /// As `IN`.
        RDNORM = 0x040;
        /// As `OUT`.
        WRNORM = 0x100;
    }
}

impl PollFlags {
    /// Nothing changed.
    pub const QUIET: Self = Self(0x145);
    /// Changed since the last read.
    pub const CHANGED: Self = Self(0x14f);
    /// The node is gone, the open file dead.
    pub const DEAD: Self = Self(0x00f);
}

flags! {
    /// Which callbacks an [`Ops`](crate::Ops) has. The kernel decides by their presence (may it be opened
    /// for writing? does removal owe a `release`?), so presence is data.
    Has: u16 {
        /// `show`: reads go through the sequence buffer, also if there is a `read`. One record, the whole text.
        SHOW = 1;
        /// `read`: each read is one call with the caller's offset.
        READ = 2;
        /// `write`.
        WRITE = 4;
        /// `release`.
        RELEASE = 8;
        /// `poll`; without it a file is ready when it was notified since the last read.
        POLL = 16;
        /// `start`: as `SHOW`, with many records. Its [`Records`](crate::Records) show them.
        SEQ = 32;
        /// `mmap`.
        MMAP = 64;
        /// `llseek`; without it seeking goes by the size that stat shows.
        LLSEEK = 128;
        /// Raw reads and writes go through one buffer that is made when the file is opened. Not together
        /// with `SHOW` or `SEQ`: then opening is EINVAL.
        PREALLOC = 256;
        /// Its callbacks may wait for long. A removal that waits for one of them is reported later than
        /// others, and a client of a mount who gets a signal meanwhile is answered EINTR at once.
        MAY_BLOCK = 512;
    }
}

flags! {
    /// What a root does beyond the defaults.
    RootFlags: u32 {
        /// New nodes cannot be used before [`Node::activate`](crate::Node::activate): a set of nodes
        /// appears together, and a failed one is removed without waiting for anybody. That goes for the root
        /// directory as well.
        CREATE_DEACTIVATED = 1;
        /// Opening also fails with EACCES if the mode has no such permission for anybody, or the file
        /// no such callback. sysfs has it, cgroup not. On by default.
        EXTRA_OPEN_PERM_CHECK = 2;
        /// Nodes have file handles: [`Node::handle`](crate::Node::handle) and
        /// [`Root::by_handle`](crate::Root::by_handle).
        SUPPORT_EXPORTOP = 4;
        /// Extended attributes `user.*` may be set.
        SUPPORT_USER_XATTR = 8;
        /// Renaming never changes a node's directory; a rename that would is EINVAL.
        INVARIANT_PARENT = 16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let set = Has::SHOW | Has::WRITE;
        assert!(set.contains(Has::SHOW) && !set.contains(Has::SHOW | Has::READ));
        assert!(set.intersects(Has::SHOW | Has::READ) && !set.intersects(Has::POLL));
        assert_eq!(format!("{set:?}"), "{SHOW, WRITE}");
        let changed = PollFlags::QUIET | PollFlags::PRI | PollFlags::ERR;
        assert_eq!(changed, PollFlags::CHANGED);
    }
}
