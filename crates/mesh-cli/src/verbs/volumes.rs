//! `volumes`.

use crate::{
    arguments::Format,
    console,
    context::{Context, unexpected},
    failure::CliError,
    table,
};
use clap::Args;
use mesh_api::{
    message::{Answer, Message},
    request::Request,
    status::VolumeRow,
};
use mesh_model::{mount::MountSource, project::Project};
use serde_json::json;

/// Arguments of `volumes`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only volumes of these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    // Volumes outlive what used them.
    let client = match target.attend().await? {
        None if target.paths.directory.exists() => Some(target.supervise().await?),
        client => client,
    };
    let mut ignore = |_: Message| {};
    let mut rows = match client {
        None => Vec::new(),
        Some(client) => match client.call(Request::Volumes, &mut ignore, None).await? {
            Answer::Volumes(rows) => rows,
            _ => return Err(unexpected()),
        },
    };
    if let (false, Some(project)) = (arguments.services.is_empty(), &target.project) {
        rows.retain(|row| is_used(project, &arguments.services, &row.name));
    }
    if arguments.quiet {
        rows.iter().for_each(|row| console::out_line(&row.name));
        return Ok(0);
    }
    match arguments.format {
        Format::Table => {
            let row = |row: &VolumeRow| vec![row.driver.clone(), row.name.clone(), row.mountpoint.clone()];
            let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
            console::out(&table::render(&["DRIVER", "VOLUME NAME", "MOUNTPOINT"], &rows));
        }
        Format::Json => rows.iter().for_each(|row| {
            let labels: Vec<String> = row.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let document = json!({
                "Driver": row.driver, "Labels": labels.join(","), "Mountpoint": row.mountpoint, "Name": row.name,
                "Scope": "local",
            });
            console::out_line(&document.to_string());
        }),
    }
    Ok(0)
}

/// Whether one of the services mounts the volume of this name.
fn is_used(project: &Project, services: &[String], name: &str) -> bool {
    let mounts = services.iter().filter_map(|service| project.services.get(service)).flat_map(|s| &s.mounts);
    mounts.into_iter().any(|mount| match &mount.source {
        MountSource::Volume { key, .. } => project.volumes.get(key).is_some_and(|volume| volume.name == name),
        _ => false,
    })
}
