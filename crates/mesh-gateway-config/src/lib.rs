//! What the gateway is told: where it listens (static) and what goes where (dynamic).
//!
//! Everything becomes a [`tree`] first, whatever it was written in, and then a value of [`model`] or [`statics`] by one
//! reader. What is unknown is refused with its place, as Traefik does; what is known and not done is told in a
//! [`Warning`]. Rules are understood here as far as their words go ([`rule`]).
//!
//! Nothing here is done for a request: the crate is a gateway's own but for that, so that what is read once is not
//! compiled for speed.
//!
//! Deliberately absent: what is routed by all this, and whoever looks at files again when they change.

#[macro_use]
pub mod model;

pub mod containers;
pub mod decode;
mod default_rule;
pub mod duration;
pub mod expression;
pub mod files;
mod labels;
mod merge;
pub mod named;
pub mod rule;
pub mod statics;
mod text;
pub mod tree;

use std::{error::Error, fmt};

/// Something that a user should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// A file, a container, the arguments.
    pub place: String,
    /// What is to be looked at, as a sentence.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// An error with its causes.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
