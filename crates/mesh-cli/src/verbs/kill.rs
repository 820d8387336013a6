//! `kill`.

use super::rehearsal;
use crate::{
    console,
    context::{Context, containers},
    failure::CliError,
};
use clap::Args;
use mesh_api::{message::Action, request::Request, status::ContainerStatus};

/// Arguments of `kill`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Signal, by name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "SIGKILL")]
    signal: String,
    /// Also containers of services that the file no longer has
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    remove_orphans: Option<bool>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.own_target()?;
    target.check_services(&arguments.services)?;
    let remove_orphans = arguments.remove_orphans.unwrap_or(target.orphans.remove);
    let meant = |one: &&ContainerStatus| {
        let named = arguments.services.is_empty() || arguments.services.contains(&one.service);
        !one.one_off && rehearsal::runs(one) && named && (remove_orphans || !one.orphan)
    };
    let client = target.attend().await?;
    let there = match &client {
        Some(client) => containers(client).await?,
        None => Vec::new(),
    };
    let meant: Vec<&ContainerStatus> = there.iter().filter(meant).collect();
    let (Some(client), false) = (client, meant.is_empty()) else {
        console::err_line("No container to kill");
        return Ok(0);
    };
    if context.settings.dry_run {
        let actions = &[Action::Killing, Action::Killed];
        rehearsal::tell(context, meant.into_iter().map(|one| rehearsal::Told::container(one, actions)));
        return Ok(0);
    }
    let request = Request::Kill { services: arguments.services, signal: arguments.signal, remove_orphans };
    context.ask(&client, request).await?;
    Ok(0)
}
