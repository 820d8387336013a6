//! What can go wrong on a ground, in the terms of the caller.

use std::{io, net::SocketAddr, path::PathBuf};

/// A failure of one operation. `hint` says what to do about it, where that is known.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No source can serve the image.
    #[error("image {reference} has no source: {reason}")]
    NoImage {
        /// Reference as the file has it.
        reference: String,
        /// What was tried, and why each did not serve.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Fetching failed.
    #[error("could not fetch {what}: {reason}")]
    Fetch {
        /// Image or package.
        what: String,
        /// Cause, on one line.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A port of the host is taken.
    #[error("port {address}/{protocol} is taken{}", holder.as_ref().map(|h| format!(" by {h}")).unwrap_or_default())]
    PortTaken {
        /// Address and port.
        address: SocketAddr,
        /// `tcp` or `udp`.
        protocol: String,
        /// Process or project that holds it, where that can be found out.
        holder: Option<String>,
    },
    /// A port below what this user may bind.
    #[error("port {address} may not be bound by this user")]
    PortForbidden {
        /// Address and port.
        address: SocketAddr,
    },
    /// The program of the container could not be executed.
    #[error("could not execute {program}: {reason}")]
    Execute {
        /// First word of the command line.
        program: String,
        /// Cause.
        reason: String,
    },
    /// The container could not be set up.
    #[error("could not set up the container: {step}: {reason}")]
    Setup {
        /// What was attempted on what (`bind /a on /b`).
        step: String,
        /// Cause.
        reason: String,
    },
    /// The container does not run.
    #[error("container is not running")]
    NotRunning,
    /// There is no such container, volume or network.
    #[error("no such {kind}: {name}")]
    Missing {
        /// `container`, `volume`, `network`, `secret`, `config`, `bind source`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Something of the file that this ground cannot do.
    #[error("{what} is not supported on this ground: {reason}")]
    Unsupported {
        /// Key and value.
        what: String,
        /// Why, and what instead.
        reason: String,
    },
    /// The disk is full.
    #[error("no space left on the device that holds {}", path.display())]
    DiskFull {
        /// What was written.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{attempted}")]
    System {
        /// What was attempted on what.
        attempted: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
}
