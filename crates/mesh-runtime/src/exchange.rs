//! Files that the engine and an embedded service give each other.

use mesh_redact::Secret;

/// Where the service sees what it is told; read-only.
pub const TOLD: &str = "/run/mesh/told";
/// The file there that says from which addresses published ports are relayed: a list of them. It is there before the
/// service starts.
pub const RELAYS: &str = "relays.json";
/// Where the service writes what it has to say.
pub const SAID: &str = "/run/mesh/said";

/// A file for an embedded service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its name, without a directory.
    pub name: &'static str,
    /// What is in it.
    pub content: Secret<Vec<u8>>,
    /// Whether it is for whoever the service runs as alone, and not for others in its container.
    pub secret: bool,
}
