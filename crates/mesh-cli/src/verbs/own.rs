//! Commands of the project's own: services that say what they do (`x-mesh.command`), run by their names.
//!
//! `mesh NAME ...` is `mesh run --rm NAME ...` for those, and for no other service. A verb of Mesh's goes before. They are
//! told where the ports of the project's services are on this machine: `MESH_ADDRESS_DB_5432=127.0.0.1:5432`.

use crate::{
    arguments::OwnCommand,
    console,
    context::Context,
    failure::CliError,
    loading::{self, Wanted},
    settings::Settings,
};
use mesh_api::status::{ContainerStatus, State};
use mesh_compose::Skip;
use mesh_model::network::Protocol;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

/// What the names of variables with addresses begin with.
const ADDRESS: &str = "MESH_ADDRESS_";

/// Ends the process with what is wrong where the project has no such command.
pub(crate) fn check(context: &Context, own: &OwnCommand) {
    let commands = match commands(context) {
        Ok(commands) => commands,
        // What is wrong with the file may be why the command is not known.
        Err(error @ CliError::Load { .. }) => {
            console::err_line(&error.render(context.settings.error_colour));
            BTreeMap::new()
        }
        Err(_) => BTreeMap::new(),
    };
    if commands.contains_key(&own.name) {
        return;
    }
    if !commands.is_empty() {
        console::err_line("This project's own commands:");
        for (name, about) in &commands {
            console::err_line(&format!("  {name:<16} {}", console::inert(about)));
        }
        console::err_line("");
    }
    own.refuse();
}

/// Those of all profiles.
fn commands(context: &Context) -> Result<BTreeMap<String, String>, CliError> {
    let settings = Settings { profiles: vec!["*".to_owned()], ..context.settings.clone() };
    let skip = Skip { env_files: true, label_files: true, ..Skip::default() };
    let wanted = Wanted { quiet: true, skip, ..Wanted::default() };
    Ok(loading::load(&settings, &context.environment, &wanted)?.document.commands())
}

/// Whether a service is a command of the project's own.
pub(super) fn is_one(context: &Context, service: &str) -> bool {
    commands(context).is_ok_and(|commands| commands.contains_key(service))
}

/// Where the published ports of services are on this machine, by the names of variables: those of the first container of
/// each, by IPv4 where there is both.
pub(super) fn addresses(containers: &[ContainerStatus]) -> BTreeMap<String, String> {
    let mut running: Vec<&ContainerStatus> =
        containers.iter().filter(|one| one.state == State::Running && !one.one_off).collect();
    running.sort_by_key(|container| container.index);
    let mut found = BTreeMap::new();
    for container in running {
        let mut ports: Vec<_> =
            container.ports.iter().filter(|port| port.protocol == Protocol::Tcp).collect();
        ports.sort_by_key(|port| port.host.is_ipv6());
        for port in ports {
            let address = match port.host.ip() {
                ip if ip.is_unspecified() => {
                    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.host.port())
                }
                _ => port.host,
            };
            let name = container.service.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            found.entry(format!("{ADDRESS}{name}_{}", port.target)).or_insert_with(|| address.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::summary::sample;
    use mesh_api::status::PortStatus;

    #[test]
    fn commands_are_told_where_ports_are() {
        let port = |host: &str, target, protocol| PortStatus {
            host: host.parse().expect("an address"),
            target,
            protocol,
        };
        let container = |service: &str, index, state, ports| ContainerStatus {
            service: service.to_owned(),
            index,
            ports,
            ..sample("any", state)
        };
        let found = addresses(&[
            container("db-pool.a", 2, State::Running, vec![port("127.0.0.1:2", 6432, Protocol::Tcp)]),
            container(
                "db-pool.a",
                1,
                State::Running,
                vec![
                    port("[::]:7", 6432, Protocol::Tcp),
                    port("0.0.0.0:7", 6432, Protocol::Tcp),
                    port("127.5.0.1:53", 53, Protocol::Udp),
                ],
            ),
            container("db", 1, State::Exited, vec![port("127.0.0.1:5432", 5432, Protocol::Tcp)]),
            container("web", 1, State::Running, vec![port("127.5.0.1:80", 80, Protocol::Tcp)]),
        ]);
        let want = [("MESH_ADDRESS_DB_POOL_A_6432", "127.0.0.1:7"), ("MESH_ADDRESS_WEB_80", "127.5.0.1:80")];
        assert_eq!(found, want.map(|(name, at)| (name.to_owned(), at.to_owned())).into());
    }
}
