//! `stop`.

use super::{creation::parse_grace, rehearsal};
use crate::{context::Context, failure::CliError, provider, supervisor};
use clap::Args;
use mesh_api::{message::Action, request::Request};

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Grace period in seconds, over the services' own
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = parse_grace)]
    timeout: Option<u32>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.own_target()?;
    target.check_services(&arguments.services)?;
    if context.settings.dry_run {
        provider::stop(context, &target, &arguments.services).await?;
        let there = rehearsal::present(&target, &arguments.services).await?;
        let running = there.iter().filter(|one| rehearsal::runs(one));
        let actions = &[Action::Stopping, Action::Stopped];
        rehearsal::tell(context, running.map(|one| rehearsal::Told::container(one, actions)));
        return Ok(0);
    }
    provider::stop(context, &target, &arguments.services).await?;
    let Some(client) = target.attend().await? else {
        supervisor::say_nothing_there(&target.name);
        return Ok(0);
    };
    let request = Request::Stop { services: arguments.services, timeout_seconds: arguments.timeout };
    context.ask(&client, request).await?;
    Ok(0)
}
