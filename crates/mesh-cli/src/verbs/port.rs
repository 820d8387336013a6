//! `port`.

use crate::{console, context::Context, failure::CliError};
use clap::Args;
use mesh_api::status::{ContainerStatus, State};

/// Arguments of `port`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// Port in the container
    #[arg(value_name = "PORT")]
    port: u16,
    /// tcp or udp
    #[arg(long, default_value = "tcp")]
    protocol: String,
    /// Number of the container of the service, from 1; 0: the first
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    index: u32,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.shown_target()?;
    let containers = target.containers().await?;
    target.warn_of_unknown(std::slice::from_ref(&arguments.service), &containers);
    console::out_line(&find(&containers, &arguments)?);
    Ok(0)
}

fn find(containers: &[ContainerStatus], arguments: &Arguments) -> Result<String, CliError> {
    let Arguments { service, port, index, .. } = arguments;
    let protocol = arguments.protocol.to_ascii_lowercase();
    let runs = |state| matches!(state, State::Running | State::Paused | State::Restarting);
    let mut found: Vec<&ContainerStatus> = containers
        .iter()
        .filter(|container| container.service == *service && runs(container.state))
        .filter(|container| *index == 0 || container.index == *index)
        .collect();
    found.sort_by_key(|container| (container.one_off, container.index));
    let Some(container) = found.first() else {
        let number = if *index == 0 { String::new() } else { format!(" container #{index}") };
        return Err(CliError::said(format!("service {service:?} is not running{number}")));
    };
    let mut published: Vec<_> = container.ports.iter().collect();
    published.sort_by_key(|port| (port.target, port.host.ip()));
    let wanted =
        published.iter().find(|found| found.target == *port && found.protocol.to_string() == protocol);
    wanted.map(|port| format!("{}:{}", port.host.ip(), port.host.port())).ok_or_else(|| {
        let others: Vec<String> =
            published.iter().map(|port| format!("{}/{}", port.host.port(), port.protocol)).collect();
        let name = &container.name;
        CliError::said(format!("no port {port}/{protocol} for container {name}: {}", others.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::{super::summary::sample, *};

    #[test]
    fn ports_are_found_or_missed() {
        let containers = [sample("db", State::Running), sample("job", State::Exited)];
        let check = |service: &str, port, index, want: Result<&str, &str>| {
            let arguments =
                Arguments { service: service.to_owned(), port, protocol: "TCP".to_owned(), index };
            let got = find(&containers, &arguments).map_err(|error| error.to_string());
            assert_eq!(got.as_deref().map_err(String::as_str), want);
        };
        check("db", 5432, 0, Ok("0.0.0.0:5432"));
        check("db", 80, 1, Err("no port 80/tcp for container hub-db-1: 5432/tcp"));
        check("db", 5432, 2, Err("service \"db\" is not running container #2"));
        check("job", 5432, 0, Err("service \"job\" is not running"));
    }
}
