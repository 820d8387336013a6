//! Questions over HTTP to a server in a container, by the way that health tests from outside go.

use mesh_redact::Secret;

/// A question.
#[derive(Debug, Clone)]
pub struct Question {
    /// The port that the server listens on.
    pub port: u16,
    /// Whether it speaks TLS. Whose certificate it shows is not looked at: it is this container's port that is asked.
    pub tls: bool,
    /// The path, with a slash at its beginning.
    pub path: String,
    /// Headers beside those of every question.
    pub headers: Vec<(&'static str, Secret<String>)>,
    /// What is posted, as JSON; `None`: it is a GET.
    pub body: Option<Secret<Vec<u8>>>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body, of at most a MiB.
    pub body: Secret<Vec<u8>>,
}
