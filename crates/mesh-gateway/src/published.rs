//! Under which ports of the machine this gateway's own are reached: the engine says it.
//!
//! A client that came by a port of the machine is sent to another one by that one's number there, and not by the
//! number that the gateway knows it by. Whether it did is told by the port that it named.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path};

/// Largest file of ports, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Ports of the machine, by those of the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Published(BTreeMap<u16, u16>);

impl Published {
    /// Reads what the engine wrote; where that is nothing that can be read, ports are what they are.
    pub(crate) fn read(path: &Path) -> Self {
        let Ok(file) = fs::File::open(path) else { return Self::default() };
        let mut text = Vec::new();
        if file.take(FILE_BYTES_MAX).read_to_end(&mut text).is_err() {
            return Self::default();
        }
        let read = serde_json::from_slice(&text);
        Self(
            read.inspect_err(|error| tracing::warn!(%error, "the ports of the machine are not known"))
                .unwrap_or_default(),
        )
    }

    /// The port that a client which named one reaches another by.
    pub(crate) fn seen(&self, named: u16, wanted: u16) -> u16 {
        let came_by_machine = self.0.values().any(|port| *port == named);
        self.0.get(&wanted).filter(|_| came_by_machine).copied().unwrap_or(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_by_the_machine_is_sent_to_its_ports() {
        let ports = |all: &[(u16, u16)]| Published(all.iter().copied().collect());
        for (all, named, wanted, want) in [
            (&[(80, 8080), (443, 8443)][..], 8080, 443, 8443),
            (&[(80, 8080), (443, 8443)], 80, 443, 443),
            (&[(8000, 80), (8443, 443)], 80, 8443, 443),
            (&[(8000, 80), (8443, 443)], 8000, 8443, 8443),
            (&[(80, 8080)], 8080, 443, 443),
            (&[], 8080, 443, 443),
        ] {
            assert_eq!(ports(all).seen(named, wanted), want, "{all:?} {named} {wanted}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ports.json");
        assert_eq!(Published::read(&path), Published::default());
        fs::write(&path, "{\"80\":8080}").unwrap();
        assert_eq!(Published::read(&path), ports(&[(80, 8080)]));
        fs::write(&path, "[]").unwrap();
        assert_eq!(Published::read(&path), Published::default());
    }
}
