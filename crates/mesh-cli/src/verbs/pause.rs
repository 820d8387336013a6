//! `pause` and `unpause`.

use super::rehearsal;
use crate::{context::Context, failure::CliError, supervisor};
use clap::Args;
use mesh_api::{message::Action, request::Request, status::State};

/// Arguments of `pause` and `unpause`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Freezes.
pub(crate) async fn freeze(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    if context.settings.dry_run {
        return rehearse(context, &arguments, State::Running, &[Action::Paused]).await;
    }
    run(context, arguments, |services| Request::Pause { services }).await
}

/// Thaws.
pub(crate) async fn thaw(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    if context.settings.dry_run {
        return rehearse(context, &arguments, State::Paused, &[Action::Unpaused]).await;
    }
    run(context, arguments, |services| Request::Unpause { services }).await
}

async fn rehearse(
    context: &Context,
    arguments: &Arguments,
    state: State,
    actions: &'static [Action],
) -> Result<u8, CliError> {
    let target = context.own_target()?;
    target.check_services(&arguments.services)?;
    let there = rehearsal::present(&target, &arguments.services).await?;
    let meant = there.iter().filter(|one| one.state == state);
    rehearsal::tell(context, meant.map(|one| rehearsal::Told::container(one, actions)));
    Ok(0)
}

async fn run(
    context: &Context,
    arguments: Arguments,
    request: fn(Vec<String>) -> Request,
) -> Result<u8, CliError> {
    let target = context.own_target()?;
    target.check_services(&arguments.services)?;
    match target.attend().await? {
        Some(client) => drop(context.ask(&client, request(arguments.services)).await?),
        None => supervisor::say_nothing_there(&target.name),
    }
    Ok(0)
}
