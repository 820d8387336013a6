//! What the gateway is told: where it listens (static) and what goes where (dynamic).
//!
//! Everything becomes a [`tree`] first, whatever it was written in, and then a value of [`model`] or [`statics`] by one
//! reader. What is unknown is refused with its place, as Traefik does; what is known and not done is told in a
//! [`Warning`].

#[macro_use]
pub(crate) mod model;

pub(crate) mod containers;
mod decode;
mod default_rule;
pub(crate) mod duration;
pub(crate) mod files;
mod labels;
mod merge;
pub(crate) mod statics;
mod text;
mod tree;

#[cfg(test)]
mod suite;

#[cfg(test)]
pub(crate) use suite::read_json;

use std::fmt;

/// Something that a user should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    /// A file, a container, the arguments.
    pub(crate) place: String,
    pub(crate) message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
