//! `port`.

use crate::{console, context::Context, failure::CliError};
use clap::{Args, ValueEnum};
use mesh_api::status::ContainerStatus;
use mesh_model::network::Protocol;

/// Arguments of `port`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Port in the container
    #[arg(value_name = "PORT")]
    port: u16,
    /// Protocol
    #[arg(long, value_enum, default_value = "tcp")]
    protocol: Transport,
    /// Number of the container of the service, from 1
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
}

/// `--protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "clap shows each as it is")]
enum Transport {
    Tcp,
    Udp,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(std::slice::from_ref(&arguments.service))?;
    let containers = target.containers().await?;
    console::out_line(&find(&containers, &arguments)?);
    Ok(0)
}

fn find(containers: &[ContainerStatus], arguments: &Arguments) -> Result<String, CliError> {
    let protocol = match arguments.protocol {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
    };
    let container = containers
        .iter()
        .filter(|container| container.service == arguments.service && !container.one_off)
        .find(|container| arguments.index.is_none_or(|index| container.index == index))
        .ok_or_else(|| CliError::said(format!("service `{}` has no such container", arguments.service)))?;
    let published =
        container.ports.iter().find(|port| port.target == arguments.port && port.protocol == protocol);
    published.map(|port| port.host.to_string()).ok_or_else(|| {
        CliError::said(format!("{} does not publish port {}/{protocol}", container.name, arguments.port))
    })
}

#[cfg(test)]
mod tests {
    use super::{super::summary::sample, *};
    use mesh_api::status::State;

    #[test]
    fn ports_are_found_or_missed() {
        let containers = [sample("db", State::Running)];
        let check = |service: &str, port, index| {
            let arguments = Arguments { service: service.to_owned(), port, protocol: Transport::Tcp, index };
            find(&containers, &arguments).map_err(|error| error.to_string())
        };
        assert_eq!(check("db", 5432, None), Ok("0.0.0.0:5432".to_owned()));
        assert_eq!(check("db", 80, Some(1)), Err("hub-db-1 does not publish port 80/tcp".to_owned()));
        assert_eq!(check("db", 5432, Some(2)), Err("service `db` has no such container".to_owned()));
    }
}
