//! `restart`.

use super::{creation::parse_grace, rehearsal};
use crate::{context::Context, failure::CliError, supervisor};
use clap::Args;
use mesh_api::{message::Action, request::Request};

/// Arguments of `restart`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Grace period in seconds, over the services' own
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = parse_grace)]
    timeout: Option<u32>,
    /// Leave dependents alone that asked to be restarted along
    #[arg(long)]
    no_deps: bool,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.own_target()?;
    target.check_services(&arguments.services)?;
    if context.settings.dry_run {
        let mut there = rehearsal::present(&target, &arguments.services).await?;
        there.reverse();
        let actions = &[Action::Restarting, Action::Started];
        rehearsal::tell(context, there.iter().map(|one| rehearsal::Told::container(one, actions)));
        return Ok(0);
    }
    let Some(client) = target.attend().await? else {
        supervisor::say_nothing_there(&target.name);
        return Ok(0);
    };
    let request = Request::Restart {
        services: arguments.services,
        timeout_seconds: arguments.timeout,
        no_deps: arguments.no_deps,
    };
    context.ask(&client, request).await?;
    Ok(0)
}
