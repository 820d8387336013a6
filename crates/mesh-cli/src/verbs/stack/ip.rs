//! `ip`: the addresses of services in the project's networks.

use super::There;
use crate::{console, context::Context, failure::CliError, table};
use clap::Args;
use mesh_api::status::ContainerStatus;
use serde_json::{Value, json};

/// Arguments of `ip`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// `table` or `json`
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.shown_target()?;
    target.check_services(&arguments.services)?;
    let mut containers = There::find(&target).await?.map(|there| there.containers).unwrap_or_default();
    containers.retain(|one| arguments.services.is_empty() || arguments.services.contains(&one.service));
    let rows: Vec<[String; 3]> = containers.iter().flat_map(addresses).collect();
    if arguments.format == "json" {
        let rows: Vec<Value> = rows
            .iter()
            .map(|[service, network, address]| {
                json!({"Service": service, "Network": network, "Address": address})
            })
            .collect();
        console::out_line(&Value::Array(rows).to_string());
    } else {
        let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
        console::out(&table::render(&["SERVICE", "NETWORK", "ADDRESS"], &rows));
    }
    Ok(0)
}

fn addresses(container: &ContainerStatus) -> Vec<[String; 3]> {
    let name = match container.index {
        0 | 1 => container.service.clone(),
        index => format!("{}-{index}", container.service),
    };
    let row = |(network, address): (&String, &std::net::IpAddr)| {
        [name.clone(), network.clone(), address.to_string()]
    };
    container.addresses.iter().map(row).collect()
}
