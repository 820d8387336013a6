//! `stop`.

use crate::{context::Context, failure::CliError, supervisor};
use clap::Args;
use mesh_api::request::Request;

/// Arguments of `stop`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Grace period in seconds, over the services' own
    #[arg(short, long, value_name = "SECONDS")]
    timeout: Option<u32>,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    let Some(client) = target.attend().await? else {
        supervisor::say_nothing_there(&target.name);
        return Ok(0);
    };
    let request = Request::Stop { services: arguments.services, timeout_seconds: arguments.timeout };
    context.ask(&client, request).await?;
    Ok(0)
}
