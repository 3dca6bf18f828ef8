//! [`Place`]: what `last`, `first` and a link say. Nothing, a node, or a block and how much of it is claimed.

use core::fmt;
use core::ptr::{self, NonNull};

use crate::atomic::{AtomicPtr, Ordering};
use crate::provenance::{exposed, reloaded};

use super::block::{Block, SLOTS};
use super::node::Inner;

/// What a node and a block begin with: the [`Place`] behind it, null until it has one.
#[repr(C)]
pub(super) struct Item<T> {
    pub(super) next: AtomicPtr<Self>,
}

impl<T> Item<T> {
    pub(super) const fn new() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// As [`Block::with`] says.
    pub(super) fn use_first(&self) {
        self.next.load(Ordering::Relaxed);
    }
}

/// A word, taken apart. Claims count in `last` only.
///
/// Blocks are claimed by a CAS, which compares addresses: see [`crate::provenance`].
pub(super) enum Place<T> {
    Nothing,
    Node(NonNull<Inner<T>>),
    Block(NonNull<Block<T>>, Claims),
}

/// Which slots of the last block are somebody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// So many, from the first on.
    pub(super) claimed: u8,
    /// All of them have been taken: the queue is empty.
    pub(super) drained: bool,
}

const BLOCK: usize = 1;
const DRAINED: usize = 2;
const ONE_CLAIM: usize = 4;
/// Blocks are aligned to one more.
const TAGS: usize = 127;

static_assertions::const_assert!(SLOTS as usize * ONE_CLAIM + DRAINED + BLOCK <= TAGS);
static_assertions::const_assert!(align_of::<Block<u8>>() > TAGS);

impl<T> Place<T> {
    pub(super) fn of(word: *mut Item<T>) -> Self {
        let tags = word.addr() & TAGS;
        if tags & BLOCK == 0 {
            return NonNull::new(reloaded(word).cast()).map_or(Self::Nothing, Self::Node);
        }
        let block = reloaded(word.map_addr(|address| address & !TAGS));
        let claims = Claims {
            claimed: (tags / ONE_CLAIM) as u8,
            drained: tags & DRAINED != 0,
        };
        // SAFETY: a word with the tag is made below, from a block.
        Self::Block(unsafe { NonNull::new_unchecked(block.cast()) }, claims)
    }

    pub(super) fn word(self) -> *mut Item<T> {
        match self {
            Self::Nothing => ptr::null_mut(),
            Self::Node(node) => exposed(node.as_ptr()).cast(),
            Self::Block(block, Claims { claimed, drained }) => {
                let drained = if drained { DRAINED } else { 0 };
                let tags = BLOCK | drained | (usize::from(claimed) * ONE_CLAIM);
                exposed(block.as_ptr())
                    .cast::<Item<T>>()
                    .map_addr(|address| address | tags)
            }
        }
    }

    /// The claims, if it is this block.
    pub(super) fn claims_of(&self, this: NonNull<Block<T>>) -> Option<Claims> {
        match self {
            Self::Block(block, claims) if *block == this => Some(*claims),
            _ => None,
        }
    }
}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Node(node) => f.debug_tuple("Node").field(node).finish(),
            Self::Block(block, claims) => {
                f.debug_tuple("Block").field(block).field(claims).finish()
            }
        }
    }
}
