//! The web's ports, where this user may not have them: the nearest free ones stand in, and that is told.
//!
//! Of all ports below those that everybody may have, 80 and 443 alone are asked for by files that mean no more than "the
//! web". For others, and where the file's ports are asked for by name (`--ports file`), publishing says what is wrong.

use super::{Listener, is_range, key};
use crate::{desk::Desk, outlet::Outlet};
use mesh_api::message::Level;
use mesh_model::{
    network::{PortMapping, Protocol, Published},
    project::{Ports, Project},
};
use mesh_runtime::observed::PortTrial;
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// Ports of the web, and the first that stands in for each.
const WEB: [(u16, u16); 2] = [(80, 8080), (443, 8443)];
/// Ports that are tried from that one on.
const TRIED_MAX: u16 = 100;

impl Desk {
    /// Finds ports for those of the web that this user may not have. `ours` is what the project's containers listen on.
    pub(super) async fn stand_in(&self, project: &mut Project, ours: &BTreeSet<Listener>) {
        let publishing = &mut project.publishing;
        if publishing.commanded == Some(Ports::File) || publishing.in_file == Some(Ports::File) {
            return;
        }
        let mut taken = BTreeSet::new();
        for service in project.services.values_mut() {
            for mapping in &mut service.network.ports {
                let Some((port, first)) = web(mapping) else { continue };
                let address = mapping.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                let at = |port| SocketAddr::new(address, port);
                if self.runtime.try_port(at(port), Protocol::Tcp).await != PortTrial::Forbidden {
                    continue;
                }
                let key = key(&service.name, mapping);
                let before = publishing.given.get(&key).copied();
                for candidate in before.into_iter().chain(first..first + TRIED_MAX) {
                    let is_free = !taken.contains(&at(candidate))
                        && (ours.contains(&(at(candidate), Protocol::Tcp))
                            || matches!(
                                self.runtime.try_port(at(candidate), Protocol::Tcp).await,
                                PortTrial::Free(_)
                            ));
                    if is_free {
                        taken.insert(at(candidate));
                        mapping.published = Published::Port(candidate);
                        publishing.given.insert(key, candidate);
                        break;
                    }
                }
            }
        }
    }

    /// Says which ports stand in.
    pub(crate) async fn tell_stand_ins(&self, project: &Project, outlet: &Outlet) {
        if project.publishing.ports() == Ports::Auto {
            return;
        }
        for service in project.services.values() {
            for mapping in &service.network.ports {
                for (port, _) in WEB {
                    let written = PortMapping { published: Published::Port(port), ..mapping.clone() };
                    let given = project.publishing.given.get(&key(&service.name, &written));
                    if let (Some(given), Published::Port(published)) = (given, mapping.published)
                        && *given == published
                    {
                        let name = &service.name;
                        let text = format!(
                            "this user may not have port {port}: {name} is published on {published} instead (as root, \
                             `sysctl net.ipv4.ip_unprivileged_port_start={port}` lets every user have it)"
                        );
                        outlet.note(Level::Info, text).await;
                    }
                }
            }
        }
    }
}

/// The port of the web that is asked for, with the first that stands in for it.
fn web(mapping: &PortMapping) -> Option<(u16, u16)> {
    let Published::Port(port) = mapping.published else { return None };
    let is_web = mapping.protocol == Protocol::Tcp && !is_range(mapping);
    WEB.into_iter().find(|(web, _)| is_web && *web == port)
}
