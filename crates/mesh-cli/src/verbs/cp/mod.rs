//! `cp`: a tar stream between this machine and the containers of a service, as Docker's rules for names
//! have it.

mod inward;
mod names;
mod outward;

use crate::{
    console,
    context::{Context, containers},
    failure::CliError,
    files::Files,
    settings::ProgressMode,
};
use clap::Args;
use mesh_api::status::ContainerStatus;
use names::{End, parse};

/// Arguments of `cp`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// SERVICE:PATH, a path, or `-` for a tar stream
    #[arg(value_name = "SOURCE")]
    source: String,
    /// SERVICE:PATH, a path, or `-` for a tar stream
    #[arg(value_name = "DESTINATION")]
    destination: String,
    /// What is copied in belongs to the container's user
    #[arg(short, long)]
    archive: bool,
    /// Follow a link at the end of the source
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Number of the container of the service, from 1
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
    /// Copy into the containers of `run` too
    #[arg(long)]
    all: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    if arguments.source.is_empty() {
        return Err(CliError::said("source can not be empty"));
    }
    if arguments.destination.is_empty() {
        return Err(CliError::said("destination can not be empty"));
    }
    let (source, destination) = (parse(&arguments.source), parse(&arguments.destination));
    let outward = matches!(source, End::There { .. });
    let (service, path, here) = match (source, destination) {
        (End::There { .. }, End::There { .. }) => {
            return Err(CliError::said("copying between services is not supported")
                .with_hint("copy to this machine first"));
        }
        (End::There { service, path }, End::Here(here)) | (End::Here(here), End::There { service, path }) => {
            (service, path, here)
        }
        (End::Here(_), End::Here(_)) => {
            return Err(
                CliError::said("unknown copy direction").with_hint("write one of them as SERVICE:PATH")
            );
        }
    };
    let files = files_of(context, &arguments, &service, outward).await?;
    if path.is_empty() {
        return Err(CliError::said("path cannot be empty"));
    }
    let told = !matches!(context.settings.progress, ProgressMode::Json | ProgressMode::Quiet);
    let tell = |done: &str| {
        for container in files.containers.iter().filter(|_| told) {
            let (from, to) = match outward {
                true => (format!("{container}:{path}"), here.clone()),
                false => (here.clone(), format!("{container}:{path}")),
            };
            console::err_line(&format!(" {container} {done} {from} to {to} "));
        }
    };
    tell("Copying");
    match outward {
        true => outward::copy(&files, &path, &here, arguments.follow_link).await?,
        false => inward::copy(&files, &here, &path, &arguments).await?,
    }
    tell("Copied");
    Ok(0)
}

/// The containers that are meant: of several the first for reading, all for writing.
async fn files_of(
    context: &Context,
    arguments: &Arguments,
    service: &str,
    outward: bool,
) -> Result<Files, CliError> {
    let nothing = || CliError::said(format!("no container found for service \"{service}\""));
    let target = context.own_target()?;
    target.check_services(&[service.to_owned()])?;
    let client = target.attend().await?.ok_or_else(nothing)?;
    let mut found: Vec<ContainerStatus> = containers(&client)
        .await?
        .into_iter()
        .filter(|container| container.service == service && (arguments.all || !container.one_off))
        .collect();
    if let Some(index) = arguments.index.filter(|index| *index > 0) {
        found.retain(|container| container.index == index && !container.one_off);
        found.truncate(1);
        if found.is_empty() {
            return Err(CliError::said(format!("service \"{service}\" is not running container #{index}")));
        }
    }
    if outward {
        found.truncate(1);
    }
    if found.is_empty() {
        return Err(nothing());
    }
    Ok(Files { client, containers: found.into_iter().map(|container| container.name).collect() })
}

/// What Docker says of a path that is not there.
fn not_there(container: &str, path: &str) -> CliError {
    CliError::said(format!("Could not find the file {path} in container {container}"))
}
