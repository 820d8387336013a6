//! `down`.

use super::{creation::parse_grace, hosts, image, rehearsal};
use crate::{
    console,
    context::{Context, Target},
    failure::CliError,
    generated, provider, restoring,
};
use clap::Args;
use mesh_api::{
    message::{Action, ObjectKind},
    options::DownOptions,
    request::Request,
};
use std::collections::BTreeSet;

/// What is done to each container, network and volume.
const REMOVED: &[Action] = &[Action::Removing, Action::Removed];

/// Arguments of `down`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: the whole project with its networks
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Remove named and anonymous volumes, and what is in them
    #[arg(short, long, alias = "volume")]
    volumes: bool,
    /// Remove the services' images: `all`, or `local` for those that were built without a name of their own
    #[arg(long, value_name = "WHICH")]
    rmi: Option<String>,
    /// Remove containers of services that the file no longer has, and those of `run` that are at work
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    remove_orphans: Option<bool>,
    /// Grace period in seconds, over the services' own
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = parse_grace)]
    timeout: Option<u32>,
    /// With -v: go on where values of generated secrets cannot be had from the vault, which goes with them
    #[arg(long, requires = "volumes")]
    forget_secrets: bool,
}

impl Arguments {
    /// Those for everything with its volumes: nothing that holds one may stay.
    pub(super) fn with_volumes() -> Self {
        Self {
            services: Vec::new(),
            volumes: true,
            rmi: None,
            remove_orphans: Some(true),
            timeout: None,
            forget_secrets: false,
        }
    }
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    if let Some(which) = arguments.rmi.as_deref().filter(|which| !matches!(*which, "all" | "local")) {
        return Err(CliError::said(format!("invalid value for --rmi: {which:?}")));
    }
    let target = context.own_target()?;
    target.check_services(&arguments.services)?;
    let options = DownOptions {
        services: arguments.services,
        volumes: arguments.volumes,
        remove_orphans: arguments.remove_orphans.unwrap_or(target.orphans.remove),
        timeout_seconds: arguments.timeout,
    };
    restoring::settle(&target).await?;
    let whole = options.services.is_empty();
    // Of services alone no named volume goes, and no vault with it.
    let leaving = if options.volumes && whole && !context.settings.dry_run {
        Some(generated::bring_back(context, &target, arguments.forget_secrets).await?)
    } else {
        None
    };
    provider::down(context, &target, &options.services).await?;
    if context.settings.dry_run {
        return rehearse(context, &target, &options).await;
    }
    // Nothing builds images, so none is local.
    let unwanted =
        if arguments.rmi.as_deref() == Some("all") { images(&target, &options) } else { BTreeSet::new() };
    // Volumes outlive containers: they may be there although nothing is up.
    let leftovers = options.volumes && target.paths.directory.exists();
    let client = match target.attend().await? {
        Some(client) => client,
        None if leftovers => target.supervise().await?,
        None => {
            if unwanted.is_empty() {
                say_nothing(&target);
            }
            image::remove_those_of_a_project(&unwanted)?;
            return Ok(0);
        }
    };
    context.ask(&client, Request::Down(options)).await?;
    if let Some(leaving) = &leaving {
        generated::forget_gone(context, &target, leaving)?;
    }
    if whole {
        hosts::forget(context, &target.name);
    }
    image::remove_those_of_a_project(&unwanted)?;
    Ok(0)
}

/// The images of the services that are meant.
fn images(target: &Target, options: &DownOptions) -> BTreeSet<String> {
    let services = target.project.iter().flat_map(|project| project.services.values());
    let meant = services.filter(|it| options.services.is_empty() || options.services.contains(&it.name));
    meant.filter_map(|service| service.image.clone()).collect()
}

fn say_nothing(target: &Target) {
    console::err_line(&format!("warning: No resource found to remove for project {:?}.", target.name));
}

async fn rehearse(context: &Context, target: &Target, options: &DownOptions) -> Result<u8, CliError> {
    let whole = options.services.is_empty();
    let all = rehearsal::all(target).await?;
    let mut there = all.clone();
    there.retain(|one| one.one_off && whole && (options.remove_orphans || !rehearsal::runs(one)));
    there.extend(rehearsal::present(target, &options.services).await?);
    there.retain(|one| !one.orphan || options.remove_orphans);
    let is_up = !there.is_empty();
    let staying = all.iter().filter(|one| there.iter().all(|other| other.id != one.id));
    let used: BTreeSet<&String> = staying
        .flat_map(|one| one.networks.iter().chain(one.mounts.iter().map(|mount| &mount.name)))
        .collect();
    for one in &there {
        let stopped = rehearsal::runs(one).then_some([Action::Stopping, Action::Stopped].as_slice());
        let told = stopped.into_iter().chain([REMOVED]);
        rehearsal::tell(context, told.map(|actions| rehearsal::Told::container(one, actions)));
    }
    let Some(project) = target.project.as_ref().filter(|_| whole) else { return Ok(0) };
    let networks = project
        .networks
        .values()
        .filter(|network| is_up && !network.external && !used.contains(&network.name));
    let told = networks.map(|one| rehearsal::Told::object(ObjectKind::Network, &one.name, REMOVED));
    rehearsal::tell(context, told);
    let mut volumes = rehearsal::volumes_on_disk(context, project);
    volumes.retain(|name| !used.contains(name));
    if options.volumes {
        let told = volumes.iter().map(|name| rehearsal::Told::object(ObjectKind::Volume, name, REMOVED));
        rehearsal::tell(context, told);
    }
    if !is_up && (volumes.is_empty() || !options.volumes) {
        say_nothing(target);
    }
    Ok(0)
}
