//! `pause` and `unpause`.

use crate::{context::Context, failure::CliError, supervisor};
use clap::Args;
use mesh_api::request::Request;

/// Arguments of `pause` and `unpause`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Freezes.
pub(crate) async fn freeze(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    run(context, arguments, |services| Request::Pause { services }).await
}

/// Thaws.
pub(crate) async fn thaw(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    run(context, arguments, |services| Request::Unpause { services }).await
}

async fn run(
    context: &Context,
    arguments: Arguments,
    request: fn(Vec<String>) -> Request,
) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    match target.attend().await? {
        Some(client) => drop(context.ask(&client, request(arguments.services)).await?),
        None => supervisor::say_nothing_there(&target.name),
    }
    Ok(0)
}
