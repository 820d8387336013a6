//! Which published ports begin their connections with who the client is: those of an embedded gateway that was told,
//! before it started, from which address such words come.
//!
//! Connections to a container come from its first network's gateway, an address that no neighbour sends under. The file
//! that says so is in the directory that only the engine writes to. A gateway that was started without it, by an older
//! version, is relayed to as before.

use crate::{
    conversion::Exchange,
    exchange,
    ground::{Ground, blocking},
};
use mesh_model::container::ContainerSpec;
use mesh_network::{AttachmentRecord, Beginning, PresentNetwork};
use mesh_redact::Secret;
use mesh_runtime::{
    error::RuntimeError,
    exchange::{RELAYS, Told},
};
use std::{net::Ipv4Addr, sync::Arc};

/// Tells a gateway that is about to start which address relays to it.
///
/// # Errors
/// The system refused, or the disk is full.
pub(crate) async fn tell(
    ground: &Arc<Ground>,
    spec: &ContainerSpec,
    record: &AttachmentRecord,
) -> Result<(), RuntimeError> {
    if !spec.image.source.is_gateway() {
        return Ok(());
    }
    let Some(relay) = relay(record, &ground.network.present()) else { return Ok(()) };
    let directory = ground.settings.container(&spec.id);
    let content = Secret::new(format!("[\"{relay}\"]").into_bytes());
    blocking("tell a gateway who relays to it", move || {
        exchange::tell(&directory, &Told { name: RELAYS, content, secret: false }, None)
    })
    .await
}

fn relay(record: &AttachmentRecord, present: &[PresentNetwork]) -> Option<Ipv4Addr> {
    let first = record.networks.first()?;
    present.iter().find(|network| network.name == first.name).map(|network| network.gateway)
}

/// How connections to a container's published ports begin.
///
/// # Errors
/// A fault of the machine.
pub(crate) async fn beginning(ground: &Ground, spec: &ContainerSpec) -> Result<Beginning, RuntimeError> {
    if !spec.image.source.is_gateway() {
        return Ok(Beginning::Plain);
    }
    let told = ground.settings.container(&spec.id).join(Exchange::Told.name()).join(RELAYS);
    blocking("look what a gateway was told", move || {
        Ok(if told.exists() { Beginning::Announced } else { Beginning::Plain })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_model::network::Subnet;
    use mesh_network::NetworkRecord;

    #[test]
    fn the_first_network_is_the_one_that_is_relayed_over() {
        let network = |name: &str, gateway: [u8; 4]| PresentNetwork {
            name: name.to_owned(),
            subnet: Subnet::parse("10.0.0.0/8").expect("a subnet"),
            gateway: gateway.into(),
            internal: false,
        };
        let present = [network("p_inside", [10, 1, 0, 1]), network("p_edge", [10, 2, 0, 1])];
        for (joined, expected) in [
            (&["p_edge", "p_inside"][..], Some(Ipv4Addr::new(10, 2, 0, 1))),
            (&["p_inside"], Some(Ipv4Addr::new(10, 1, 0, 1))),
            (&["gone"], None),
            (&[], None),
        ] {
            let networks = joined.iter().map(|name| NetworkRecord {
                key: (*name).to_owned(),
                name: (*name).to_owned(),
                address: Ipv4Addr::new(10, 9, 9, 9),
                internal: false,
                aliases: Vec::new(),
            });
            let record = AttachmentRecord {
                names: Vec::new(),
                networks: networks.collect(),
                upstream_dns: Vec::new(),
                host_gateway: false,
            };
            assert_eq!(relay(&record, &present), expected, "{joined:?}");
        }
    }
}
