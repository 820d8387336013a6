//! Failures of the crates below, in the terms of the caller. A cause becomes one line of text where
//! the caller's term keeps no source.

use crate::port_holder;
use mesh_network::NetworkError;
use mesh_runtime::error::RuntimeError;
use std::{error::Error, path::Path};

/// A failure of the network. `projects`: where a taken port's holder is looked for; blocking, as the
/// processes of the machine are looked through.
pub(crate) fn network(step: &str, error: NetworkError, projects: &Path) -> RuntimeError {
    match error {
        NetworkError::PortTaken { address, protocol } => RuntimeError::PortTaken {
            address,
            protocol: protocol.to_string(),
            holder: port_holder::find(address, protocol, projects, None),
        },
        NetworkError::PortForbidden { address } => RuntimeError::PortForbidden { address },
        NetworkError::NoSuchNetwork { name } => RuntimeError::Missing { kind: "network", name },
        NetworkError::System { attempted, source } => {
            RuntimeError::System { attempted: format!("could not {attempted}"), source }
        }
        other => RuntimeError::Setup { step: step.to_owned(), reason: chain(&other) },
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
