//! The local authority: who vouches for the names of a gateway on this machine.
//!
//! ```text
//! Authorities ──► Root (ten years, local names; or a project's names) ──► trusted by stores and containers
//!                   └──► Intermediate (thirty days, one project's names) ──► given to the project's gateway
//!                          └──► Issuer::leaf (a week, one name) ──► shown to clients
//! ```
//!
//! Where a stack has a vault that signs, its root takes the place of the first ([`Request`], [`Adopted`]).
//!
//! Invariants: a root is made once, whole or not at all, and its key never leaves its file of mode 0600; every
//! authority is constrained to names ([`Scope`]), so that one whose key is lost can still not speak for the rest of
//! the world; nothing is signed that the signer's own constraints do not allow; no key is in an error or a log.
//!
//! Deliberately absent: who hands these out, stores of browsers and systems, revocation (lives are short instead).

mod adopted;
mod certificate;
mod file;
mod hash;
mod intermediate;
mod issuer;
mod request;
mod root;
mod scope;
mod suffix;

#[cfg(test)]
mod judged;

pub use adopted::Adopted;
pub use hash::subject_hash;
pub use intermediate::Intermediate;
pub use issuer::{Issuer, Leaf};
pub use request::{Request, Signed};
pub use root::{Authorities, Root, name_in};
pub use scope::{NAMES_MAX, Scope, name};

use std::{io, path::PathBuf};

/// Why there is no certificate. What is in a file is never told.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file or directory.
    #[error("could not {attempted} {}", path.display())]
    File {
        /// What was attempted.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} is not an authority of Mesh: move it away, and a new one is made", path.display())]
    Torn {
        /// The file.
        path: PathBuf,
    },
    /// What should be an authority is none.
    #[error("what was given is not an authority that can sign")]
    NotAnAuthority,
    /// The authority may not speak for this name.
    #[error("the authority is not for {name}")]
    NotAllowed {
        /// The name.
        name: String,
    },
    /// It has expired, or nearly.
    #[error("the authority has expired")]
    Expired,
    /// It was made at a time that is still to come.
    #[error(
        "the authority is not valid yet: the clock of the machine was ahead when it was made, or is behind now"
    )]
    NotYet,
    /// The clock was never set.
    #[error("the clock of the machine is not set: no root is made by it")]
    NoClock,
    /// Another process makes a root, and does not come to an end.
    #[error("another process has been making a root in {} for too long", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// What somebody else signed is no good.
    #[error("what was signed is not believed by the root that came with it")]
    Unbelieved {
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// A certificate could not be made.
    #[error("could not make a certificate")]
    Make(#[source] rcgen::Error),
}
