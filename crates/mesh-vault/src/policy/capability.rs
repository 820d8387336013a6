//! Sets of capabilities.

use crate::logical::Operation;

/// What may be done at a path: a set of Vault's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u16);

/// Sorted, as they are answered.
const NAMES: [(&str, Capabilities); 8] = [
    ("create", Capabilities::CREATE),
    ("delete", Capabilities::DELETE),
    ("deny", Capabilities::DENY),
    ("list", Capabilities::LIST),
    ("patch", Capabilities::PATCH),
    ("read", Capabilities::READ),
    ("sudo", Capabilities::SUDO),
    ("update", Capabilities::UPDATE),
];

impl Capabilities {
    /// Nothing, whatever else is said.
    pub const DENY: Self = Self(1);
    /// Writing to where nothing is.
    pub const CREATE: Self = Self(1 << 1);
    /// Reading.
    pub const READ: Self = Self(1 << 2);
    /// Writing to where something is.
    pub const UPDATE: Self = Self(1 << 3);
    /// Deleting.
    pub const DELETE: Self = Self(1 << 4);
    /// Listing.
    pub const LIST: Self = Self(1 << 5);
    /// Paths that are protected besides.
    pub const SUDO: Self = Self(1 << 6);
    /// Changing a part.
    pub const PATCH: Self = Self(1 << 7);

    /// The set of one word.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, set)| *set)
    }

    /// What an operation needs.
    #[must_use]
    pub fn needed(operation: Operation) -> Self {
        match operation {
            Operation::Create => Self::CREATE,
            Operation::Read => Self::READ,
            Operation::Update | Operation::Renew | Operation::Revoke => Self::UPDATE,
            Operation::Patch => Self::PATCH,
            Operation::Delete => Self::DELETE,
            Operation::List => Self::LIST,
            // Whoever has a token may ask what a path is for.
            Operation::Help => Self::default(),
        }
    }

    /// Both sets together. `deny` leaves nothing but itself.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let both = Self(self.0 | other.0);
        if both.denied() { Self::DENY } else { both }
    }

    /// Whether all of the other set is in this one.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        other.0 != 0 && self.0 & other.0 == other.0
    }

    /// Whether `deny` is in it.
    #[must_use]
    pub fn denied(self) -> bool {
        self.0 & Self::DENY.0 != 0
    }

    /// Its words; `deny` alone for a set that grants nothing.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        if self.denied() || self.0 == 0 {
            return vec!["deny"];
        }
        NAMES.iter().filter(|(_, set)| self.has(*set)).map(|(name, _)| *name).collect()
    }
}
