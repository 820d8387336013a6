//! Which of several routers is asked first.

use std::cmp::{Ordering, Reverse};

/// A router's place among others; the least is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    priority: Reverse<i64>,
    /// In the list of providers; one that is not in it comes last.
    provider: usize,
}

impl Place {
    pub(crate) fn new(priority: i64, provider: &str, precedence: &[impl AsRef<str>]) -> Self {
        let at = precedence.iter().position(|known| known.as_ref() == provider);
        Self { priority: Reverse(priority), provider: at.unwrap_or(usize::MAX) }
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority.cmp(&other.priority).then(self.provider.cmp(&other.provider))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
