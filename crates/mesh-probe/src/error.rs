//! Why a probe did not pass, each in one line.

use std::{io, net::SocketAddr, path::PathBuf};

/// Most characters that are repeated of what a server said.
const SAID_CHARS_MAX: usize = 200;

/// Why a probe did not pass.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nobody listens.
    #[error("connection refused at {address}")]
    Refused {
        /// Where.
        address: SocketAddr,
    },
    /// There is no connection for another reason.
    #[error("could not connect to {address}: {source}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Cause.
        source: io::Error,
    },
    /// The connection ended in the middle.
    #[error("the connection to {address} was lost: {source}")]
    Lost {
        /// Where.
        address: SocketAddr,
        /// Cause.
        source: io::Error,
    },
    /// The server closed the connection without an answer.
    #[error("{address} closed the connection without an answer")]
    Closed {
        /// Where.
        address: SocketAddr,
    },
    /// TLS failed.
    #[error("no TLS with {address}: {source}")]
    Tls {
        /// Where.
        address: SocketAddr,
        /// Cause.
        source: io::Error,
    },
    /// It speaks another protocol.
    #[error("the answer of {address} is not {protocol}: {reason}")]
    Protocol {
        /// Where.
        address: SocketAddr,
        /// What was expected.
        protocol: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An HTTP status out of range.
    #[error("status {status}, wanted {wanted} ({request})")]
    Status {
        /// The status.
        status: u16,
        /// Those that pass.
        wanted: String,
        /// What was asked.
        request: String,
    },
    /// An HTTP body without what was looked for.
    #[error("status {status}, but the body does not contain {wanted:?} ({request})")]
    Body {
        /// The status.
        status: u16,
        /// What was looked for.
        wanted: String,
        /// What was asked.
        request: String,
    },
    /// The server says that it is not ready.
    #[error("{server} at {address} said: {said}")]
    Said {
        /// What it is.
        server: &'static str,
        /// Where.
        address: SocketAddr,
        /// Its words.
        said: String,
    },
    /// The password could not be read.
    #[error("could not read the probe's password from {}: {source}", path.display())]
    Password {
        /// Its file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

impl ProbeError {
    /// A connection that could not be made.
    #[must_use]
    pub fn connect(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused { address },
            _ => Self::Connect { address, source },
        }
    }

    pub(crate) fn lost(address: SocketAddr) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed { address },
            _ => Self::Lost { address, source },
        }
    }
}

/// What a server said, on one line and not longer than is useful.
pub(crate) fn said(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SAID_CHARS_MAX).collect()
}
